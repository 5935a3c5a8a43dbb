"""Run a deployed function's code once, on this host, as Lambda would.

What runs is the artifact that the local AWS has, byte by byte (`function`). It is unpacked to a private
folder, and a process of the right Python serves one invocation over the Runtime API. The function sees
Lambda's environment and its own, and nothing of this host's: no credentials, no home folder. Its calls to AWS
reach the local AWS.

What differs from Lambda: the memory limit is reported and not enforced, the code folder is writable, the
content of layers is not there, and each invocation is a cold start.
"""

from __future__ import annotations

import json
import re
import signal
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from planton_build.archive.reader import ZipListing, read_zip
from planton_build.archive.unpack import LIMITS, unpack
from planton_build.errors import ArtifactNotRunnable, InvocationFailed
from planton_build.events import Listener, Note, ignore
from planton_build.local.environment import command, environment
from planton_build.local.function import RunnableFunction
from planton_build.local.process import FunctionProcess
from planton_build.local.runnable import check_runnable
from planton_build.local.runtime_api import (
    MAX_PAYLOAD,
    Answered,
    Exited,
    Fetched,
    Happening,
    Request,
    RuntimeApi,
)
from planton_build.local.runtime_wheels import runtime_wheels
from planton_build.local.server import LocalAws

INIT_SECONDS = 10.0
"""How long Lambda's init phase may take before it starts over within the function's timeout."""
_END_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class FunctionError:
    """Why an invocation failed, in Lambda's words. `hint` says what to do, where that is known."""

    type: str
    message: str
    stack: tuple[str, ...] = ()
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Invocation:
    """What came of an invocation.

    `payload` is the answer, or Lambda's error object when `error` is set. `init_ms` is the time until the
    handler's module was imported, `duration_ms` that of the handler. `max_memory_bytes` is the process's
    peak, or None where the system does not tell; the function's own limit is not enforced.
    """

    request_id: str
    payload: bytes
    log: str
    error: FunctionError | None
    init_ms: float
    duration_ms: float
    max_memory_bytes: int | None

    def raise_for_error(self) -> None:
        """Raise `InvocationFailed` when the function failed."""
        if self.error is not None:
            kind = f"{self.error.type}: " if self.error.type else ""
            raise InvocationFailed(f"{kind}{self.error.message}", hint=self.error.hint)


def invoke(
    function: RunnableFunction,
    payload: bytes,
    *,
    local: LocalAws,
    state: Path,
    timeout: float | None = None,
    any_python: bool = False,
    on_log: Callable[[str], None] = lambda _: None,
    listen: Listener = ignore,
) -> Invocation:
    """Run `function` with the event `payload` (JSON) and return what came of it.

    `state` is the folder in which Lambda's runtime client is kept. `timeout` in seconds replaces the
    function's own. `on_log` gets the log in pieces while the function runs, from another thread.

    Raises `InvocationFailed` for an event that Lambda would not take, `ArtifactNotRunnable` when this host
    cannot run the code, `LocalUnavailable` when the runtime client cannot be fetched. A function that fails
    is no exception: see `Invocation.error`.
    """
    check_payload(payload)
    listing = read_zip(function.artifact, limits=LIMITS)
    interpreter = check_runnable(
        function.artifact,
        listing,
        function.runtime,
        any_python=any_python,
        function=function.name,
        listen=listen,
    )
    for layer in function.layers:
        listen(Note(function.name, f"the layer {layer} is not there in a local invocation", "warning"))
    wheels = runtime_wheels(state)
    request = Request(
        request_id=str(uuid.uuid4()),
        payload=payload,
        function_arn=function.arn,
        trace_id=f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Sampled=0",
        timeout=float(timeout or function.timeout),
    )
    with tempfile.TemporaryDirectory(prefix="planton-invoke-", ignore_cleanup_errors=True) as name:
        root = Path(name).resolve()
        task = root / "var" / "task"
        for folder in (task, root / "tmp", root / "home"):
            folder.mkdir(parents=True)
        _unpack(function, listing, task)
        happenings: SimpleQueue[Happening] = SimpleQueue()
        with RuntimeApi(request, happenings) as api:
            process = FunctionProcess(
                command(interpreter, function, task, wheels),
                folder=task,
                environment=environment(function, root, api.address, local),
                happenings=happenings,
                on_log=on_log,
            )
            return _Course(request, happenings).follow(process)


def _unpack(function: RunnableFunction, listing: ZipListing, task: Path) -> None:
    try:
        unpack(function.artifact, listing, task)
    except OSError as error:
        raise ArtifactNotRunnable(
            f"the code of {function.name} cannot be unpacked here: {error.strerror or error}",
            hint=f"It takes {listing.size:,} bytes below {task.parents[1].parent}.",
        ) from error


def check_payload(payload: bytes) -> None:
    """Raise `InvocationFailed` for an event that Lambda would not take."""
    if len(payload) > MAX_PAYLOAD:
        raise InvocationFailed(f"the event has {len(payload):,} bytes; Lambda takes {MAX_PAYLOAD:,}")
    try:
        json.loads(payload)
    except ValueError as error:
        raise InvocationFailed(f"the event is not JSON: {error}", hint="Lambda takes JSON only.") from error


class _Course:
    """Follows one invocation from start to end and puts together what came of it."""

    def __init__(self, request: Request, happenings: SimpleQueue[Happening]) -> None:
        self._request = request
        self._happenings = happenings

    def follow(self, process: FunctionProcess) -> Invocation:
        started = time.monotonic()
        with process:
            fetched, last = self._init()
            if fetched is not None:
                last = self._next(self._request.timeout)
        ended = last.at if isinstance(last, Answered) else time.monotonic()
        ready = fetched.at if fetched is not None else ended
        error, payload = self._outcome(last, during_init=fetched is None)
        exited = last if isinstance(last, Exited) else self._exit()
        return Invocation(
            request_id=self._request.request_id,
            payload=payload,
            log=process.log,
            error=error,
            init_ms=(ready - started) * 1000,
            duration_ms=(ended - ready) * 1000,
            max_memory_bytes=exited.max_memory if exited else None,
        )

    def _init(self) -> tuple[Fetched | None, Happening | None]:
        # Lambda stops a longer init and begins it anew, then within the function's own timeout.
        first = self._next(INIT_SECONDS + self._request.timeout)
        return (first, None) if isinstance(first, Fetched) else (None, first)

    def _next(self, seconds: float) -> Happening | None:
        with suppress(Empty):
            return self._happenings.get(timeout=seconds)
        return None

    def _exit(self) -> Exited | None:
        """Return how the process ended, which it has, or is about to."""
        while (happening := self._next(_END_SECONDS)) is not None:
            if isinstance(happening, Exited):
                return happening
        return None

    def _outcome(self, last: Happening | None, *, during_init: bool) -> tuple[FunctionError | None, bytes]:
        """Return the error, if any, and the payload of what happened last; None is a timeout."""
        if isinstance(last, Answered) and last.kind == "response":
            return None, last.body
        if isinstance(last, Answered):
            return handed_in(last.body), last.body
        if isinstance(last, Exited):
            return self._made("Runtime.ExitError", f"Error: {_exit_text(last.code)}", _exit_hint(last.code))
        seconds = self._request.timeout + (INIT_SECONDS if during_init else 0)
        where = "the function's modules were still being imported" if during_init else None
        hint = f"{where}. " if where else ""
        return self._made(
            "Sandbox.Timedout",
            f"Error: Task timed out after {seconds:.2f} seconds",
            f"{hint}spec.timeoutSeconds is the limit.",
        )

    def _made(self, kind: str, message: str, hint: str | None) -> tuple[FunctionError, bytes]:
        """Return an error that Lambda's platform, not the function, reports."""
        message = f"RequestId: {self._request.request_id} {message}"
        return FunctionError(kind, message, (), hint), json.dumps(
            {"errorType": kind, "errorMessage": message}
        ).encode()


def _exit_text(code: int) -> str:
    """Return Lambda's words for an exit code; negative ones are signals."""
    if code == 0:
        return "Runtime exited without providing a reason"
    if code < 0:
        with suppress(ValueError):
            return f"Runtime exited with error: signal: {(signal.strsignal(-code) or str(-code)).lower()}"
    return f"Runtime exited with error: exit status {code}"


def _exit_hint(code: int) -> str:
    if code < 0:
        return "The process crashed, most often inside native code. The log may say more."
    return "The function ended its process. A handler returns its answer; it does not call exit()."


def handed_in(body: bytes) -> FunctionError:
    """Read the error object that awslambdaric made. It is the function's own data: any part may be odd."""
    try:
        error: Any = json.loads(body)
    except ValueError:
        error = None
    if not isinstance(error, dict):
        return FunctionError("Unhandled", body[:1000].decode("utf-8", "replace"))
    kind, message, stack = (error.get(key) for key in ("errorType", "errorMessage", "stackTrace"))
    lines = tuple(str(line) for line in stack) if isinstance(stack, list) else ()
    return FunctionError(str(kind or ""), str(message or ""), lines, _hint(str(kind), str(message)))


def _hint(kind: str, message: str) -> str | None:
    """Return what to do about the failures of a function's start."""
    if kind == "Runtime.ImportModuleError":
        missing = re.search(r"No module named '([^']+)'", message)
        handler = re.search(r"Unable to import module '([^']+)'", message)
        if missing and handler and missing[1] == handler[1].replace("/", "."):
            return "spec.handler is FILE.FUNCTION, and the artifact has no such file at its root."
        if missing:
            package = missing[1].partition(".")[0]
            return (
                f"The artifact does not contain {package!r}: add the package that brings it to the "
                "function's dependencies, then build and deploy again."
            )
        return "The module was found and raised an error while it was imported."
    if kind == "Runtime.HandlerNotFound":
        return "spec.handler is MODULE.FUNCTION: the module has no function of that name."
    return None
