from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planton_build.deploy.observed import code_digest, observe, read_answer
from planton_build.errors import AccessDenied, DeployRefused
from planton_build.publish.aws import Aws

DIGEST = "ab" * 32
KEYS = [
    "Configuration", "Code", "Concurrency", "FunctionArn", "PackageType", "Architectures", "Role", "Runtime",
    "Environment", "Variables", "Error", "VpcConfig", "SubnetIds", "Layers", "Arn", "CodeSha256", "ImageUri",
    "ResolvedImageUri", "MemorySize", "Timeout", "State", "ReservedConcurrentExecutions", "RevisionId",
]  # fmt: skip
HOSTILE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
    max_leaves=30,
)


def read(**configuration: Any) -> Any:
    return read_answer("render", {"Configuration": {"FunctionArn": "arn", **configuration}})


def test_a_bare_answer_reads_as_lambdas_defaults() -> None:
    found = read()
    assert (found.package, found.architecture, found.memory_mb, found.timeout_seconds) == (
        "Zip",
        "x86_64",
        128,
        3,
    )
    assert (found.environment, found.layers, found.subnets, found.kms_key) == ({}, (), (), "")
    assert (found.code_sha256, found.reserved_concurrency, found.revision_id) == (None, None, None)
    assert not found.busy
    assert not found.failed


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(KEYS), HOSTILE, max_size=10))
def test_no_answer_breaks_the_reading(configuration: dict[str, Any]) -> None:
    found = read(**configuration)
    assert isinstance(found.memory_mb, int)
    assert all(isinstance(layer, str) and layer for layer in found.layers)
    assert found.package in ("Zip", "Image")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(HOSTILE)
def test_an_answer_that_is_no_function_is_refused_or_read(answer: Any) -> None:
    answer = answer if isinstance(answer, dict) else {}
    if isinstance(answer.get("Configuration"), dict) and answer["Configuration"]:
        assert read_answer("render", answer).name == "render"
    else:
        with pytest.raises(DeployRefused):
            read_answer("render", answer)


def test_the_code_of_a_zip_is_told_in_base64() -> None:
    assert read(CodeSha256=base64.b64encode(bytes.fromhex(DIGEST)).decode()).code_sha256 == DIGEST


@pytest.mark.parametrize("encoded", [None, 7, "", "%%%", "YQ==", DIGEST])
def test_what_is_no_digest_is_none(encoded: object) -> None:
    assert code_digest(encoded) is None


def test_the_code_of_an_image_is_its_resolved_digest() -> None:
    found = read_answer(
        "render",
        {
            "Configuration": {"PackageType": "Image", "CodeSha256": "cd" * 32},
            "Code": {"ImageUri": "host/x:1", "ResolvedImageUri": f"host/x@sha256:{DIGEST}"},
        },
    )
    assert (found.code_sha256, found.image_uri) == (DIGEST, "host/x:1")
    assert read(PackageType="Image", CodeSha256="cd" * 32).code_sha256 == "cd" * 32


def test_an_environment_that_lambda_cannot_read_is_unknown_and_not_empty() -> None:
    assert read(Environment={"Error": {"ErrorCode": "AccessDeniedException"}}).environment is None


@pytest.mark.parametrize(
    ("state", "update", "busy", "failed"),
    [
        ("Pending", None, True, False),
        ("Pending", "InProgress", True, False),
        ("Active", "InProgress", True, False),
        ("Active", None, True, False),
        ("Active", "Successful", False, False),
        ("Active", "Failed", False, True),
        ("Failed", "Successful", False, True),
        ("Inactive", "Successful", False, False),
        ("Deactivated", "Successful", False, False),
        ("ActiveNonInvocable", "Successful", False, False),
        (None, None, False, False),
    ],
)
def test_states(state: str | None, update: str | None, busy: bool, failed: bool) -> None:
    found = read(State=state, LastUpdateStatus=update)
    assert (found.busy, found.failed) == (busy, failed)


def test_observations_are_equal_when_only_the_revision_differs() -> None:
    assert read(RevisionId="1", State="Active") == read(RevisionId="2", State="Pending")
    assert read(MemorySize=128) != read(MemorySize=256)


def test_a_function_that_is_not_there_is_none(aws: Aws) -> None:
    assert observe("nothing", aws, None) is None


def test_a_missing_permission_names_the_action(aws: Aws, front: Any) -> None:
    front.refuse("GetFunction", 403, "AccessDeniedException", "no")
    with pytest.raises(AccessDenied, match="lambda:GetFunction"):
        observe("render", aws, None)


def test_an_answer_of_something_else_is_not_taken_for_an_absent_function(aws: Aws, front: Any) -> None:
    front.refuse("GetFunction", 404, "NotFound", "no such page")
    with pytest.raises(DeployRefused, match="NotFound"):
        observe("render", aws, None)
