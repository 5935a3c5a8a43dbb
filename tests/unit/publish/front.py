"""moto behind a strict front: real HTTP, with what S3 does and moto does not.

Always on: bucket regions, checksums. On request: refusals, lost answers, and things that happen just before
a call.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

Answer = tuple[int, list[tuple[str, str]], bytes]


class Front:
    """A WSGI application. Tests use its attributes and methods; `reset` forgets everything."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        self.calls: list[str] = []
        self.bucket_regions: dict[str, str] = {}
        self._refusals: defaultdict[str, list[Answer]] = defaultdict(list)
        self._lost: Counter[str] = Counter()
        self._before: dict[str, Callable[[], object]] = {}
        self.headers: dict[str, list[tuple[str, str]]] = {}

    def refuse(self, operation: str, status: int, code: str, message: str, times: int = 1) -> None:
        """Answer the next calls with an error."""
        texts = {"Message": message, "message": message, "Type": "User", "__type": code}
        body = json.dumps(texts).encode()
        headers = [("x-amzn-errortype", code), ("content-type", "application/json")]
        if operation.endswith(("Object", "Bucket")):
            body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
            headers = [("content-type", "application/xml")]
        self._refusals[operation] += [(status, headers, body)] * times

    def answer(self, operation: str, document: dict[str, Any]) -> None:
        """Answer the next call with a JSON document."""
        headers = [("content-type", "application/x-amz-json-1.1")]
        self._refusals[operation].append((200, headers, json.dumps(document).encode()))

    def lose(self, operation: str) -> None:
        """Carry the next call out, and answer 500 as if nothing were known of it."""
        self._lost[operation] += 1

    def before(self, operation: str, happens: Callable[[], object]) -> None:
        """Let something happen once, just before the next call."""
        self._before[operation] = happens

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        operation = _operation(environ)
        body = _take_body(environ)
        with self._lock:
            self.calls.append(operation)
            happens = self._before.pop(operation, None)
        if happens is not None:
            happens()
        with self._lock:
            status, headers, content = self._answer(operation, environ, body)
            headers = [*headers, *self.headers.get(operation, [])]
        if environ["REQUEST_METHOD"] == "HEAD":
            start_response(f"{status} X", headers)
            return [b""]
        start_response(f"{status} X", [*headers, ("content-length", str(len(content)))])
        return [content]

    def _answer(self, operation: str, environ: dict[str, Any], body: bytes) -> Answer:
        if self._refusals[operation]:
            return self._refusals[operation].pop(0)
        if operation.endswith(("Object", "Bucket")):
            answer = self._s3(operation, environ, body)
        else:
            answer = self._forward(environ, body)
        if self._lost[operation]:
            self._lost[operation] -= 1
            return 500, [("content-type", "application/xml")], b"<Error><Code>InternalError</Code></Error>"
        return answer

    def _s3(self, operation: str, environ: dict[str, Any], body: bytes) -> Answer:
        bucket = environ["PATH_INFO"].strip("/").split("/")[0]
        home, signed = self.bucket_regions.get(bucket), _signed_region(environ)
        if home and signed and home != signed:
            return 301, [("x-amz-bucket-region", home)], b"<Error><Code>PermanentRedirect</Code></Error>"
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        if operation == "PutObject" and environ.get("HTTP_X_AMZ_CHECKSUM_SHA256", digest) != digest:
            return 400, [], b"<Error><Code>BadDigest</Code><Message>not the bytes</Message></Error>"
        return self._forward(environ, body)

    def _forward(self, environ: dict[str, Any], body: bytes) -> Answer:
        environ["wsgi.input"], environ["wsgi.input_terminated"] = io.BytesIO(body), True
        answer: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], *_: object) -> None:
            answer.extend((int(status.split()[0]), headers))

        content = b"".join(self._inner(environ, start))
        status, headers = answer
        if environ["REQUEST_METHOD"] != "HEAD":
            return status, [pair for pair in headers if pair[0].lower() != "content-length"], content
        return status, headers, b""


class _Quiet(MotoRequestHandler):
    def log(self, *_: object) -> None:
        """Say nothing."""


def _operation(environ: dict[str, Any]) -> str:
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return str(target.rpartition(".")[2])
    if "/s3/" in environ.get("HTTP_AUTHORIZATION", "") and method in ("HEAD", "PUT"):
        verb = {"HEAD": "Head", "PUT": "Put"}[method]
        return verb + ("Object" if "/" in path.strip("/") else "Bucket")
    return f"{method} {path}"


def _take_body(environ: dict[str, Any]) -> bytes:
    return environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))


def _signed_region(environ: dict[str, Any]) -> str | None:
    found = re.search(r"Credential=[^/]+/\d+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    return found[1] if found else None


@contextlib.contextmanager
def serve() -> Iterator[tuple[Front, str]]:
    """Run the front on a free port of the loopback interface."""
    front = Front(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, front, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield front, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
