from __future__ import annotations

from collections.abc import Callable

import pytest

from planton_build.deploy.role.wanted import account_in, configured, wanted_role
from planton_build.errors import ConfigInvalid, ReferenceUnresolved
from planton_build.manifest.document import Manifest
from planton_build.settings.model import DeploySettings, RoleSettings

ACCOUNT, REGION = "123456789012", "eu-west-1"
IMAGE = {
    "codeSourceType": "CODE_SOURCE_TYPE_IMAGE",
    "s3": None,
    "runtime": None,
    "handler": None,
    "imageUri": f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/render@sha256:{'ab' * 32}",
}


@pytest.mark.parametrize("fields", [{}, {"codeSourceType": None, "s3": None}, {"s3": None}, IMAGE])
def test_a_role_is_known_before_the_code(
    manifest: Callable[..., Manifest], fields: dict[str, str | None]
) -> None:
    assert configured(manifest(**fields)).name == "render"


def test_references_count_as_there_without_their_values(manifest: Callable[..., Manifest]) -> None:
    found = configured(
        manifest(
            roleArn="{valueFrom: {name: worker}}",
            subnets="[{valueFrom: {name: private}}]",
            layerArns="[{valueFrom: {kind: AwsLambdaLayer, name: x, fieldPath: status.outputs.arn}}]",
        )
    )
    assert found.subnets
    assert found.role == ""


def test_the_key_of_the_environment_needs_its_value(manifest: Callable[..., Manifest]) -> None:
    with pytest.raises(ReferenceUnresolved, match="kms_key_arn"):
        configured(manifest(kmsKeyArn="{valueFrom: {name: key}}"))


@pytest.mark.parametrize(
    ("arn", "name", "expected", "path"),
    [
        ("arn:aws:iam::123456789012:role/team/worker", "", "worker", "/team/"),
        ("arn:aws:iam::123456789012:role/worker", "", "worker", "/"),
        ("arn:aws:iam::123456789012:role/team/worker", "mine", "mine", "/its/"),
        ("", "", "render-role", "/its/"),
        ("no arn", "", "render-role", "/its/"),
    ],
)
def test_the_name_is_the_given_one_else_the_manifests_else_the_functions(
    manifest: Callable[..., Manifest], arn: str, name: str, expected: str, path: str
) -> None:
    role = f"{{value: '{arn}'}}" if arn else "{valueFrom: {name: worker}}"
    settings = DeploySettings(role=RoleSettings(path="/its/", permissions_boundary="arn:fence"))
    found = manifest(roleArn=role)
    wanted = wanted_role(found, configured(found, settings), ACCOUNT, REGION, name=name)
    assert (wanted.name, wanted.path, wanted.boundary) == (expected, path, "arn:fence")
    assert wanted.policy_name == "planton-render"
    assert bool(wanted.arn) is (expected == "worker")


def test_the_account_is_that_of_a_literal_role(manifest: Callable[..., Manifest]) -> None:
    assert account_in(manifest(roleArn="{value: 'arn:aws:iam::000000000001:role/x'}")) == "000000000001"
    assert account_in(manifest(roleArn="{valueFrom: {name: worker}}")) == ""


def test_a_name_that_iam_does_not_take_is_refused(manifest: Callable[..., Manifest]) -> None:
    found = manifest("f" * 62, roleArn="{valueFrom: {name: worker}}")
    with pytest.raises(ConfigInvalid, match="67 characters"):
        wanted_role(found, configured(found), ACCOUNT, REGION)
