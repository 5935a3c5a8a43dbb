"""`Application`: Lambda, as a WSGI application that hands all other services' requests to another one."""

from __future__ import annotations

import io
import logging
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from typing import Any, TypeAlias

from planton_build.emulator.calls import Call, Calls
from planton_build.emulator.controls import PRIVATE, Controls
from planton_build.emulator.faults import Fault, Faults
from planton_build.emulator.model import Found, api
from planton_build.emulator.operations import OPERATIONS, Document, load_operations
from planton_build.emulator.reading import read_request
from planton_build.emulator.refusal import Refusal, throttled
from planton_build.emulator.refusing import refuse
from planton_build.emulator.regions import Regions
from planton_build.emulator.services import Asked, read_environ
from planton_build.emulator.trail import look_up
from planton_build.emulator.validation import check
from planton_build.emulator.writing import Answer, write_answer

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
Wsgi: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

LARGEST_REQUEST = 70_167_211
"""Bytes of a request of Lambda's control plane: fifty MiB in Base64, and what is beside it. LocalStack's
recording of AWS tells the number."""
_MOTO_PATH = "/moto-api/"
_RESET_PATH = "/moto-api/reset"
_CODE_PATH = "/snapshots/"
"""Where `GetFunction.Code.Location` says that code is, though at another host."""
_KEPT_BYTES = 1 << 16
"""A longer blob of a request is not kept in the log of calls."""
_log = logging.getLogger(__name__)


class Application:
    """Lambda before `inner`, which serves everything else; every call is counted and may be made to fail.

    `calls`, `faults` and `regions` are for tests in this process; `controls` serves them to others over HTTP.
    """

    def __init__(self, inner: Wsgi, regions: Regions) -> None:
        load_operations()
        self._inner = inner
        self.regions = regions
        self.calls = Calls()
        self.faults = Faults()
        self.controls = Controls(self.calls, self.faults, regions)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request. Raises ConnectionAbortedError when the connection is cut on command."""
        path = str(environ.get("PATH_INFO", ""))
        body = _take_body(environ)
        if path.startswith(PRIVATE):
            answer = self.controls.answer(environ["REQUEST_METHOD"], path, body)
        elif path.startswith(_CODE_PATH):
            answer = self._code(path)
        elif path.startswith(_MOTO_PATH):
            if path == _RESET_PATH:
                self.regions.clear()
            answer = self._forward(environ, body)
        else:
            answer = self._serve(environ, body)
        return _send(answer, environ, start_response)

    def _code(self, path: str) -> Answer:
        """Answer with a ZIP, as the presigned URL of its `Location` would."""
        content = self.regions.code_at(path)
        if content is None:
            return Answer(
                404, [("content-type", "application/xml")], b"<Error><Code>NoSuchKey</Code></Error>"
            )
        return Answer(200, [("content-type", "application/zip")], content)

    def _serve(self, environ: Environ, body: bytes) -> Answer:
        asked = read_environ(environ, body)
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = asked.account
        call = Call(asked.service, asked.operation, asked.account, asked.region)
        wrong: Refusal | None = None
        if asked.service == "lambda":
            wrong = self._read_lambda(asked, call)
        else:
            call.request = asked.json
        self.calls.add(call)
        faults = self.faults.of(call)
        for fault in faults:
            _happen(fault, "before")
        deciding = next((fault for fault in faults if fault.kind not in {"before", "after", "delay"}), None)
        answer = self._refused_on_command(deciding, asked, environ)
        if answer is None:
            answer = self._carry_out(asked, call, wrong, environ)
        for fault in faults:
            _happen(fault, "after")
        if deciding is not None and deciding.kind == "lose_connection":
            _cut(environ)
        if deciding is not None and deciding.kind == "lose":
            answer = refuse(asked, Refusal("ServiceException", 500, "The answer was lost"))
        call.status = answer.status
        return answer

    def _read_lambda(self, asked: Asked, call: Call) -> Refusal | None:
        """Put the request into the call. Return why it cannot be read."""
        call.version = asked.path.split("/")[1].replace("-", "")
        if " " in asked.operation:
            return None
        found = Found(asked.operation, asked.labels)
        operation = api("lambda").operation(asked.operation)
        try:
            call.request = read_request(operation, found, asked.headers, asked.query, asked.body)
        except Refusal as refusal:
            return refusal
        return None

    def _refused_on_command(self, fault: Fault | None, asked: Asked, environ: Environ) -> Answer | None:
        """Return the answer that a fault gives instead of the effect; None lets the call be carried out."""
        if fault is None:
            return None
        if fault.kind == "drop":
            _cut(environ)
        if fault.kind == "answer":
            return fault.body
        if fault.kind == "error":
            shape = api("lambda").error(fault.code) if asked.service == "lambda" else None
            members = {"retryAfterSeconds": "1"} if fault.status == 429 else {}
            return refuse(asked, Refusal(fault.code, fault.status, fault.message, members), shape)
        return None

    def _carry_out(self, asked: Asked, call: Call, wrong: Refusal | None, environ: Environ) -> Answer:
        try:
            if self.faults.throttles(call):
                raise throttled()
            if wrong is not None:
                raise wrong
            if asked.service == "lambda":
                return self._lambda(asked, call)
            if call.name == "cloudtrail.LookupEvents":
                return _json_answer(look_up(asked, self.calls))
            return self._forward(environ, asked.body)
        except ImportError as error:
            text = f"moto's part for {asked.service} needs a module that is not installed: {error.name}"
            return refuse(asked, Refusal("NotImplementedException", 501, text))
        except Refusal as refusal:
            call.error = refusal.code
            shape = api("lambda").error(refusal.code) if asked.service == "lambda" else None
            return refuse(asked, refusal, shape)

    def _lambda(self, asked: Asked, call: Call) -> Answer:
        if " " in asked.operation:
            raise Refusal("UnknownOperationException", 404, f"No operation of Lambda is at {asked.operation}")
        if len(asked.body) > LARGEST_REQUEST:
            text = f"Request must be smaller than {LARGEST_REQUEST} bytes for the {asked.operation} operation"
            raise Refusal("RequestEntityTooLargeException", 413, text)
        operation, request = api("lambda").operation(asked.operation), call.request
        call.request = _without_large(request)
        check(operation, request)
        serve = OPERATIONS.get(asked.operation)
        if serve is None:
            raise Refusal("NotImplementedException", 501, f"The emulator does not serve {asked.operation}")
        region = self.regions.get(asked.account, asked.region)
        # Functions may call Lambda while they run, so an invocation holds no lock.
        with nullcontext() if asked.operation.startswith("Invoke") else region.lock:
            try:
                return write_answer(operation, serve(region, request))
            except Refusal:
                raise
            except Exception as error:
                _log.exception("%s failed", asked.operation)
                text = f"The emulator failed: {type(error).__name__}"
                raise Refusal("ServiceException", 500, text) from error

    def _forward(self, environ: Environ, body: bytes) -> Answer:
        environ["wsgi.input"], environ["wsgi.input_terminated"] = io.BytesIO(body), True
        found: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], *_: object) -> None:
            found[:] = [int(status.split()[0]), headers]

        content = b"".join(self._inner(environ, start))
        return Answer(found[0], found[1], content)


def _json_answer(document: Document) -> Answer:
    import json

    return Answer(200, [("content-type", "application/x-amz-json-1.1")], json.dumps(document).encode())


def _without_large(request: Document) -> Document:
    """Return a request for the log: without the bytes of ZIPs."""
    kept: Document = {}
    for name, value in request.items():
        if isinstance(value, dict):
            kept[name] = _without_large(value)
        elif not isinstance(value, bytes) or len(value) <= _KEPT_BYTES:
            kept[name] = value
    return kept


def _happen(fault: Fault, moment: str) -> None:
    if fault.kind == "delay" and moment == "before":
        time.sleep(fault.seconds)
    if fault.kind == moment and fault.happens is not None:
        fault.happens()


def _cut(environ: Environ) -> None:
    """Close the connection of a request. Werkzeug takes what is raised for a client that went away."""
    connection = environ.get("werkzeug.socket")
    if connection is not None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError("cut on command")


def _take_body(environ: Environ) -> bytes:
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        content: bytes = stream.read()
        return content
    length = environ.get("CONTENT_LENGTH") or "0"
    return bytes(stream.read(int(length))) if length.isdigit() else b""


def _send(answer: Answer, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Start the response. That to HEAD has no body, but may say how long it would be."""
    headers = [pair for pair in answer.headers if pair[0].lower() != "transfer-encoding"]
    if environ["REQUEST_METHOD"] == "HEAD":
        start_response(f"{answer.status} -", headers)
        return [b""]
    headers = [pair for pair in headers if pair[0].lower() != "content-length"]
    if answer.status != 204:
        headers.append(("Content-Length", str(len(answer.body))))
    start_response(f"{answer.status} -", headers)
    return [answer.body]
