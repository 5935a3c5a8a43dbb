from __future__ import annotations

import base64
import json
import threading
from typing import Any

import pytest

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
ROLE = "arn:aws:iam::123456789012:role/worker"


@pytest.fixture
def lam(here: Any, archive: bytes) -> Any:
    """Lambda with the function `orders`, whose invocations tell what ran."""
    here.call(
        "CreateFunction",
        FunctionName="orders",
        Role=ROLE,
        Runtime="python3.12",
        Handler="app.handler",
        Code={"ZipFile": archive},
        Publish=True,
    )

    def run(function: Any, version: str, event: bytes) -> Any:
        found = function.latest if version == "$LATEST" else function.versions[version]
        return json.dumps([version, found.running[0]["Timeout"], event.decode()]).encode(), "a line\n", None

    here.region.runner = run
    return here


def _invoke(here: Any, **more: Any) -> Any:
    return here.call("Invoke", FunctionName="orders", **more)


def _ran(here: Any, **more: Any) -> Any:
    return json.loads(_invoke(here, **more)["Payload"])


def test_an_invocation_answers_what_the_version_returns(lam: Any) -> None:
    answer = _invoke(lam, Payload=b'{"a": 1}', LogType="Tail", Qualifier="1")
    assert json.loads(answer["Payload"]) == ["1", 3, '{"a": 1}']
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "1")
    assert base64.b64decode(answer["LogResult"]) == b"a line\n"
    assert "FunctionError" not in answer
    assert "LogResult" not in _invoke(lam)
    assert _ran(lam) == ["$LATEST", 3, "{}"]


def test_the_tail_of_a_log_is_its_last_four_kilobytes(lam: Any) -> None:
    lam.region.runner = lambda *_: (b"null", "a" * 5000 + "b" * 4000, None)
    tail = base64.b64decode(_invoke(lam, LogType="Tail")["LogResult"])
    assert tail == b"a" * 96 + b"b" * 4000


def test_an_error_of_the_function_is_told_beside_its_payload(lam: Any) -> None:
    lam.region.runner = lambda *_: (b'{"errorType": "E"}', "", "Unhandled")
    answer = _invoke(lam)
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")


def test_the_log_goes_to_the_functions_group_and_a_stream_of_its_version(lam: Any) -> None:
    written: list[tuple[str, ...]] = []
    lam.world.log = lambda *line: written.append(line)
    _invoke(lam, Qualifier="1")
    account, region, group, stream, text = written[0]
    assert (account, region, group, text) == ("123456789012", "eu-west-1", "/aws/lambda/orders", "a line\n")
    assert "/[1]" in stream


def test_an_alias_goes_to_its_versions_by_turns(lam: Any) -> None:
    lam.call("UpdateFunctionConfiguration", FunctionName="orders", Timeout=9)
    lam.call("PublishVersion", FunctionName="orders")
    routing = {"AdditionalVersionWeights": {"2": 0.5}}
    lam.call("CreateAlias", FunctionName="orders", Name="live", FunctionVersion="1", RoutingConfig=routing)
    assert [_invoke(lam, Qualifier="live")["ExecutedVersion"] for _ in range(4)] == ["1", "2", "1", "2"]
    by_arn = [lam.call("Invoke", FunctionName=f"{ARN}:live")["Payload"] for _ in range(2)]
    assert [json.loads(payload)[1] for payload in by_arn] == [3, 9]


def test_an_update_in_progress_or_failed_runs_what_was_there_before(lam: Any) -> None:
    lam.call("GetFunction", FunctionName="orders")
    lam.behaviour.reads = 1
    lam.behaviour.failures["orders"] = ("InvalidImage", "x")
    lam.call("UpdateFunctionConfiguration", FunctionName="orders", Timeout=9)
    assert _ran(lam)[1] == 3
    for _ in range(2):
        lam.call("GetFunction", FunctionName="orders")
    assert _ran(lam)[1] == 3
    lam.call("UpdateFunctionConfiguration", FunctionName="orders", Timeout=10)
    for _ in range(2):
        lam.call("GetFunction", FunctionName="orders")
    assert _ran(lam)[1] == 10


def test_a_pending_function_is_not_invoked(lam: Any, archive: bytes) -> None:
    lam.behaviour.reads = 1
    lam.call(
        "CreateFunction",
        FunctionName="other",
        Role=ROLE,
        Runtime="python3.12",
        Handler="a.b",
        Code={"ZipFile": archive},
    )
    refusal = lam.refused("Invoke", FunctionName="other")
    assert (refusal.code, refusal.status) == ("ResourceConflictException", 409)
    assert refusal.message == (
        "The operation cannot be performed at this time. "
        "The function is currently in the following state: Pending"
    )


@pytest.mark.parametrize("qualifier", ["7", "live"])
def test_what_is_not_there_is_not_invoked(lam: Any, qualifier: str) -> None:
    refusal = lam.refused("Invoke", FunctionName="orders", Qualifier=qualifier)
    assert (refusal.status, refusal.message) == (404, f"Function not found: {ARN}:{qualifier}")


def test_payloads_are_json_and_limited(lam: Any) -> None:
    refusal = lam.refused("Invoke", FunctionName="orders", Payload=b"{'a'}")
    assert (refusal.code, refusal.status) == ("InvalidRequestContentException", 400)
    for kind, limit in (("RequestResponse", 6_291_456), ("Event", 1_048_576)):
        assert _invoke(lam, InvocationType=kind, Payload=b'"' + b"x" * (limit - 2) + b'"')
        refusal = lam.refused("Invoke", FunctionName="orders", InvocationType=kind, Payload=bytes(limit + 1))
        assert (refusal.code, refusal.status) == ("RequestTooLargeException", 413)


def test_a_result_that_is_too_large_is_an_error_of_the_function(lam: Any) -> None:
    lam.region.runner = lambda *_: (bytes(6_291_457), "", None)
    answer = _invoke(lam)
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"])["errorType"] == "Function.ResponseSizeTooLarge"


def test_an_event_runs_on_its_own_and_a_dry_run_does_not(lam: Any) -> None:
    ran = threading.Event()

    def run(*_: object) -> Any:
        ran.set()
        return b"null", "", None

    lam.region.runner = run
    assert _invoke(lam, InvocationType="DryRun") == {"StatusCode": 204}
    assert not ran.is_set()
    assert _invoke(lam, InvocationType="Event") == {"StatusCode": 202}
    assert ran.wait(5)


def test_a_function_that_is_switched_off_is_throttled(lam: Any) -> None:
    lam.region.functions["orders"].reserved = 0
    refusal = lam.refused("Invoke", FunctionName="orders")
    assert (refusal.code, refusal.status) == ("TooManyRequestsException", 429)
    assert refusal.members["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"


def test_a_function_may_call_lambda_while_it_runs(lam: Any) -> None:
    def run(function: Any, version: str, event: bytes) -> Any:
        found: list[Any] = []
        caller = threading.Thread(target=lambda: found.append(_guarded(lam)))
        caller.start()
        caller.join(5)
        return json.dumps(found).encode(), "", None

    lam.region.runner = run
    assert json.loads(_invoke(lam)["Payload"]) == ["orders"]


def _guarded(here: Any) -> str:
    """Call an operation as the application does: under the region's lock."""
    with here.region.lock:
        return str(here.call("GetFunctionConfiguration", FunctionName="orders")["FunctionName"])
