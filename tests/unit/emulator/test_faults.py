from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from planton_build.emulator.calls import Call
from planton_build.emulator.faults import Bucket, Fault, Faults
from planton_build.emulator.serve import Emulator

Client = Callable[..., Any]


def call(name: str = "lambda.UpdateAlias") -> Call:
    service, _, operation = name.partition(".")
    return Call(service, operation, "123456789012", "eu-west-1")


def kinds(faults: Faults, one: Call) -> list[str]:
    return [fault.kind for fault in faults.of(one)]


@pytest.mark.parametrize(
    ("matches", "name", "concerns"),
    [
        ("*", "s3.GetObject", True),
        ("changing", "lambda.UpdateAlias", True),
        ("changing", "lambda.GetAlias", False),
        ("changing", "lambda.Invoke", False),
        ("UpdateAlias", "lambda.UpdateAlias", True),
        ("lambda.UpdateAlias", "lambda.UpdateAlias", True),
        ("s3.UpdateAlias", "lambda.UpdateAlias", False),
        ("s3.*", "s3.PutObject", True),
        ("s3.*", "lambda.GetAlias", False),
    ],
)
def test_a_fault_concerns_what_it_names(matches: str, name: str, concerns: bool) -> None:
    assert Fault(matches, "drop").concerns(call(name)) is concerns


def test_a_fault_happens_to_the_nth_call_and_as_often_as_it_says() -> None:
    faults = Faults()
    faults.error("UpdateAlias", "X", 400, "no", nth=2, times=2)
    assert [kinds(faults, call()) for _ in range(5)] == [[], ["error"], ["error"], [], []]
    assert faults.waiting == []


def test_faults_that_decide_queue_up_and_others_happen_beside_them() -> None:
    faults = Faults()
    faults.error("UpdateAlias", "X", 400, "no")
    faults.lose("UpdateAlias")
    faults.before("UpdateAlias", lambda: None)
    assert [kinds(faults, call()) for _ in range(3)] == [["error", "before"], ["lose"], []]


def test_a_bucket_fills_again_with_time() -> None:
    now = [0.0]
    bucket = Bucket(2, 2, lambda: now[0])
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    now[0] = 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]
    now[0] = 60
    assert [bucket.take() for _ in range(3)] == [True, True, False]


def put_tag(client: Client, value: str = "1") -> None:
    client("logs").tag_resource(resourceArn=ARN, tags={"value": value})


ARN = "arn:aws:logs:eu-west-1:123456789012:log-group:group"


def tags(client: Client) -> dict[str, str]:
    return dict(client("logs").list_tags_for_resource(resourceArn=ARN)["tags"])


@pytest.fixture
def group(emulator: Emulator, client: Client) -> None:
    client("logs").create_log_group(logGroupName="group")
    emulator.calls.clear()


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize(
    ("kind", "error", "effect"),
    [
        ("drop", ConnectionClosedError, False),
        ("lose_connection", ConnectionClosedError, True),
        ("lose", ClientError, True),
        ("error", ClientError, False),
    ],
)
def test_a_call_that_fails_has_its_effect_or_not(
    emulator: Emulator, client: Client, kind: Any, error: type[Exception], effect: bool
) -> None:
    emulator.faults.add(Fault("logs.TagResource", kind))
    with pytest.raises(error):
        put_tag(client)
    assert tags(client) == ({"value": "1"} if effect else {})
    assert len(emulator.calls.changing) == 1
    put_tag(client, "2")
    assert tags(client) == {"value": "2"}


@pytest.mark.parametrize(
    ("service", "read"),
    [
        ("s3", "list_buckets"),
        ("iam", "list_roles"),
        ("cloudwatch", "describe_alarms"),
        ("sqs", "list_queues"),
        ("lambda", "get_account_settings"),
    ],
)
def test_every_protocol_has_its_errors(emulator: Emulator, client: Client, service: str, read: str) -> None:
    emulator.faults.error(f"{service}.*", "AccessDenied", 403, "not <you>")
    with pytest.raises(ClientError) as caught:
        getattr(client(service), read)()
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    assert caught.value.response["Error"]["Message"] == "not <you>"
    getattr(client(service), read)()


@pytest.mark.usefixtures("group")
def test_something_happens_before_the_effect_and_after_it(emulator: Emulator, client: Client) -> None:
    seen: list[dict[str, str]] = []
    emulator.faults.before("TagResource", lambda: seen.append(tags(client)))
    emulator.faults.after("TagResource", lambda: seen.append(tags(client)))
    put_tag(client)
    assert seen == [{}, {"value": "1"}]


def test_too_many_calls_are_throttled_with_the_time_to_wait(emulator: Emulator, client: Client) -> None:
    emulator.faults._now = lambda: 0.0
    emulator.faults.throttle(2)
    for _ in range(2):
        client("lambda").get_account_settings()
    client("s3").list_buckets()
    with pytest.raises(client("lambda").exceptions.TooManyRequestsException) as caught:
        client("lambda").get_account_settings()
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
    client("lambda", account="111122223333").get_account_settings()
    emulator.faults.throttle(None)
    client("lambda").get_account_settings()


def http(emulator: Emulator, method: str, what: str, body: object = None) -> Any:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{emulator.url}/_planton/{what}", content, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def test_another_process_makes_calls_fail_and_reads_them(emulator: Emulator, client: Client) -> None:
    http(emulator, "POST", "faults", {"matches": "lambda.*", "kind": "drop"})
    assert [one["matches"] for one in http(emulator, "GET", "faults")] == ["lambda.*"]
    with pytest.raises(ConnectionClosedError):
        client("lambda").get_account_settings()
    assert http(emulator, "GET", "faults") == []
    (seen,) = http(emulator, "GET", "calls")
    assert (seen["service"], seen["operation"], seen["changing"]) == ("lambda", "GetAccountSettings", False)
    http(emulator, "DELETE", "calls")
    assert http(emulator, "GET", "calls") == []


def test_another_process_sets_how_it_behaves(emulator: Emulator) -> None:
    set_to = {"reads": 3, "seconds": 1, "failures": {"f": ["InvalidSubnet", "no"]}, "late_roles": {"arn": 2}}
    assert http(emulator, "POST", "behaviour", set_to)["reads"] == 3
    assert emulator.behaviour.failures == {"f": ("InvalidSubnet", "no")}
    assert emulator.world.late_roles == {"arn": 2}
    http(emulator, "DELETE", "behaviour")
    assert (emulator.behaviour.reads, emulator.behaviour.failures) == (0, {})


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("faults", {"kind": "drop"}),
        ("faults", {"matches": "*", "kind": "explode"}),
        ("faults", {"matches": "*", "kind": "before"}),
        ("faults", {"matches": "*", "kind": "drop", "nth": "1"}),
        ("faults", {"matches": "*", "kind": "drop", "happens": "x"}),
        ("faults", []),
        ("behaviour", {"now": 1}),
        ("behaviour", {"unknown": 1}),
        ("behaviour", {"reads": "many"}),
        ("behaviour", {"failures": {"f": 1}}),
        ("behaviour", {"throttle": "fast"}),
        ("behaviour", {"late_roles": 3}),
    ],
)
def test_what_cannot_be_set_is_refused(emulator: Emulator, what: str, body: object) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        http(emulator, "POST", what, body)
    assert caught.value.code == 400
    caught.value.close()
