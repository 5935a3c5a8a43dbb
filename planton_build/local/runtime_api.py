"""The Lambda Runtime API for one invocation of one function, on loopback.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. What the function's process does is put as
values into a queue, in order: `Fetched`, then `Answered`; or `Answered` alone when it failed before it was
ready.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Any, Literal, Self, TypeAlias

MAX_PAYLOAD = 6 * 1024 * 1024
"""Largest event of a synchronous invocation, in bytes (Lambda quotas)."""
MAX_RESPONSE = 6_291_556
"""Largest answer, in bytes: the number in Lambda's own message about a larger one."""
_PREFIX = "/2018-06-01/runtime"
_NEXT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Request:
    """What the function is asked. `timeout` is in seconds."""

    request_id: str
    payload: bytes
    function_arn: str
    trace_id: str
    timeout: float


@dataclass(frozen=True, slots=True)
class Fetched:
    """The process took the invocation: its initialisation is over. `at` is monotonic, in seconds."""

    at: float


@dataclass(frozen=True, slots=True)
class Answered:
    """The process answered. `body` is the answer, or for `error` and `init_error` Lambda's error object."""

    kind: Literal["response", "error", "init_error"]
    body: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Exited:
    """The process ended. `code` is negative for a signal; `max_memory` is its peak in bytes where known."""

    code: int
    max_memory: int | None


Happening: TypeAlias = Fetched | Answered | Exited


class RuntimeApi:
    """Serves one `Request` while it is entered as a context. `address` is `host:port`."""

    def __init__(self, request: Request, happenings: SimpleQueue[Happening]) -> None:
        self.request = request
        self.closed = threading.Event()
        self._happenings = happenings
        self._lock = threading.Lock()
        self._fetched = False
        self._answered = False
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def address(self) -> str:
        """Return what goes into AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving; a process that waits for more is left without an answer."""
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self) -> bool:
        """Hand out the invocation; True for the first caller only."""
        with self._lock:
            if self._fetched:
                return False
            self._fetched = True
            self._happenings.put(Fetched(time.monotonic()))
            return True

    def answer(self, kind: Literal["response", "error", "init_error"], body: bytes) -> bool:
        """Take the one answer; False when it comes twice, or an invocation's before it was handed out."""
        with self._lock:
            if self._answered or (kind != "init_error" and not self._fetched):
                return False
            self._answered = True
            self._happenings.put(Answered(kind, body, time.monotonic()))
            return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a process waits in `next` until it is killed
    api: RuntimeApi

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a killed process leaves its connection behind."""


class _Handler(BaseHTTPRequestHandler):
    """Answers the calls of awslambdaric."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Answer `next`: the invocation the first time; afterwards nothing until the end."""
        api = self.server.api
        if self.path != f"{_PREFIX}/invocation/next":
            self._reply(HTTPStatus.NOT_FOUND, b"{}")
        elif not api.take():
            api.closed.wait(_NEXT_SECONDS)
            self.close_connection = True
        else:
            request = api.request
            headers = {
                "Lambda-Runtime-Aws-Request-Id": request.request_id,
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + request.timeout) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": request.function_arn,
                "Lambda-Runtime-Trace-Id": request.trace_id,
            }
            self._reply(HTTPStatus.OK, request.payload, headers)

    def do_POST(self) -> None:
        """Take a response, an error, or the report of a failed initialisation."""
        api = self.server.api
        invocation = f"{_PREFIX}/invocation/{api.request.request_id}"
        kinds: dict[str, Literal["response", "error", "init_error"]] = {
            f"{invocation}/response": "response",
            f"{invocation}/error": "error",
            f"{_PREFIX}/init/error": "init_error",
        }
        kind = kinds.get(self.path)
        length = self.headers.get("Content-Length", "")
        if kind is None or not length.isdecimal():
            self.close_connection = True
            self._reply(HTTPStatus.NOT_FOUND if kind is None else HTTPStatus.LENGTH_REQUIRED, b"{}")
        elif int(length) > MAX_RESPONSE:
            self._too_large()
        else:
            body = self.rfile.read(int(length))
            # A process that dies while it sends leaves a part; that is no answer.
            taken = len(body) == int(length) and api.answer(kind, body)
            self._reply(HTTPStatus.ACCEPTED if taken else HTTPStatus.FORBIDDEN, b"{}")

    def _too_large(self) -> None:
        """Turn a too large answer into the error that a caller of Lambda gets."""
        message = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE} bytes)."
        error = {"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}
        self.server.api.answer("error", json.dumps(error).encode())
        self.close_connection = True
        self._reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"{}")

    def _reply(self, status: HTTPStatus, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it
        """Keep no access log."""
