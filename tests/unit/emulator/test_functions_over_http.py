"""Functions as boto3 sees them: what goes over the wire, its own waiters, and moto's S3 and IAM behind it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from planton_build.emulator.serve import Emulator

Client = Callable[..., Any]
ROLE = "arn:aws:iam::123456789012:role/nobody"


def _refusal(call: Callable[..., Any], **request: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as refused:
        call(**request)
    answer = refused.value.response
    return (
        answer["ResponseMetadata"]["HTTPStatusCode"],
        answer["Error"]["Code"],
        answer["Error"]["Message"],
    )


def _wanted(role: str, bucket: str, **more: Any) -> dict[str, Any]:
    code = {"S3Bucket": bucket, "S3Key": "orders.zip"}
    zipped = {"Runtime": "python3.12", "Handler": "app.handler"}
    return {"FunctionName": "orders", "Role": role, "Code": code, **zipped, **more}


@pytest.fixture
def stored(client: Client, bucket: str, archive: bytes) -> str:
    client("s3").put_object(Bucket=bucket, Key="orders.zip", Body=archive)
    return bucket


def test_a_life_with_the_clients_own_waiters(
    emulator: Emulator, client: Client, role: str, stored: str, archive: bytes
) -> None:
    lam = client("lambda")
    emulator.behaviour.reads = 1
    fast = {"Delay": 0, "MaxAttempts": 5}
    variables = {"Variables": {"AB": "c"}}
    created = lam.create_function(**_wanted(role, stored, Tags={"team": "a"}, Environment=variables))
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert created["State"] == "Pending"
    lam.get_waiter("function_active_v2").wait(FunctionName="orders", WaiterConfig=fast)
    lam.update_function_configuration(FunctionName="orders", Timeout=9)
    lam.get_waiter("function_updated_v2").wait(FunctionName="orders", WaiterConfig=fast)
    found = lam.get_function(FunctionName="orders")
    assert (found["Configuration"]["Timeout"], found["Tags"]) == (9, {"team": "a"})
    assert found["Configuration"]["Environment"] == variables
    digest = base64.b64encode(hashlib.sha256(archive).digest()).decode()
    version = lam.publish_version(FunctionName="orders", CodeSha256=digest)["Version"]
    waiter = lam.get_waiter("published_version_active")
    waiter.wait(FunctionName="orders", Qualifier=version, WaiterConfig=fast)
    lam.create_alias(FunctionName="orders", Name="live", FunctionVersion=version)
    emulator.scripted.answer("orders", b'{"ok": true}')
    ran = lam.invoke(FunctionName="orders", Qualifier="live", Payload=b"{}", LogType="Tail")
    assert (json.load(ran["Payload"]), ran["ExecutedVersion"]) == ({"ok": True}, "1")
    assert base64.b64decode(ran["LogResult"]).startswith(b"START RequestId")
    groups = client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/orders")["logGroups"]
    assert len(groups) == 1
    lam.delete_alias(FunctionName="orders", Name="live")
    lam.delete_function(FunctionName="orders", Qualifier="1")
    assert len(lam.list_versions_by_function(FunctionName="orders")["Versions"]) == 1
    deleted = lam.delete_function(FunctionName="orders")
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    status, code, text = _refusal(lam.get_function, FunctionName="orders")
    assert (status, code) == (404, "ResourceNotFoundException")
    assert text == "Function not found: arn:aws:lambda:eu-west-1:123456789012:function:orders"


def test_code_is_read_from_s3_once_and_kept(
    emulator: Emulator, client: Client, role: str, stored: str, archive: bytes
) -> None:
    client("s3").delete_object(Bucket=stored, Key="orders.zip")
    status, code, text = _refusal(client("lambda").create_function, **_wanted(role, stored))
    assert (status, code) == (400, "InvalidParameterValueException")
    assert text == (
        "Error occurred while GetObject. S3 Error Code: NoSuchKey. "
        "S3 Error Message: The specified key does not exist."
    )
    client("s3").put_object(Bucket=stored, Key="orders.zip", Body=archive)
    client("lambda").create_function(**_wanted(role, stored))
    client("s3").delete_object(Bucket=stored, Key="orders.zip")
    kept = emulator.region().functions["orders"].latest.code.read
    assert kept is not None and kept() == archive


def test_a_role_that_is_not_there_is_refused(emulator: Emulator, client: Client, stored: str) -> None:
    status, code, text = _refusal(client("lambda").create_function, **_wanted(ROLE, stored))
    assert (status, code) == (400, "InvalidParameterValueException")
    assert text == "The role defined for the function cannot be assumed by Lambda."


def test_errors_have_the_clients_exceptions(
    emulator: Emulator, client: Client, role: str, stored: str
) -> None:
    lam = client("lambda")
    lam.create_function(**_wanted(role, stored))
    with pytest.raises(lam.exceptions.ResourceConflictException):
        lam.create_function(**_wanted(role, stored))
    with pytest.raises(lam.exceptions.PreconditionFailedException):
        lam.update_function_configuration(FunctionName="orders", RevisionId="stale")
    with pytest.raises(lam.exceptions.RequestTooLargeException):
        lam.invoke(FunctionName="orders", Payload=b'"' + b"x" * 6_291_456 + b'"')
    with pytest.raises(lam.exceptions.InvalidRequestContentException):
        lam.invoke(FunctionName="orders", Payload=b"{'")


def test_an_event_is_accepted(emulator: Emulator, client: Client, role: str, stored: str) -> None:
    client("lambda").create_function(**_wanted(role, stored))
    client("lambda").get_function(FunctionName="orders")
    answer = client("lambda").invoke(FunctionName="orders", InvocationType="Event", Payload=b"{}")
    assert answer["StatusCode"] == 202
    assert client("lambda").invoke(FunctionName="orders", InvocationType="DryRun")["StatusCode"] == 204


def test_pages_are_put_together_by_the_client(
    emulator: Emulator, client: Client, role: str, stored: str
) -> None:
    lam = client("lambda")
    for number in range(52):
        lam.create_function(**_wanted(role, stored, FunctionName=f"f{number}"))
    pages = lam.get_paginator("list_functions").paginate()
    assert len({one["FunctionName"] for page in pages for one in page["Functions"]}) == 52


def test_every_answer_has_only_what_the_model_knows(
    emulator: Emulator, client: Client, role: str, stored: str
) -> None:
    created = client("lambda").create_function(**_wanted(role, stored, Publish=True))
    assert created["Version"] == "1"
    found = client("lambda").get_function_configuration(FunctionName="orders", Qualifier="1")
    assert found["FunctionArn"].endswith(":function:orders:1")
    assert found["ConfigSha256"] and found["RuntimeVersionConfig"]["RuntimeVersionArn"]
