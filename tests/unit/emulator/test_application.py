"""Lambda before moto over HTTP: whom a request is for, and what is told of it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from planton_build.emulator.operations import OPERATIONS
from planton_build.emulator.refusal import invalid
from planton_build.emulator.serve import Emulator

Client = Callable[..., Any]


@pytest.fixture
def operation(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Serve an operation in a test's own way."""
    return lambda name, serves: monkeypatch.setitem(OPERATIONS, name, serves)


def test_the_account_is_the_access_key_id_and_the_region_that_of_the_signature(
    emulator: Emulator, client: Client, operation: Callable[..., None]
) -> None:
    operation("ListFunctions", lambda region, _: {"NextMarker": f"{region.account} {region.region}"})
    told = client("lambda", "111122223333", "eu-north-1").list_functions()["NextMarker"]
    assert told == "111122223333 eu-north-1"
    assert client("lambda", "AKIA1234").list_functions()["NextMarker"] == "123456789012 eu-west-1"
    assert client("sts", "111122223333").get_caller_identity()["Account"] == "111122223333"
    assert [call.account for call in emulator.calls] == ["111122223333", "123456789012", "111122223333"]


def test_requests_reach_the_operation_as_the_model_has_them(
    emulator: Emulator, client: Client, operation: Callable[..., None]
) -> None:
    seen: list[Any] = []

    def invoke(_: Any, request: Any) -> Any:
        seen.append(request)
        return {"StatusCode": 200, "ExecutedVersion": "7", "Payload": b"[1]", "FunctionError": "Unhandled"}

    operation("Invoke", invoke)
    answer = client("lambda").invoke(FunctionName="f", Qualifier="live", Payload=b"{}")
    assert seen == [{"FunctionName": "f", "Qualifier": "live", "Payload": b"{}"}]
    assert (answer["Payload"].read(), answer["ExecutedVersion"]) == (b"[1]", "7")
    assert answer["FunctionError"] == "Unhandled"


def test_what_an_operation_refuses_is_an_exception_of_the_client(
    emulator: Emulator, client: Client, operation: Callable[..., None]
) -> None:
    def refuse(*_: object) -> None:
        raise invalid("not this one")

    operation("DeleteFunction", refuse)
    with pytest.raises(client("lambda").exceptions.InvalidParameterValueException, match="not this one"):
        client("lambda").delete_function(FunctionName="f")
    (call,) = emulator.calls
    assert (call.status, call.error) == (400, "InvalidParameterValueException")


def test_what_does_not_fit_the_model_does_not_reach_the_operation(
    emulator: Emulator, client: Client, operation: Callable[..., None]
) -> None:
    operation("GetFunction", lambda *_: pytest.fail("it was asked"))
    with pytest.raises(ClientError, match="1 validation error detected: Value 'a b' at 'functionName'"):
        client("lambda").get_function(FunctionName="a b")


def test_a_failure_of_the_emulator_is_no_silent_one(
    emulator: Emulator, client: Client, operation: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    operation("GetFunction", lambda *_: 1 / 0)
    with pytest.raises(client("lambda").exceptions.ServiceException, match="ZeroDivisionError"):
        client("lambda").get_function(FunctionName="f")
    assert "GetFunction failed" in caplog.text


def test_operations_that_nobody_serves_are_named(emulator: Emulator, client: Client) -> None:
    with pytest.raises(ClientError, match="does not serve GetCapacityProvider") as caught:
        client("lambda").get_capacity_provider(CapacityProviderName="x")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_a_path_of_lambdas_that_is_no_operation_is_not_handed_on(emulator: Emulator) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{emulator.url}/2015-03-31/nothing")
    assert caught.value.code == 404
    caught.value.close()


def test_calls_of_all_services_are_told_by_name(emulator: Emulator, client: Client, bucket: str) -> None:
    emulator.calls.clear()
    s3 = client("s3")
    s3.put_object(Bucket=bucket, Key="a/b c", Body=b"x")
    s3.head_object(Bucket=bucket, Key="a/b c")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a/b c"})
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"x"
    client("iam").list_roles()
    client("ecr").describe_repositories()
    client("logs").create_log_group(logGroupName="group")
    client("cloudwatch").describe_alarms()
    assert emulator.calls.names() == [
        "s3.PutObject",
        "s3.HeadObject",
        "s3.GetObject",
        "iam.ListRoles",
        "ecr.DescribeRepositories",
        "logs.CreateLogGroup",
        "cloudwatch.DescribeAlarms",
    ]
    assert [call.name for call in emulator.calls.changing] == ["s3.PutObject", "logs.CreateLogGroup"]
    assert emulator.calls.named("CreateLogGroup")[0].request == {"logGroupName": "group"}


def test_a_reset_of_moto_forgets_lambda_too(emulator: Emulator) -> None:
    region = emulator.region()
    request = urllib.request.Request(f"{emulator.url}/moto-api/reset", method="POST")
    urllib.request.urlopen(request).close()
    assert emulator.region() is not region


def test_long_blobs_are_not_kept_in_the_log(
    emulator: Emulator, client: Client, operation: Callable[..., None]
) -> None:
    operation("UpdateFunctionCode", lambda *_: {})
    client("lambda").update_function_code(FunctionName="f", ZipFile=bytes(100_000), DryRun=True)
    client("lambda").update_function_code(FunctionName="f", ZipFile=b"PK")
    assert [call.request for call in emulator.calls] == [
        {"FunctionName": "f", "DryRun": True},
        {"FunctionName": "f", "ZipFile": b"PK"},
    ]


def test_changing_calls_are_in_the_trail_newest_first(
    emulator: Emulator, client: Client, operation: Callable[..., None]
) -> None:
    operation("UpdateFunctionConfiguration", lambda *_: {})
    secret = {"Variables": {"KEY": "hunter2"}}
    for name in ("one", "two", "arn:aws:lambda:eu-west-1:123456789012:function:one"):
        client("lambda").update_function_configuration(FunctionName=name, Environment=secret, Timeout=4)
    client("lambda").get_account_settings()
    trail = client("cloudtrail")
    chosen = [{"AttributeKey": "ResourceName", "AttributeValue": "one"}]
    found = trail.lookup_events(LookupAttributes=chosen)["Events"]
    assert [event["EventName"] for event in found] == ["UpdateFunctionConfiguration20150331v2"] * 2
    assert found[0]["EventTime"] >= found[1]["EventTime"]
    assert found[0]["Username"]
    assert json.loads(found[1]["CloudTrailEvent"])["requestParameters"] == {
        "functionName": "one",
        "timeout": 4,
    }
    assert "hunter2" not in str(found)
    first = trail.lookup_events(MaxResults=2)
    assert len(first["Events"]) == 2
    rest = trail.lookup_events(MaxResults=2, NextToken=first["NextToken"])
    assert (len(rest["Events"]), "NextToken" in rest) == (1, False)
    assert client("cloudtrail", "111122223333").lookup_events()["Events"] == []
