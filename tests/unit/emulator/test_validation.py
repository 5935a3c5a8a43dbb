from __future__ import annotations

from typing import Any

import pytest

from planton_build.emulator.model import api
from planton_build.emulator.refusal import Refusal
from planton_build.emulator.validation import check

LAMBDA = api("lambda")
LONG = "a" * 65
FITS: dict[str, Any] = {
    "FunctionName": "render",
    "Role": "arn:aws:iam::123456789012:role/worker",
    "Code": {"ImageUri": "x"},
}


def refused(operation: str, document: dict[str, Any]) -> str:
    with pytest.raises(Refusal) as caught:
        check(LAMBDA.operation(operation), document)
    assert (caught.value.code, caught.value.status) == ("ValidationException", 400)
    return caught.value.message


def test_what_fits_passes() -> None:
    check(LAMBDA.operation("CreateFunction"), FITS)
    check(LAMBDA.operation("GetAccountSettings"), {})


@pytest.mark.parametrize(
    ("members", "value", "at", "constraint"),
    [
        ({"FunctionName": LONG}, f"'{LONG}'", "functionName", "length less than or equal to 64"),
        ({"Timeout": 9999}, "'9999'", "timeout", "value less than or equal to 5400"),
        ({"MemorySize": 5}, "'5'", "memorySize", "value greater than or equal to 128"),
    ],
    ids=["name", "timeout", "memory"],
)
def test_bounds(members: dict[str, Any], value: str, at: str, constraint: str) -> None:
    problem = f"Value {value} at '{at}' failed to satisfy constraint: Member must have {constraint}"
    assert refused("CreateFunction", FITS | members) == f"1 validation error detected: {problem}"


@pytest.mark.parametrize(
    ("members", "value", "at", "constraint"),
    [
        ({"PackageType": "Tar"}, "'Tar'", "packageType", "Member must satisfy enum value set: [Zip, Image]"),
        (
            {"Handler": "a b"},
            "'a b'",
            "handler",
            r"Member must satisfy regular expression pattern: [^\s]+",
        ),
        (
            {"VpcConfig": {"SubnetIds": ["net-1"]}},
            "'[net-1]'",
            "vpcConfig.subnetIds",
            "Member must satisfy constraint: [Member must have length less than or equal to 1024, ",
        ),
        (
            {"FileSystemConfigs": [{"Arn": "x", "LocalMountPath": "/mnt/a"}]},
            "'x'",
            "fileSystemConfigs.1.member.arn",
            "Member must satisfy regular expression pattern: arn:aws",
        ),
        ({"EphemeralStorage": {}}, "null", "ephemeralStorage.size", "Member must not be null"),
    ],
    ids=["enum", "pattern", "list", "structure", "required"],
)
def test_other_constraints(members: dict[str, Any], value: str, at: str, constraint: str) -> None:
    problem = f"Value {value} at '{at}' failed to satisfy constraint: {constraint}"
    assert refused("CreateFunction", FITS | members).startswith(f"1 validation error detected: {problem}")


def test_everything_that_is_wrong_is_told_at_once() -> None:
    message = refused("CreateFunction", {"FunctionName": "render", "Role": "worker", "Timeout": 0})
    assert message.startswith("3 validation errors detected: Value null at 'code'")
    assert "; Value 'worker' at 'role'" in message
    assert "; Value '0' at 'timeout'" in message


def test_values_of_the_environment_are_never_repeated() -> None:
    message = refused("CreateFunction", FITS | {"Environment": {"Variables": {"1": "hunter2"}}})
    assert "Value at 'environment.variables'" in message
    assert "Map keys must satisfy constraint: [" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("value", ["größe 1", "a/b=c+d-e@f:g._", "", "\u00a0日本 ²"])
def test_letters_of_all_languages_are_letters(value: str) -> None:
    tag = {"Resource": "arn:aws:lambda:eu-west-1:123456789012:function:x", "Tags": {"key": value}}
    check(LAMBDA.operation("TagResource"), tag)


@pytest.mark.parametrize("name", ["123", "a b", "", "a" * 129])
def test_names_that_no_alias_may_have(name: str) -> None:
    refused("CreateAlias", {"FunctionName": "f", "Name": name, "FunctionVersion": "1"})


def test_all_patterns_of_the_model_can_be_used() -> None:
    from planton_build.emulator.validation import _compiled

    patterns = {LAMBDA.model.shape_for(name).metadata.get("pattern") for name in LAMBDA.model.shape_names}
    assert all(_compiled(pattern) for pattern in patterns if pattern)
