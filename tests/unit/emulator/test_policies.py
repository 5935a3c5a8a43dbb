from __future__ import annotations

import json
from typing import Any

import pytest

from planton_build.emulator.policies import POLICY_LIMIT


def _add(here: Any, identifier: str = "s3", **request: Any) -> Any:
    usual = {
        "FunctionName": "orders",
        "StatementId": identifier,
        "Action": "lambda:InvokeFunction",
        "Principal": "s3.amazonaws.com",
    }
    return here.call("AddPermission", **{**usual, **request})


def _refused(here: Any, **request: Any) -> Any:
    usual = {
        "FunctionName": "orders",
        "StatementId": "s3",
        "Action": "lambda:InvokeFunction",
        "Principal": "s3.amazonaws.com",
    }
    return here.refused("AddPermission", **{**usual, **request})


def _policy(here: Any, **request: Any) -> Any:
    return json.loads(here.call("GetPolicy", FunctionName="orders", **request)["Policy"])


def test_a_permission_has_the_shape_that_aws_shows(here: Any) -> None:
    function = here.add("orders", live="$LATEST")
    added = _add(
        here,
        Qualifier="live",
        SourceArn="arn:aws:s3:::bucket",
        SourceAccount="123456789012",
    )
    statement = {
        "Sid": "s3",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": f"{function.arn}:live",
        "Condition": {
            "StringEquals": {"AWS:SourceAccount": "123456789012"},
            "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"},
        },
    }
    assert json.loads(added["Statement"]) == statement
    assert _policy(here, Qualifier="live") == {
        "Version": "2012-10-17",
        "Id": "default",
        "Statement": [statement],
    }
    assert here.refused("GetPolicy", FunctionName="orders").status == 404


@pytest.mark.parametrize(
    ("principal", "shown"),
    [
        ("*", "*"),
        ("events.amazonaws.com", {"Service": "events.amazonaws.com"}),
        ("210987654321", {"AWS": "arn:aws:iam::210987654321:root"}),
        ("arn:aws:iam::210987654321:role/a", {"AWS": "arn:aws:iam::210987654321:role/a"}),
    ],
)
def test_principals_are_services_accounts_identities_or_everybody(
    here: Any, principal: str, shown: object
) -> None:
    here.add("orders")
    assert json.loads(_add(here, Principal=principal)["Statement"])["Principal"] == shown


def test_other_principals_are_refused(here: Any) -> None:
    here.add("orders")
    here.world.there["role"] = {"arn:aws:iam::123456789012:role/there"}
    for principal in ("nobody", "arn:aws:s3:::bucket", "arn:aws:iam::123456789012:role/gone"):
        assert "The provided principal was invalid." in _refused(here, Principal=principal).message
    _add(here, Principal="arn:aws:iam::123456789012:role/there")


def test_the_two_permissions_of_a_public_url(here: Any) -> None:
    here.add("orders")
    _add(here, "url", Action="lambda:InvokeFunctionUrl", Principal="*", FunctionUrlAuthType="NONE")
    _add(here, "call", Principal="*", InvokedViaFunctionUrl=True)
    url, call = _policy(here)["Statement"]
    assert url["Condition"] == {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}
    assert call["Condition"] == {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}
    assert "lambda:InvokeFunctionUrl" in _refused(here, StatementId="x", FunctionUrlAuthType="NONE").message
    mixed = {"StatementId": "x", "Action": "lambda:InvokeFunctionUrl", "InvokedViaFunctionUrl": True}
    assert "lambda:InvokeFunction action" in _refused(here, **mixed).message


def test_an_organisation_and_a_token_are_conditions(here: Any) -> None:
    here.add("orders")
    added = _add(here, Principal="*", PrincipalOrgID="o-1234567890", EventSourceToken="t")
    assert json.loads(added["Statement"])["Condition"]["StringEquals"] == {
        "aws:PrincipalOrgID": "o-1234567890",
        "lambda:EventSourceToken": "t",
    }


def test_statement_ids_are_unique_in_a_policy_and_no_further(here: Any) -> None:
    here.add("orders", "1", live="1")
    _add(here)
    _add(here, Qualifier="live")
    _add(here, Qualifier="1")
    refusal = _refused(here)
    assert (refusal.code, refusal.message) == (
        "ResourceConflictException",
        (
            "The statement id (s3) provided already exists. Please provide a new statement id, or remove "
            "the existing statement."
        ),
    )


def test_a_permission_moves_the_revision_of_what_it_is_on(here: Any) -> None:
    function = here.add("orders", "1", live="1")
    refusal = _refused(here, RevisionId="old")
    assert (refusal.code, refusal.status) == ("PreconditionFailedException", 412)
    _add(here, RevisionId="revision of $LATEST")
    revision = function.latest.configuration["RevisionId"]
    assert revision != "revision of $LATEST"
    assert here.call("GetPolicy", FunctionName="orders")["RevisionId"] == revision
    assert function.aliases["live"]["RevisionId"] == "revision of live"
    _add(here, Qualifier="live", RevisionId="revision of live")
    assert (
        here.call("GetPolicy", FunctionName="orders:live")["RevisionId"]
        == (function.aliases["live"]["RevisionId"])
    )
    refusal = here.refused("RemovePermission", FunctionName="orders", StatementId="s3", RevisionId="old")
    assert refusal.status == 412
    here.call("RemovePermission", FunctionName="orders", StatementId="s3", RevisionId=revision)
    assert function.latest.configuration["RevisionId"] != revision


def test_a_policy_goes_with_its_last_statement(here: Any) -> None:
    function = here.add("orders")
    _add(here, "a")
    _add(here, "b")
    here.call("RemovePermission", FunctionName="orders", StatementId="a")
    assert [one["Sid"] for one in _policy(here)["Statement"]] == ["b"]
    refusal = here.refused("RemovePermission", FunctionName="orders", StatementId="a")
    assert (refusal.status, refusal.message) == (404, "Statement a is not found in resource policy.")
    here.call("RemovePermission", FunctionName="orders", StatementId="b")
    refusal = here.refused("GetPolicy", FunctionName="orders")
    assert (refusal.status, refusal.message) == (404, "The resource you requested does not exist.")
    refusal = here.refused("RemovePermission", FunctionName="orders", StatementId="b")
    assert refusal.message == "No policy is associated with the given resource."
    refusal = here.refused("RemovePermission", FunctionName="gone", StatementId="b")
    assert refusal.message == f"No policy found for: {function.arn.replace('orders', 'gone')}"


def test_policies_have_a_greatest_size(here: Any) -> None:
    here.add("orders")
    added = 0
    while (
        len(here.call("GetPolicy", FunctionName="orders")["Policy"]) < POLICY_LIMIT - 400 if added else True
    ):
        _add(here, f"s{added}", SourceArn=f"arn:aws:s3:::{'b' * 60}")
        added += 1
    refusal = _refused(here, StatementId="last", SourceArn=f"arn:aws:s3:::{'b' * 400}")
    assert (refusal.code, refusal.status) == ("PolicyLengthExceededException", 400)
    assert refusal.message.endswith("is bigger than the limit (20480).")
    assert len(_policy(here)["Statement"]) == added


def test_latest_has_no_policy_of_its_own(here: Any) -> None:
    here.add("orders")
    assert "policies for $LATEST" in _refused(here, Qualifier="$LATEST").message
