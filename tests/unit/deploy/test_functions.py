from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from planton_build.deploy.functions import apply_all, plan_all
from planton_build.deploy.patience import Patience
from planton_build.errors import (
    CredentialsMissing,
    DeployRefused,
    NotDeployable,
    ReferenceUnresolved,
    SeveralErrors,
)
from planton_build.manifest.document import Manifest
from planton_build.publish.aws import Aws, AwsSettings

Write = Callable[..., Manifest]


def test_many_functions_are_planned_and_applied_in_their_order(
    manifest: Write, aws: Aws, front: Any, key: str, patience: Patience
) -> None:
    names = [f"function-{index}" for index in range(6)]
    manifests = [manifest(name, key=key) for name in names]
    planned = plan_all(manifests, lambda _: aws)
    assert [one.plan.desired.name for one in planned] == names
    applied = apply_all(planned, patience=patience)
    assert [one.function for one in applied] == names
    assert all(one.plan.empty for one in plan_all(manifests, lambda _: aws))


def test_nothing_is_asked_when_a_manifest_is_not_deployable(
    manifest: Write, aws: Aws, front: Any, key: str
) -> None:
    front.calls.clear()
    wrong = [manifest("a", s3=None), manifest("b", key=key, roleArn="{valueFrom: {name: r}}")]
    with pytest.raises(SeveralErrors) as caught:
        plan_all([manifest("c", key=key), *wrong], lambda _: aws)
    assert [type(error) for error in caught.value.errors] == [NotDeployable, ReferenceUnresolved]
    assert front.calls == []


def test_one_failure_does_not_stop_the_others(
    manifest: Write, aws: Aws, front: Any, key: str, patience: Patience
) -> None:
    planned = plan_all([manifest(name, key=key) for name in ("one", "two")], lambda _: aws)
    front.refuse("CreateFunction", 400, "InvalidParameterValueException", "no")
    with pytest.raises(DeployRefused):
        apply_all(planned, jobs=1, patience=patience)
    assert [one["FunctionName"] for one in aws.lambda_().list_functions()["Functions"]] == ["two"]


def test_two_manifests_of_one_function_are_refused(
    manifest: Write, aws: Aws, key: str, tmp_path: Any
) -> None:
    first = manifest(key=key)
    second = manifest("other", key=key, functionName="render")
    with pytest.raises(NotDeployable, match=r"render in eu-west-1: .*render\.yaml:6 and .*other\.yaml:6"):
        plan_all([first, second], lambda _: aws)


def test_the_same_name_in_another_region_is_another_function(manifest: Write, aws: Aws, key: str) -> None:
    manifests = [manifest(key=key), manifest("other", key=key, functionName="render", region="eu-west-3")]
    assert [one.region for one in plan_all(manifests, lambda _: aws)] == ["eu-west-1", "eu-west-3"]


def test_a_dialect_without_region_takes_the_sessions(manifest: Write, aws: Aws, key: str) -> None:
    old = manifest(key=key, dialect="aws.project-planton.org/v1", region=None)
    assert plan_all([old], lambda _: aws)[0].region == "eu-west-1"


def test_no_region_at_all_is_told(manifest: Write, aws: Aws, key: str, endpoint: str) -> None:
    old = manifest(key=key, dialect="aws.project-planton.org/v1", region=None)
    with pytest.raises(CredentialsMissing, match="region"):
        plan_all([old], lambda _: Aws(AwsSettings(endpoint_url=endpoint)))


def test_a_foreign_key_is_compared_by_the_checksum_that_s3_keeps(
    manifest: Write, aws: Aws, front: Any, deploy: Callable[[Manifest], Any], pack: Callable[[bytes], bytes]
) -> None:
    aws.s3().put_object(Bucket="artifacts", Key="app.zip", Body=pack(b"app"), ChecksumAlgorithm="SHA256")
    deploy(manifest(key="app.zip"))
    assert not deploy(manifest(key="app.zip")).changed
    assert front.calls == ["GetFunction", "HeadObject"]


def test_a_foreign_key_without_a_checksum_is_sent_each_time_with_a_note(
    manifest: Write, aws: Aws, front: Any, deploy: Callable[[Manifest], Any], pack: Callable[[bytes], bytes]
) -> None:
    aws.s3().put_object(Bucket="artifacts", Key="app.zip", Body=pack(b"app"), ChecksumAlgorithm="CRC32")
    deploy(manifest(key="app.zip"))
    deploy(manifest(key="app.zip"))
    assert front.changes == ["UpdateFunctionCode"]
    assert plan_all([manifest(key="app.zip")], lambda _: aws)[0].plan.notes
