from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from planton_build.errors import InvocationFailed
from planton_build.local.function import RunnableFunction
from planton_build.local.invoke import FunctionError, Invocation, _exit_text, handed_in, invoke
from planton_build.local.runtime_api import MAX_PAYLOAD
from planton_build.local.server import LocalAws

LOCAL = LocalAws("http://127.0.0.1:1", "us-east-1", 1)


@pytest.mark.parametrize(
    ("payload", "message"),
    [(b"", "not JSON"), (b"{", "not JSON"), (b'"' + b"x" * MAX_PAYLOAD + b'"', "6,291,458 bytes")],
)
def test_an_event_that_lambda_would_not_take_is_refused(payload: bytes, message: str, tmp_path: Path) -> None:
    function = RunnableFunction("f", "", "1", "python3.11", "a.b", "", 128, 3, {}, (), tmp_path / "absent")
    with pytest.raises(InvocationFailed, match=message):
        invoke(function, payload, local=LOCAL, state=tmp_path)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"errorType": "KeyError", "errorMessage": "x", "stackTrace": ["a", 1]}',
            ("KeyError", "x", ("a", "1")),
        ),
        (b'{"errorType": ["odd"], "errorMessage": null, "stackTrace": "no list"}', ("['odd']", "", ())),
        (b"[1]", ("Unhandled", "[1]", ())),
        (b"\xff", ("Unhandled", "�", ())),
    ],
)
def test_an_error_object_is_read_whatever_it_is(body: bytes, expected: tuple[object, ...]) -> None:
    error = handed_in(body)
    assert (error.type, error.message, error.stack) == expected


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("Unable to import module 'app': No module named 'numpy.linalg'", "does not contain 'numpy'"),
        ("Unable to import module 'src/app': No module named 'src.app'", "no such file"),
        ("Unable to import module 'app': cannot import name 'x' from 'y'", "raised an error"),
    ],
)
def test_an_import_error_says_what_to_do(message: str, hint: str) -> None:
    error = handed_in(
        json.dumps({"errorType": "Runtime.ImportModuleError", "errorMessage": message}).encode()
    )
    assert hint in (error.hint or "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "Runtime exited without providing a reason"),
        (3, "Runtime exited with error: exit status 3"),
        (-9, "Runtime exited with error: signal: killed"),
        (-11, "Runtime exited with error: signal: segmentation fault"),
    ],
)
def test_an_exit_is_told_in_lambdas_words(code: int, text: str) -> None:
    assert _exit_text(code) == text


def test_raise_for_error_carries_message_and_hint() -> None:
    Invocation("id", b"", "", None, 0, 0, None).raise_for_error()
    with pytest.raises(InvocationFailed, match=r"^KeyError: x$") as caught:
        Invocation("id", b"", "", FunctionError("KeyError", "x", (), "do y"), 0, 0, None).raise_for_error()
    assert caught.value.hint == "do y"
