from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.deploy.aspects.statements import Statement, parse_policy, principal_of
from planton_build.errors import DeployRefused

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:render"


def policy(**statement: Any) -> str:
    usual = {
        "Sid": "planton-a",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": ARN,
    }
    return json.dumps({"Version": "2012-10-17", "Id": "default", "Statement": [usual | statement]})


def only(document: str) -> Statement:
    (statement,) = parse_policy(document, "render").values()
    return statement


PLAIN = Statement("planton-a", "s3.amazonaws.com", "lambda:InvokeFunction")


def test_a_plain_statement() -> None:
    assert only(policy()) == PLAIN


@pytest.mark.parametrize(
    ("principal", "read"),
    [
        ("*", "*"),
        ({"AWS": "*"}, "*"),
        ({"AWS": ["*"]}, "*"),
        ({"AWS": "arn:aws:iam::210987654321:root"}, "210987654321"),
        ({"AWS": "arn:aws-cn:iam::210987654321:root"}, "210987654321"),
        ({"AWS": "210987654321"}, "210987654321"),
        ({"AWS": "arn:aws:iam::210987654321:role/x"}, "arn:aws:iam::210987654321:role/x"),
    ],
)
def test_principals_are_read_in_one_way_of_writing(principal: Any, read: str) -> None:
    assert only(policy(Principal=principal)).principal == read
    assert only(policy(Principal=principal)).foreign == ""


def test_an_account_is_written_as_its_number_or_its_root() -> None:
    assert principal_of("arn:aws:iam::210987654321:root") == principal_of("210987654321")


@pytest.mark.parametrize(
    ("condition", "field", "value"),
    [
        ({"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b"}}, "source_arn", "arn:aws:s3:::b"),
        ({"ArnLike": {"aws:SourceArn": ["arn:aws:s3:::b"]}}, "source_arn", "arn:aws:s3:::b"),
        ({"StringEquals": {"AWS:SourceAccount": "210987654321"}}, "source_account", "210987654321"),
        ({"StringEquals": {"aws:PrincipalOrgID": "o-0123456789"}}, "organization", "o-0123456789"),
        ({"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}, "url_auth", "NONE"),
        ({"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}, "via_url", True),
        ({"Bool": {"lambda:InvokedViaFunctionUrl": True}}, "via_url", True),
    ],
)
def test_the_conditions_of_add_permission_are_known(condition: Any, field: str, value: Any) -> None:
    found = only(policy(Condition=condition))
    assert getattr(found, field) == value
    assert found.foreign == ""


@pytest.mark.parametrize(
    "statement",
    [
        {"Condition": {"StringEquals": {"lambda:EventSourceToken": "t"}}},
        {"Condition": {"StringLike": {"AWS:SourceArn": "arn:aws:s3:::b"}}},
        {"Condition": {"ArnLike": {"AWS:SourceArn": ["arn:aws:s3:::b", "arn:aws:s3:::c"]}}},
        {"Condition": {"ArnLike": []}},
        {"Condition": "none"},
        {"Effect": "Deny"},
        {"Action": ["lambda:InvokeFunction", "lambda:GetFunction"]},
        {"Principal": {"Service": "s3.amazonaws.com", "AWS": "*"}},
        {"NotPrincipal": {"AWS": "*"}},
    ],
)
def test_a_statement_with_more_than_add_permission_can_say_never_equals_a_wanted_one(statement: Any) -> None:
    found = only(policy(**statement))
    assert found.foreign
    assert found != PLAIN


@pytest.mark.parametrize(
    "document",
    ["", "{", "[]", "{}", '{"Statement": {}}', "[" * 100_000, '{"Statement": []}' + " " * 1_000_000],
)
def test_what_is_no_policy_is_refused(document: str) -> None:
    with pytest.raises(DeployRefused, match="the resource policy of render cannot be read"):
        parse_policy(document, "render")


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
MEMBERS = st.sampled_from(["Sid", "Effect", "Principal", "Action", "Resource", "Condition"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(MEMBERS, ANY, max_size=6), max_size=3))
def test_any_statement_is_read(statements: list[Any]) -> None:
    for key, statement in parse_policy(json.dumps({"Statement": statements}), "render").items():
        assert statement.id == key
        assert statement.shown
