from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from planton_build.deploy.functions import Deployment
from planton_build.deploy.life.drift import Drift, drift_of
from planton_build.emulator.serve import Emulator
from planton_build.manifest.document import Manifest
from planton_build.publish.aws import Aws

LIVE = '[deploy]\nalias = "live"\n'


@pytest.fixture
def look(plan_of: Callable[..., Deployment]) -> Callable[..., Drift]:
    return lambda manifest, **options: drift_of([plan_of(manifest)], **options)[0]


@pytest.fixture
def live(
    manifest: Callable[..., Manifest], upload: Callable[[str], str], deploy: Callable[..., Any]
) -> Manifest:
    found = manifest(
        key=upload("version = 1"), settings=LIVE, timeoutSeconds="10", environment="{AA: one, BB: two}"
    )
    deploy(found, commit="a" * 40)
    return found


def causes(found: Drift) -> dict[str, str]:
    return {one.change.field: one.cause for one in found.differences}


def test_a_function_that_is_as_wanted_has_no_drift(live: Manifest, look: Callable[..., Drift]) -> None:
    found = look(live)
    assert found.empty and found.since


def test_what_was_changed_in_aws_is_told_from_what_was_changed_in_the_manifest(
    live: Manifest, manifest: Callable[..., Manifest], look: Callable[..., Drift], client: Any
) -> None:
    client.update_function_configuration(
        FunctionName="render",
        Timeout=60,
        MemorySize=512,
        Environment={"Variables": {"AA": "changed", "BB": "two"}},
    )
    newer = manifest(
        key=live.model.spec.s3.key,  # type: ignore[union-attr]
        settings=LIVE,
        timeoutSeconds="20",
        description="new words",
        environment="{AA: one, BB: two, CC: three}",
    )
    found = look(newer)
    assert found.witness == "1"
    told = causes(found)
    assert told["memory_mb"] == "aws"
    assert told["timeout_seconds"] == "both"
    assert told["environment.AA"] == "aws"
    assert told["environment.CC"] == "manifest"
    assert "three" not in repr(found)
    assert "changed" not in repr(found)


def test_newer_code_of_the_manifest_is_told_from_code_sent_by_hand(
    live: Manifest,
    manifest: Callable[..., Manifest],
    upload: Callable[[str], str],
    look: Callable[..., Drift],
    client: Any,
) -> None:
    newer = manifest(
        key=upload("version = 2"), settings=LIVE, timeoutSeconds="10", environment="{AA: one, BB: two}"
    )
    found = look(newer)
    assert causes(found)["code"] == "manifest"
    assert (
        "the deployed code is that of version 1 (aaaaaaaaaaaa); the manifest's was never published"
        in found.notes[0]
    )
    client.update_function_code(FunctionName="render", S3Bucket="artifacts", S3Key=upload("by = 'hand'"))
    found = look(newer)
    assert causes(found)["code"] == "both"
    assert "none of the published versions" in found.notes[0]


def test_without_a_version_nobody_can_tell(
    manifest: Callable[..., Manifest],
    upload: Callable[[str], str],
    deploy: Callable[..., Any],
    look: Callable[..., Drift],
    client: Any,
) -> None:
    plain = manifest(key=upload("version = 1"))
    deploy(plain)
    client.update_function_configuration(FunctionName="render", Timeout=60)
    found = look(plain)
    assert causes(found) == {"timeout_seconds": "unknown"}
    assert "no version was ever published" in found.notes[0]


def test_a_function_that_is_not_there_differs(
    manifest: Callable[..., Manifest], upload: Callable[[str], str], look: Callable[..., Drift]
) -> None:
    found = look(manifest(key=upload("version = 1")))
    assert not found.deployed
    assert not found.empty


def test_who_changed_it_is_what_the_trail_tells(
    live: Manifest, look: Callable[..., Drift], client: Any
) -> None:
    client.update_function_configuration(FunctionName="render", Timeout=60)
    trail = look(live, who=True).trail
    assert trail.events[0].event == "UpdateFunctionConfiguration"
    assert trail.events[0].who
    assert trail.events[0].time
    assert all(not event.event.startswith("Get") for event in trail.events)


def test_a_trail_that_may_not_be_read_is_a_note(
    live: Manifest, look: Callable[..., Drift], client: Any, cloud: Emulator
) -> None:
    client.update_function_configuration(FunctionName="render", Timeout=60)
    cloud.faults.error("cloudtrail.LookupEvents", "AccessDeniedException", 400, "not authorized")
    found = look(live, who=True)
    assert found.trail.events == ()
    assert "not allowed cloudtrail:LookupEvents" in found.trail.note
    assert causes(found) == {"timeout_seconds": "aws"}


def test_an_alias_that_was_moved_is_a_difference(
    live: Manifest,
    manifest: Callable[..., Manifest],
    deploy: Callable[..., Any],
    look: Callable[..., Drift],
    client: Any,
) -> None:
    newer = manifest(key=live.model.spec.s3.key, settings=LIVE, timeoutSeconds="20")  # type: ignore[union-attr]
    deploy(newer)
    client.update_alias(FunctionName="render", Name="live", FunctionVersion="1")
    found = look(newer)
    assert list(causes(found)) == ["alias.live"]
    assert "a deployment was stopped or rolled back" in found.notes[0]


def test_nothing_is_changed_by_looking(
    live: Manifest, look: Callable[..., Drift], client: Any, cloud: Emulator, aws: Aws
) -> None:
    client.update_function_configuration(FunctionName="render", Timeout=60)
    cloud.calls.clear()
    look(live, who=True)
    assert [call.name for call in cloud.calls if call.changing] == []
