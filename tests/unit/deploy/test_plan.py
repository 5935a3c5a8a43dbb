from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction, desired_state
from planton_build.deploy.differences import CONFIGURATION
from planton_build.deploy.observed import ObservedFunction
from planton_build.deploy.plan import plan
from planton_build.deploy.steps import (
    CreateFunction,
    DeleteConcurrency,
    DeleteFunction,
    PutConcurrency,
    RequireCode,
    UpdateCode,
    UpdateConfiguration,
    WaitGone,
    WaitSettled,
)
from planton_build.manifest.code_source import ImageSource, S3Source
from planton_build.manifest.document import Manifest

URI = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/render@sha256:{'ab' * 32}"


@pytest.fixture
def desired(manifest: Callable[..., Manifest]) -> DesiredFunction:
    return desired_state(manifest(environment="{A_KEY: hunter2, B_KEY: b}", subnets="[{value: subnet-a}]"))


def same(desired: DesiredFunction, **other: Any) -> ObservedFunction:
    """The function as it is when it is as desired, but for what is given."""
    image = isinstance(desired.code, ImageSource)
    found = {name: getattr(desired, name) for name in (*CONFIGURATION, "name", "package", "architecture")}
    rest: dict[str, Any] = {
        "arn": "arn",
        "code_sha256": desired.code_sha256,
        "image_uri": desired.code.image_uri if image else "",
        "ipv6": False,
        "version": "$LATEST",
        "code_hash": "",
        "last_modified": "",
        "reserved_concurrency": desired.reserved_concurrency,
        "revision_id": "1",
        "state": "Active",
        "state_reason": "",
        "state_reason_code": "",
        "last_update": "Successful",
        "last_update_reason": "",
        "last_update_reason_code": "",
    }
    return ObservedFunction(**(found | rest | other))


def test_nothing_to_do(desired: DesiredFunction) -> None:
    found = plan(desired, same(desired))
    assert found.empty
    assert found.steps == ()
    assert found.changes == ()


def test_a_new_function_is_created_waited_for_and_reserved(desired: DesiredFunction) -> None:
    found = plan(replace(desired, reserved_concurrency=0), None)
    assert found.steps == (CreateFunction(), WaitSettled(), PutConcurrency(0))
    assert Change("function", None, "render") in found.changes
    assert Change("reserved_concurrency", None, "0") in found.changes
    assert Change("environment.A_KEY", None, "•••", secret=True) in found.changes


@pytest.mark.parametrize("reserved", [None, -1])
def test_a_new_function_without_reservation_is_just_created(
    desired: DesiredFunction, reserved: int | None
) -> None:
    steps = plan(replace(desired, reserved_concurrency=reserved), None).steps
    assert steps == (CreateFunction(), WaitSettled())


@pytest.mark.parametrize(
    ("name", "before", "shown"),
    [
        ("description", "old", Change("description", "old", None)),
        ("role", "arn:old", Change("role", "arn:old", "arn:aws:iam::123456789012:role/worker")),
        ("runtime", "python3.12", Change("runtime", "python3.12", "python3.13")),
        ("handler", "a.b", Change("handler", "a.b", "app.handler")),
        ("memory_mb", 512, Change("memory_mb", "512", "128")),
        ("timeout_seconds", 9, Change("timeout_seconds", "9", "3")),
        ("subnets", (), Change("subnets", None, "subnet-a")),
        ("security_groups", ("sg-1", "sg-2"), Change("security_groups", "sg-1, sg-2", None)),
        ("layers", ("arn:1",), Change("layers", "arn:1", None)),
        ("kms_key", "arn:key", Change("kms_key", "arn:key", None)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_field(desired: DesiredFunction, name: str, before: object, shown: Change) -> None:
    found = plan(desired, same(desired, **{name: before}))
    assert found.steps == (UpdateConfiguration((name,)), WaitSettled())
    assert found.changes == (shown,)


def test_environment_changes_are_told_by_key_and_masked(desired: DesiredFunction) -> None:
    found = plan(desired, same(desired, environment={"A_KEY": "other", "OLD_KEY": "x"}))
    assert found.changes == (
        Change("environment.A_KEY", "•••", "•••", secret=True),
        Change("environment.B_KEY", None, "•••", secret=True),
        Change("environment.OLD_KEY", "•••", None, secret=True),
    )
    assert "hunter2" not in repr(found)


def test_an_unreadable_environment_is_set_again(desired: DesiredFunction) -> None:
    found = plan(desired, same(desired, environment=None))
    assert found.steps[0] == UpdateConfiguration(("environment",))
    assert found.changes == (Change("environment", "unreadable", "•••", secret=True),)


def test_configuration_goes_before_code(desired: DesiredFunction) -> None:
    found = plan(desired, same(desired, memory_mb=512, code_sha256="cd" * 32))
    assert found.steps == (UpdateConfiguration(("memory_mb",)), WaitSettled(), UpdateCode(), WaitSettled())
    assert found.changes[1] == Change("code", "cd" * 32, desired.code_sha256)


def test_the_architecture_goes_with_the_code(desired: DesiredFunction) -> None:
    found = plan(desired, same(desired, architecture="arm64"))
    assert found.steps == (UpdateCode(), WaitSettled())
    assert found.changes == (Change("architecture", "arm64", "x86_64"),)


def test_code_that_does_not_say_what_it_is_is_sent_with_a_note(desired: DesiredFunction) -> None:
    other = replace(desired, code=S3Source("b", "latest.zip"), code_sha256=None)
    found = plan(other, same(desired))
    assert found.steps == (UpdateCode(), WaitSettled())
    assert "s3://b/latest.zip does not say" in found.notes[0]


def test_an_image_of_the_same_digest_or_name_is_the_same(desired: DesiredFunction) -> None:
    image = replace(desired, package="Image", code=ImageSource(URI), code_sha256="ab" * 32)
    assert plan(image, same(image)).empty
    assert plan(image, same(image, image_uri=URI.partition("@")[0] + ":tag")).empty
    assert plan(image, same(image, image_uri="")).empty
    assert plan(image, same(image, code_sha256="cd" * 32)).empty
    moved = same(image, code_sha256="cd" * 32, image_uri="host/other:tag")
    assert plan(image, moved).steps == (UpdateCode(), WaitSettled())


@pytest.mark.parametrize("uri", ["host/other:tag", "host:5000/render", URI.replace("eu-west", "eu-east")])
def test_the_same_image_in_another_repository_is_another_code(desired: DesiredFunction, uri: str) -> None:
    """Lambda fetches an image again after a while: from the repository that the function names."""
    image = replace(desired, package="Image", code=ImageSource(URI), code_sha256="ab" * 32)
    assert plan(image, same(image, image_uri=uri)).steps == (UpdateCode(), WaitSettled())


def test_an_image_by_tag_is_never_taken_for_the_same(desired: DesiredFunction) -> None:
    image = replace(desired, package="Image", code=ImageSource("host/x:1"), code_sha256=None)
    assert plan(image, same(image, code_sha256="cd" * 32)).steps == (UpdateCode(), WaitSettled())


@pytest.mark.parametrize(
    ("wanted", "observed", "step"),
    [
        (None, 5, None),
        (None, None, None),
        (-1, None, None),
        (-1, 5, DeleteConcurrency()),
        (-1, 0, DeleteConcurrency()),
        (0, None, PutConcurrency(0)),
        (0, 5, PutConcurrency(0)),
        (0, 0, None),
        (5, 0, PutConcurrency(5)),
        (5, 5, None),
        (5, None, PutConcurrency(5)),
    ],
)
def test_reserved_concurrency(
    desired: DesiredFunction, wanted: int | None, observed: int | None, step: object
) -> None:
    wants = replace(desired, reserved_concurrency=wanted)
    found = plan(wants, same(wants, reserved_concurrency=observed))
    assert found.steps == (() if step is None else (step,))
    assert len(found.changes) == (0 if step is None else 1)


def test_turning_off_comes_first_and_turning_on_last(desired: DesiredFunction) -> None:
    off = replace(desired, reserved_concurrency=0)
    assert plan(off, same(off, memory_mb=512, reserved_concurrency=5)).steps[0] == PutConcurrency(0)
    on = replace(desired, reserved_concurrency=5)
    assert plan(on, same(on, memory_mb=512, reserved_concurrency=0)).steps[-1] == PutConcurrency(5)


REPLACED = (RequireCode(), DeleteFunction(), WaitGone(), CreateFunction(), WaitSettled())


def test_another_package_type_is_a_replacement(desired: DesiredFunction) -> None:
    image = replace(
        desired, package="Image", code=ImageSource(URI), code_sha256="ab" * 32, runtime="", handler=""
    )
    found = plan(image, same(desired))
    assert found.replaces
    assert found.steps == REPLACED
    assert [(change.field, change.before, change.after) for change in found.changes] == [
        ("package", "Zip", "Image"),
        ("runtime", "python3.13", None),
        ("handler", "app.handler", None),
        ("code", "0" * 64, URI),
    ]
    assert "cannot change the package type" in found.notes[0]
    assert all(lost in found.notes[1] for lost in ("versions and aliases", "URL", "resource policy", "tags"))
    back = plan(desired, same(image))
    assert back.steps == REPLACED
    assert back.changes[0] == Change("package", "Image", "Zip")


@pytest.mark.parametrize(
    ("wanted", "found", "step", "shown"),
    [
        (None, None, None, False),
        (None, 7, 7, False),
        (None, 0, 0, False),
        (-1, 7, None, True),
        (3, 7, 3, True),
        (7, 7, 7, False),
        (0, None, 0, True),
    ],
)
def test_a_replacement_restores_the_reservation(
    desired: DesiredFunction, wanted: int | None, found: int | None, step: int | None, shown: bool
) -> None:
    wish = replace(desired, package="Image", code=ImageSource(URI), reserved_concurrency=wanted)
    result = plan(wish, same(desired, reserved_concurrency=found))
    assert result.steps == (*REPLACED, *(() if step is None else (PutConcurrency(step),)))
    assert ("reserved_concurrency" in [change.field for change in result.changes]) is shown
    assert any("reserved again" in note for note in result.notes) is (wanted is None and found is not None)


def test_a_function_that_is_being_deleted_is_created_when_it_is_gone(desired: DesiredFunction) -> None:
    found = plan(desired, same(desired, state="Deleting"))
    assert found.steps == (WaitGone(), CreateFunction(), WaitSettled())
    assert found.observed is None
    assert not found.replaces
    assert "still deleting" in found.notes[0]


def test_an_update_in_progress_is_waited_for_first(desired: DesiredFunction) -> None:
    found = plan(desired, same(desired, memory_mb=512, last_update="InProgress"))
    assert found.steps[:2] == (WaitSettled(ours=False), UpdateConfiguration(("memory_mb",)))
    idle = plan(desired, same(desired, state="Pending"))
    assert idle.steps == (WaitSettled(ours=True),)
    assert idle.empty


def test_a_failed_deployment_is_done_again_in_full(desired: DesiredFunction) -> None:
    found = plan(desired, same(desired, last_update="Failed", last_update_reason_code="InvalidSubnet"))
    managed = tuple(name for name in CONFIGURATION if getattr(desired, name) is not None)
    assert "tracing" not in managed
    assert found.steps == (UpdateConfiguration(managed), WaitSettled(), UpdateCode(), WaitSettled())
    assert found.changes == (Change("state", "Failed (InvalidSubnet)", "Active"),)
    assert found.notes
