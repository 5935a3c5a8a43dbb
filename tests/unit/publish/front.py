"""moto behind a strict front: real HTTP, with what AWS does and moto does not.

Always on: revisions, the fields that moto forgets to update, bucket regions, checksums.
On request: states, refusals, lost answers, and things that happen just before a call.
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

CHANGING = frozenset(
    {
        "CreateFunction",
        "UpdateFunctionCode",
        "UpdateFunctionConfiguration",
        "PutFunctionConcurrency",
        "DeleteFunctionConcurrency",
        "DeleteFunction",
        "PutObject",
    }
)
_GUARDED = ("UpdateFunctionCode", "UpdateFunctionConfiguration")
_LAMBDA = (
    ("POST", r"functions", "CreateFunction"),
    ("GET", r"functions/([^/]+)", "GetFunction"),
    ("DELETE", r"functions/([^/]+)", "DeleteFunction"),
    ("PUT", r"functions/([^/]+)/code", "UpdateFunctionCode"),
    ("PUT", r"functions/([^/]+)/configuration", "UpdateFunctionConfiguration"),
    ("GET", r"functions/([^/]+)/concurrency", "GetFunctionConcurrency"),
    ("PUT", r"functions/([^/]+)/concurrency", "PutFunctionConcurrency"),
    ("DELETE", r"functions/([^/]+)/concurrency", "DeleteFunctionConcurrency"),
)
Answer = tuple[int, list[tuple[str, str]], bytes]


class Front:
    """A WSGI application. Tests use its attributes and methods; `reset` forgets everything."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        self.calls: list[str] = []
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.bucket_regions: dict[str, str] = {}
        self.busy_polls = 0
        self.failure: tuple[str, str] | None = None
        self.state = "Active"
        self.hidden_polls = 0
        self.deleting_polls = 0
        self._deleted: dict[str, tuple[int, bytes]] = {}
        self._refusals: defaultdict[str, list[Answer]] = defaultdict(list)
        self._lost: Counter[str] = Counter()
        self._before: dict[str, Callable[[], object]] = {}
        self._revisions: Counter[str] = Counter()
        self._overlay: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        self._busy: dict[str, int] = {}
        self._status: dict[str, dict[str, Any]] = {}
        self.headers: dict[str, list[tuple[str, str]]] = {}

    @property
    def changes(self) -> list[str]:
        """The calls that change something, in order, refused ones included."""
        return [call for call in self.calls if call in CHANGING]

    def sent(self, operation: str) -> list[dict[str, Any]]:
        """The JSON bodies of the requests of one operation."""
        return [body for name, body in self.requests if name == operation]

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

    def touch(self, name: str) -> None:
        """Give a function a new revision, as an unmanaged change would."""
        self._revisions[name] += 1

    def make_busy(self, name: str, polls: int, state: str = "Active") -> None:
        """Let an update be in progress that nobody here has started."""
        self._busy[name] = polls
        self._status[name] = {"State": state, "LastUpdateStatus": "Successful"}

    def set_status(self, name: str, **status: Any) -> None:
        """Fix what GetFunction tells about a function's state; None leaves a key out."""
        self._status[name] = status

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        operation, name = _operation(environ)
        body = _take_body(environ)
        with self._lock:
            self.calls.append(operation)
            if body[:1] == b"{":
                self.requests.append((operation, json.loads(body)))
            happens = self._before.pop(operation, None)
        if happens is not None:
            happens()
        with self._lock:
            status, headers, content = self._answer(operation, name, environ, body)
            headers = [*headers, *self.headers.get(operation, [])]
        if environ["REQUEST_METHOD"] == "HEAD":
            start_response(f"{status} X", headers)
            return [b""]
        start_response(f"{status} X", [*headers, ("content-length", str(len(content)))])
        return [content]

    def _answer(self, operation: str, name: str, environ: dict[str, Any], body: bytes) -> Answer:
        if self._refusals[operation]:
            return self._refusals[operation].pop(0)
        if operation.endswith(("Object", "Bucket")):
            return self._s3(operation, environ, body)
        if operation == "GetFunction" and self.hidden_polls:
            self.hidden_polls -= 1
            return _error(404, "ResourceNotFoundException", f"Function not found: {name}")
        if operation == "DeleteFunction" and self.deleting_polls:
            _, _, last = self._forward({**environ, "REQUEST_METHOD": "GET"}, b"")
            self._deleted[name] = self.deleting_polls, last
        if operation == "GetFunction" and name in self._deleted:
            return self._deleting(name)
        if operation == "CreateFunction" and json.loads(body)["FunctionName"] in self._deleted:
            return _in_progress(json.loads(body)["FunctionName"])
        if operation in _GUARDED:
            if self._busy.get(name):
                return _in_progress(name)
            wanted = json.loads(body or b"{}").get("RevisionId")
            if wanted is not None and wanted != self._revision(name):
                return _error(412, "PreconditionFailedException", "The Revision Id provided does not match")
        status, headers, content = self._forward(environ, body)
        if status < 300 and operation == "DeleteFunction":
            self._forget(name)
        elif status < 300 and operation in CHANGING:
            self._changed(operation, name or json.loads(body)["FunctionName"], json.loads(body or b"{}"))
        if self._lost[operation]:
            self._lost[operation] -= 1
            return _error(500, "ServiceException", "lost")
        if status < 300 and operation in (*_GUARDED, "CreateFunction", "GetFunction"):
            content = self._dress(operation, content)
            headers = [pair for pair in headers if pair[0].lower() != "content-length"]
        return status, headers, content

    def _deleting(self, name: str) -> Answer:
        """Tell of a function that Lambda is deleting, for as many polls as that takes."""
        polls, last = self._deleted.pop(name)
        if polls > 1:
            self._deleted[name] = polls - 1, last
        answer = json.loads(last)
        answer["Configuration"] |= {"State": "Deleting"}
        return 200, [("content-type", "application/json")], json.dumps(answer).encode()

    def _forget(self, name: str) -> None:
        for kept in (self._overlay, self._busy, self._status):
            kept.pop(name, None)

    def _changed(self, operation: str, name: str, request: dict[str, Any]) -> None:
        self._revisions[name] += 1
        if operation.endswith("Concurrency"):
            return
        kept = (
            ("KMSKeyArn",) if operation == "UpdateFunctionConfiguration" else ("Architectures", "KMSKeyArn")
        )
        self._overlay[name].update({key: request[key] for key in kept if key in request})
        self._busy[name] = self.busy_polls
        code, reason = self.failure or ("", "")
        if operation == "CreateFunction":
            state = "Failed" if self.failure else self.state
            self._status[name] = {"State": state, "LastUpdateStatus": "Successful"}
            if self.failure:
                self._status[name] |= {"StateReasonCode": code, "StateReason": reason}
        else:
            self._status[name] = {"State": self.state, "LastUpdateStatus": "Successful"}
            if self.failure:
                self._status[name]["LastUpdateStatus"] = "Failed"
                self._status[name] |= {
                    "LastUpdateStatusReasonCode": code,
                    "LastUpdateStatusReason": reason,
                }

    def _dress(self, operation: str, content: bytes) -> bytes:
        answer = json.loads(content)
        found = answer["Configuration"] if operation == "GetFunction" else answer
        name = found["FunctionName"]
        found |= self._overlay[name] | self._status.get(name, {})
        if self._busy.get(name):
            if self._revisions[name] <= 1:
                found["State"] = "Pending"
            found["LastUpdateStatus"] = "InProgress"
            if operation == "GetFunction":
                self._busy[name] -= 1
                if not self._busy[name]:
                    self._revisions[name] += 1  # AWS gives a new revision when an update ends
        found["RevisionId"] = self._revision(name)
        return json.dumps({key: value for key, value in answer.items() if value is not None}).encode()

    def _revision(self, name: str) -> str:
        return f"revision-{self._revisions[name]}"

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


def _operation(environ: dict[str, Any]) -> tuple[str, str]:
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if found := re.fullmatch(r"/20\d\d-\d\d-\d\d/(functions.*?)/?", path):
        for verb, pattern, operation in _LAMBDA:
            if verb == method and (named := re.fullmatch(pattern, found[1])):
                return operation, named[1] if named.groups() else ""
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return target.rpartition(".")[2], ""
    if "/s3/" in environ.get("HTTP_AUTHORIZATION", "") and method in ("HEAD", "PUT"):
        verb = {"HEAD": "Head", "PUT": "Put"}[method]
        return verb + ("Object" if "/" in path.strip("/") else "Bucket"), ""
    return f"{method} {path}", ""


def _take_body(environ: dict[str, Any]) -> bytes:
    return environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))


def _signed_region(environ: dict[str, Any]) -> str | None:
    found = re.search(r"Credential=[^/]+/\d+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    return found[1] if found else None


def _error(status: int, code: str, message: str) -> Answer:
    body = json.dumps({"Message": message, "message": message}).encode()
    return status, [("x-amzn-errortype", code), ("content-type", "application/json")], body


def _in_progress(name: str) -> Answer:
    return _error(
        409,
        "ResourceConflictException",
        f"The operation cannot be performed at this time. An update is in progress for resource: {name}",
    )


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
