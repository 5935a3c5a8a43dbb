"""Run a deployed function's image once, on the container engine of this machine, as Lambda would.

The image brings Lambda's emulator with it (`sandbox.serving`). The function sees Lambda's environment and its
own, and nothing of this host's. What comes of it is what comes of a ZIP: `Invocation`.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from planton_build.events import Listener, Note, ignore
from planton_build.local.environment import image_environment
from planton_build.local.image import RunnableImage
from planton_build.local.invoke import FunctionError, Invocation, check_payload, handed_in
from planton_build.local.relay import relayed
from planton_build.local.runtime_api import MAX_RESPONSE
from planton_build.local.server import LocalAws
from planton_build.sandbox.engine import Engine, connect
from planton_build.sandbox.serving import (
    EMULATION_SLOWNESS,
    Served,
    Service,
    host_address,
    is_emulated,
    serve_once,
)
from planton_build.sandbox.strays import remove_strays

_TIMED_OUT = re.compile(rb"Task timed out after [\d.]+ seconds")
_RAISED = (
    {"errorMessage", "errorType", "requestId", "stackTrace"},  # Python's runtime client
    {"errorMessage", "errorType", "trace"},  # that of Node.js
)
_EXIT_HINT = "The process ended: by itself, or by a crash inside native code. The log may say more."


def invoke_image(
    function: RunnableImage,
    payload: bytes,
    *,
    local: LocalAws,
    environment: Mapping[str, str],
    on_log: Callable[[str], None] = lambda _: None,
    listen: Listener = ignore,
) -> Invocation:
    """Run `function` with the event `payload` (JSON) and return what came of it.

    `environment` says which engine is used, as for docker; nothing of it reaches the function. `on_log` gets
    the log in pieces while the function runs, from another thread.

    Raises `InvocationFailed` for an event that Lambda would not take, and what `connect` and `serve_once`
    raise. A function that fails is no exception: see `Invocation.error`.
    """
    check_payload(payload)
    engine = connect(environment)
    try:
        remove_strays(engine)
        return _served(engine, function, payload, local, on_log, listen)
    finally:
        engine.close()


def _served(
    engine: Engine,
    function: RunnableImage,
    payload: bytes,
    local: LocalAws,
    on_log: Callable[[str], None],
    listen: Listener,
) -> Invocation:
    if is_emulated(engine, function.image):
        message = f"its processor is emulated here; it may take {EMULATION_SLOWNESS} times its timeout"
        listen(Note(function.name, message, "warning"))
    port = urlsplit(local.endpoint).port or 0
    with relayed(port, host_address(engine)) as endpoint:
        if endpoint is None:
            message = (
                "the local AWS cannot be reached from its container: the engine is on a machine of its own"
            )
            listen(Note(function.name, message, "warning"))
        service = Service(
            what=f"invoking {function.name}",
            image=function.image,
            memory=function.memory_mb << 20,
            seconds=function.timeout,
            environment=image_environment(function, endpoint, local),
            pull_from=function.pull_from,
        )
        served = serve_once(engine, service, payload, on_log=on_log)
    request_id = served.requests[-1] if served.requests else str(uuid.uuid4())
    error, answer = _outcome(served, request_id)
    return Invocation(
        request_id=request_id,
        payload=answer,
        log=served.log,
        error=error,
        init_ms=served.init_ms,
        duration_ms=served.total_ms - served.init_ms,
        max_memory_bytes=None,
    )


def _outcome(served: Served, request_id: str) -> tuple[FunctionError | None, bytes]:
    """Return the error, if any, and the payload."""
    late = served.status == 0 and served.total_ms >= served.seconds * 1000
    if late or _TIMED_OUT.fullmatch(served.payload):
        text = f"Task timed out after {served.seconds:.2f} seconds"
        return _made("Sandbox.Timedout", text, request_id, "spec.timeoutSeconds is the limit.")
    if served.out_of_memory:
        text = "Runtime exited with error: signal: killed"
        return _made("Runtime.ExitError", text, request_id, "It used more memory than spec.memoryMb allows.")
    if served.status == 0:
        return _made("Runtime.ExitError", "Runtime exited without providing a reason", request_id, _EXIT_HINT)
    if len(served.payload) > MAX_RESPONSE:  # Lambda's emulator refuses it by itself; another program may not
        text = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE} bytes)."
        return _made("Function.ResponseSizeTooLarge", text, request_id, None)
    answer: Any = None
    try:
        answer = json.loads(served.payload)
    except ValueError:
        pass
    if served.status == 200 and not _is_raised(answer, served.requests):
        return None, served.payload
    error = handed_in(served.payload)
    if error.type == "Runtime.ExitError" and error.hint is None:
        error = FunctionError(error.type, error.message, error.stack, _EXIT_HINT)
    return error, served.payload


def _is_raised(answer: object, requests: tuple[str, ...]) -> bool:
    """Tell whether an answer is an error of the function's: the emulator sends both in the same way.

    A handler may return an object like an error's, so the invocation's id must be in it, where there is one.
    """
    if not isinstance(answer, dict) or set(answer) not in _RAISED:
        return False
    return answer.get("requestId", "") in {*requests, ""}


def _made(kind: str, text: str, request_id: str, hint: str | None) -> tuple[FunctionError, bytes]:
    """Return an error that Lambda's platform, not the function, reports."""
    message = f"RequestId: {request_id} Error: {text}"
    return FunctionError(kind, message, (), hint), json.dumps(
        {"errorType": kind, "errorMessage": message}
    ).encode()
