from __future__ import annotations

import json
from typing import Any

import pytest

from planton_build.local.environment import image_environment
from planton_build.local.image import RunnableImage
from planton_build.local.invoke_image import _outcome
from planton_build.local.server import LocalAws
from planton_build.oci.image import Image
from planton_build.sandbox.serving import Served

LOCAL = LocalAws("http://127.0.0.1:1234", "us-east-1", 1)
EXITED = (
    b'{"errorType":"Runtime.ExitError","errorMessage":"RequestId: r Error: Runtime exited with error: %s"}'
)
RAISED = {"errorMessage": "'x'", "errorType": "KeyError", "requestId": "r", "stackTrace": ["line"]}


def served(payload: bytes = b"null", **fields: Any) -> Served:
    usual = {"requests": ("r",), "log": "", "init_ms": 1.0, "total_ms": 2.0, "seconds": 3.0}
    return Served(**{"status": 200, "payload": payload, "out_of_memory": False, **usual, **fields})


@pytest.mark.parametrize(
    "payload", [b"null", b'"Task timed out after 3.00 seconds"', b'{"errorType": "mine"}']
)
def test_an_answer_is_no_error_whatever_it_looks_like(payload: bytes) -> None:
    assert _outcome(served(payload), "r") == (None, payload)


def test_an_object_like_an_error_of_another_invocation_is_an_answer() -> None:
    payload = json.dumps({**RAISED, "requestId": "another"}).encode()
    assert _outcome(served(payload), "r") == (None, payload)


def test_an_exception_is_an_error_with_its_stack() -> None:
    payload = json.dumps(RAISED).encode()
    error, answer = _outcome(served(payload), "r")
    assert answer == payload
    assert error is not None
    assert (error.type, error.message, error.stack) == ("KeyError", "'x'", ("line",))


def test_an_exception_of_node_is_an_error() -> None:
    error, _ = _outcome(served(b'{"errorType":"TypeError","errorMessage":"m","trace":["a"]}'), "r")
    assert error is not None
    assert (error.type, error.message) == ("TypeError", "m")


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": b"Task timed out after 3.00 seconds"},
        {"status": 0, "payload": b"", "total_ms": 20_000.0},
    ],
)
def test_a_timeout_is_told_in_lambdas_words(fields: dict[str, Any]) -> None:
    error, answer = _outcome(served(**fields), "r")
    assert error is not None
    assert error.type == "Sandbox.Timedout"
    assert error.message == "RequestId: r Error: Task timed out after 3.00 seconds"
    assert json.loads(answer) == {"errorType": error.type, "errorMessage": error.message}


def test_too_little_memory_is_told_apart_from_another_kill() -> None:
    killed = EXITED % b"signal: killed"
    error, _ = _outcome(served(killed, status=502, out_of_memory=True), "r")
    assert error is not None
    assert error.message.endswith("signal: killed")
    assert "spec.memoryMb" in (error.hint or "")
    error, answer = _outcome(served(killed, status=502), "r")
    assert error is not None
    assert "spec.memoryMb" not in (error.hint or "")
    assert answer == killed


def test_an_answer_that_is_too_large_is_not_cut_off() -> None:
    error, answer = _outcome(served(b'"' + b"x" * (7 << 20)), "r")
    assert error is not None
    assert error.type == "Function.ResponseSizeTooLarge"
    assert len(answer) < 1000


def test_an_emulator_that_ends_is_an_exit() -> None:
    error, _ = _outcome(served(b"", status=0), "r")
    assert error is not None
    assert error.message == "RequestId: r Error: Runtime exited without providing a reason"


def test_the_emulator_is_not_told_that_lambda_is_there() -> None:
    image = Image("", b"", b"", ())
    arn = "arn:aws:lambda:eu-west-1:111122223333:function:f"
    variables = {"AWS_LAMBDA_RUNTIME_API": "x", "AWS_REGION": "mine", "TABLE": "t", "HOME": "/mine"}
    function = RunnableImage("f", arn, "7", "eu-west-1", 256, 3, variables, image, None)
    found = image_environment(function, "http://172.17.0.1:5", LOCAL)
    assert "AWS_LAMBDA_RUNTIME_API" not in found
    assert (found["AWS_REGION"], found["TABLE"], found["HOME"]) == ("eu-west-1", "t", "/mine")
    assert (found["AWS_ENDPOINT_URL"], found["AWS_ACCESS_KEY_ID"]) == ("http://172.17.0.1:5", "111122223333")
    assert "AWS_ENDPOINT_URL" not in image_environment(function, None, LOCAL)
