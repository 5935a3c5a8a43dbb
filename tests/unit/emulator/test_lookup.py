from __future__ import annotations

from typing import Any

import pytest

from planton_build.emulator.lookup import Address, address, resolved, touch, version_at, whole_function
from planton_build.emulator.refusal import Refusal

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("orders", Address("orders")),
        ("orders:live", Address("orders", "live")),
        ("orders:$LATEST", Address("orders", "$LATEST")),
        ("123456789012:function:orders", Address("orders")),
        ("123456789012:orders:7", Address("orders", "7")),
        ("eu-west-1:123456789012:function:orders:live", Address("orders", "live")),
        ("function:orders", Address("orders")),
        (ARN, Address("orders")),
        (f"{ARN}:12", Address("orders", "12")),
    ],
)
def test_names_and_whole_and_partial_arns_name_a_function(here: Any, text: str, expected: Address) -> None:
    assert address(here.region, {"FunctionName": text}) == expected


def test_a_qualifier_may_be_given_twice_when_both_agree(here: Any) -> None:
    request = {"FunctionName": "orders:live", "Qualifier": "live"}
    assert address(here.region, request) == Address("orders", "live")
    with pytest.raises(Refusal, match="derived qualifier"):
        address(here.region, request | {"Qualifier": "7"})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ARN.replace("eu-west-1", "us-east-1"), "ResourceNotFoundException"),
        (ARN.replace("123456789012", "210987654321"), "AccessDeniedException"),
        ("or ders", "ValidationException"),
    ],
)
def test_functions_of_elsewhere_are_refused(here: Any, text: str, code: str) -> None:
    with pytest.raises(Refusal) as refusal:
        address(here.region, {"FunctionName": text})
    assert refusal.value.code == code


def test_what_is_not_there_is_told_with_its_arn(here: Any) -> None:
    here.add("orders", "1", live="1")
    for name, message in (
        ("bills", f"Function not found: {ARN.replace('orders', 'bills')}"),
        ("orders:2", f"Function not found: {ARN}:2"),
        ("orders:test", f"Cannot find alias arn: {ARN}:test"),
    ):
        with pytest.raises(Refusal) as refusal:
            resolved(here.region, {"FunctionName": name})
        assert (refusal.value.status, refusal.value.message) == (404, message)


def test_an_alias_means_its_version(here: Any) -> None:
    function = here.add("orders", "1", "2", live="2")
    assert version_at(function, "live") is function.versions["2"]
    assert version_at(function, "$LATEST") is version_at(function, "") is function.latest


def test_operations_on_functions_refuse_qualifiers(here: Any) -> None:
    here.add("orders", "1", live="1")
    with pytest.raises(Refusal, match="permitted on Lambda functions only"):
        whole_function(here.region, {"FunctionName": "orders:live"})


def test_touching_gives_what_is_named_a_new_revision(here: Any) -> None:
    function = here.add("orders", "1", live="1")
    revision = touch(function, "live")
    assert function.aliases["live"]["RevisionId"] == revision
    assert function.latest.configuration["RevisionId"] == "revision of $LATEST"
