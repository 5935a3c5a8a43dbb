from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from planton_build.deploy.desired import DesiredFunction, desired_state
from planton_build.errors import NotDeployable, ReferenceUnresolved
from planton_build.manifest.code_source import ImageSource, S3Source
from planton_build.manifest.document import Manifest

Write = Callable[..., Manifest]
DIGEST = "ab" * 32


def test_what_is_left_out_gets_lambdas_defaults(manifest: Write) -> None:
    found = desired_state(manifest())
    expected = DesiredFunction(
        name="render",
        region="eu-west-1",
        package="Zip",
        code=S3Source("artifacts", f"render/{'0' * 64}.zip"),
        code_sha256="0" * 64,
        architecture="x86_64",
        role="arn:aws:iam::123456789012:role/worker",
        runtime="python3.13",
        handler="app.handler",
        description="",
        memory_mb=128,
        timeout_seconds=3,
        environment={},
        subnets=(),
        security_groups=(),
        layers=(),
        kms_key="",
        reserved_concurrency=None,
    )
    assert found == expected
    assert found.origin.endswith("render.yaml:6")


def test_everything_set_is_taken_over(manifest: Write) -> None:
    found = desired_state(
        manifest(
            description="draws",
            memoryMb="512",
            timeoutSeconds="45",
            architecture="ARM64",
            environment="{LOG: info, A_B: '1'}",
            subnets="[{value: subnet-b}, {value: subnet-a}, {value: subnet-b}]",
            securityGroups="[{value: sg-2}, {value: sg-1}]",
            layerArns="[{value: 'arn:aws:lambda:eu-west-1:123456789012:layer:z:1'}, "
            "{value: 'arn:aws:lambda:eu-west-1:123456789012:layer:a:2'}]",
            kmsKeyArn="{value: 'arn:aws:kms:eu-west-1:123456789012:key/1'}",
            reservedConcurrency="0",
            s3="{bucket: artifacts, key: any.zip, objectVersion: v1}",
        )
    )
    plain = desired_state(manifest())
    assert found == replace(
        plain,
        code=S3Source("artifacts", "any.zip", "v1"),
        code_sha256=None,
        architecture="arm64",
        description="draws",
        memory_mb=512,
        timeout_seconds=45,
        environment={"A_B": "1", "LOG": "info"},
        subnets=("subnet-a", "subnet-b"),
        security_groups=("sg-1", "sg-2"),
        layers=(
            "arn:aws:lambda:eu-west-1:123456789012:layer:z:1",
            "arn:aws:lambda:eu-west-1:123456789012:layer:a:2",
        ),
        kms_key="arn:aws:kms:eu-west-1:123456789012:key/1",
        reserved_concurrency=0,
    )


def test_an_image_has_no_runtime_and_no_handler(manifest: Write) -> None:
    uri = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/render@sha256:{DIGEST}"
    found = desired_state(manifest(codeSourceType="CODE_SOURCE_TYPE_IMAGE", s3=None, imageUri=uri))
    assert (found.package, found.code, found.code_sha256) == ("Image", ImageSource(uri), DIGEST)
    assert (found.runtime, found.handler) == ("", "")


def test_a_tag_does_not_tell_the_digest(manifest: Write) -> None:
    uri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/render:latest"
    found = desired_state(manifest(codeSourceType="CODE_SOURCE_TYPE_IMAGE", s3=None, imageUri=uri))
    assert found.code_sha256 is None


def test_no_code_source_is_not_deployable(manifest: Write) -> None:
    with pytest.raises(NotDeployable, match="render"):
        desired_state(manifest(s3=None))


def test_every_reference_is_a_finding_with_its_place(manifest: Write) -> None:
    with pytest.raises(ReferenceUnresolved) as caught:
        desired_state(
            manifest(
                roleArn="{valueFrom: {name: worker}}",
                subnets="[{value: subnet-a}, {valueFrom: {name: inner, env: prod}}]",
                kmsKeyArn="{valueFrom: {kind: AwsKmsKey, name: key, fieldPath: status.outputs.key_id}}",
            )
        )
    role, subnet, key = caught.value.findings
    assert role.message.startswith(
        "spec.role_arn refers to status.outputs.role_arn of AwsIamRole 'worker', whose value is not known"
    )
    assert role.line == 7
    assert subnet.message.startswith(
        "spec.subnets[1] refers to status.outputs.subnet_id of AwsSubnet 'inner' in prod"
    )
    assert "status.outputs.key_id of AwsKmsKey 'key'" in key.message
    assert all(finding.file and finding.column and finding.hint for finding in caught.value.findings)
    assert "(and 2 more)" in caught.value.message


def test_the_dialect_decides_what_a_short_reference_means(manifest: Write) -> None:
    old = manifest(
        dialect="aws.project-planton.org/v1", region=None, subnets="[{valueFrom: {name: net, fieldPath: x}}]"
    )
    with pytest.raises(ReferenceUnresolved, match="x of AwsVpc 'net'"):
        desired_state(old)


def test_environment_values_are_not_shown(manifest: Write) -> None:
    assert "hunter2" not in repr(desired_state(manifest(environment="{PASSWORD: hunter2}")))
