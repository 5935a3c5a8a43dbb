"""Wheels made on the spot, and a package index on this host that misbehaves on demand."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import ssl
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from planton_build.cache import Store
from planton_build.ecosystems.python.settings import IndexSettings
from planton_build.manifest.document import Manifest
from planton_build.manifest.model import AwsLambda, AwsLambdaSpec
from planton_build.project.function import BuildOptions, FunctionProject
from planton_build.runtimes.catalog import target_for
from planton_build.runtimes.target import Target

REGULAR, EXECUTABLE = 0o100644, 0o100755


@dataclass(frozen=True)
class Wheel:
    """A wheel in memory."""

    filename: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def record_line(path: str, content: bytes) -> list[str]:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return [path, f"sha256={digest}", str(len(content))]


def make_wheel(
    name: str = "demo",
    version: str = "1.0",
    tag: str = "py3-none-any",
    files: Mapping[str, bytes] | None = None,
    *,
    modes: Mapping[str, int] | None = None,
    metadata: str | None = None,
    wheel: str | None = None,
    record: Callable[[list[list[str]]], list[list[str]]] = lambda lines: lines,
    zip_name: Callable[[zipfile.ZipInfo], None] = lambda info: None,
) -> Wheel:
    """Make a wheel; `modes`, `record` and `zip_name` bend it."""
    info = f"{name}-{version}.dist-info"
    content = dict(files if files is not None else {f"{name}/__init__.py": b"VALUE = 1\n" * 40})
    content.setdefault(
        f"{info}/METADATA",
        (metadata or f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n").encode(),
    )
    content.setdefault(
        f"{info}/WHEEL", (wheel or f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n").encode()
    )
    content = {path: data for path, data in content.items() if data is not None}
    lines = record([record_line(path, data) for path, data in content.items()] + [[f"{info}/RECORD", "", ""]])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    content[f"{info}/RECORD"] = text.getvalue().encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            entry = zipfile.ZipInfo(path)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (modes or {}).get(path, REGULAR) << 16
            entry.create_system = 3
            zip_name(entry)
            archive.writestr(entry, data)
    return Wheel(f"{name}-{version}-{tag}.whl", buffer.getvalue())


@dataclass
class Reply:
    """An HTTP answer. `cut` drops the connection after that many bytes of the body."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    ranges: bool = False


@dataclass
class Request:
    """What the client asked."""

    path: str
    headers: Mapping[str, str]


class IndexServer:
    """A real HTTP server. A route is a reply, a list of replies used up one by one, or a function."""

    def __init__(self) -> None:
        self.routes: dict[str, Reply | list[Reply] | Callable[[Request], Reply]] = {}
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def netloc(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.netloc}"

    @property
    def simple(self) -> str:
        return f"{self.url}/simple"

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on; a failed handshake ends that connection only."""
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(
        self, *wheels: Wheel, hashes: bool = True, size: bool = True, others: Sequence[str] = ()
    ) -> None:
        """Serve wheels and their JSON pages; `others` are file names that are only listed."""
        pages: dict[str, list[dict[str, object]]] = {}
        for wheel in wheels:
            self.routes[f"/files/{wheel.filename}"] = Reply(wheel.content, ranges=True)
            entry: dict[str, object] = {
                "filename": wheel.filename,
                "url": f"../../files/{wheel.filename}",
                "hashes": {"sha256": wheel.sha256} if hashes else {},
            }
            if size:
                entry["size"] = len(wheel.content)
            pages.setdefault(wheel.filename.split("-")[0].replace("_", "-").lower(), []).append(entry)
        for name in others:
            key = name.split("-")[0].replace("_", "-").lower()
            entry = {"filename": name, "url": f"../../files/{name}", "hashes": {"sha256": "0" * 64}}
            pages.setdefault(key, []).append(entry)
        for name, files in pages.items():
            self.json_page(name, files)

    def json_page(self, name: str, files: object, *, version: str = "1.1") -> None:
        body = json.dumps({"meta": {"api-version": version}, "name": name, "files": files}).encode()
        self.routes[f"/simple/{name}/"] = Reply(
            body, headers={"Content-Type": "application/vnd.pypi.simple.v1+json"}
        )

    def html_page(self, name: str, body: str) -> None:
        self.routes[f"/simple/{name}/"] = Reply(
            body.encode(), headers={"Content-Type": "text/html; charset=utf-8"}
        )

    def _reply(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            route = self.routes.get(request.path, Reply(b"no such page", 404))
            if isinstance(route, list):
                return route.pop(0) if len(route) > 1 else route[0]
        return route if isinstance(route, Reply) else route(request)

    def _handler(server: IndexServer) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                request = Request(urlsplit(self.path).path, dict(self.headers))
                reply = server._reply(request)
                body, status, extra = reply.body, reply.status, dict(reply.headers)
                asked = self.headers.get("Range")
                if (
                    reply.ranges
                    and asked
                    and self.headers.get("If-Range", extra.get("ETag")) == extra.get("ETag")
                ):
                    start = int(asked.removeprefix("bytes=").rstrip("-"))
                    if start >= len(body):
                        status, body = 416, b""
                    else:
                        extra["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                        status, body = 206, body[start:]
                self.send_response(status)
                for name, value in extra.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body if reply.cut is None else body[: reply.cut])
                if reply.cut is not None:
                    self.close_connection = True

            def do_HEAD(self) -> None:
                """Answer uv, which asks whether ranges are served; without `Accept-Ranges` they are not."""
                reply = server._reply(Request(urlsplit(self.path).path, dict(self.headers)))
                self.send_response(reply.status)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def index_server() -> Iterator[IndexServer]:
    server = IndexServer()
    yield server
    server.close()


@pytest.fixture
def another_server() -> Iterator[IndexServer]:
    server = IndexServer()
    yield server
    server.close()


@pytest.fixture
def wheel_maker() -> Callable[..., Wheel]:
    return make_wheel


@pytest.fixture
def reply() -> type[Reply]:
    return Reply


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


@pytest.fixture
def arm() -> Target:
    return target_for("python3.11", "arm64")


@pytest.fixture
def intel() -> Target:
    return target_for("python3.13", "x86_64")


@pytest.fixture
def function(tmp_path: Path) -> Callable[..., FunctionProject]:
    """Make a function of the folder `tmp_path/source`, which has the given files."""

    def make(
        files: Mapping[str, str] | None = None,
        *,
        runtime: str = "python3.13",
        architecture: str = "arm64",
        name: str = "orders",
        source: Path | None = None,
        **options: object,
    ) -> FunctionProject:
        source = source or tmp_path / "source"
        source.mkdir(exist_ok=True)
        for path, text in (files or {}).items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text)
        model = AwsLambda(spec=AwsLambdaSpec(function_name=name))
        manifest = Manifest(source / "lambda.yaml", 0, model, {}, "0" * 64)
        chosen = BuildOptions(source=source, **options)  # type: ignore[arg-type]
        return FunctionProject(manifest, target_for(runtime, architecture), chosen)  # type: ignore[arg-type]

    return make


@pytest.fixture
def shelf(tmp_path: Path) -> Callable[..., Path]:
    """Put tiny wheels into the folder `tmp_path/shelf`: name, version, tag, then what they require."""

    def put(name: str, version: str, *requires: str, tag: str = "py3-none-any", python: str = "") -> Path:
        folder = tmp_path / "shelf"
        folder.mkdir(exist_ok=True)
        headers = [f"Requires-Dist: {one}" for one in requires]
        headers += [f"Requires-Python: {python}"] if python else []
        metadata = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *headers, ""])
        wheel = make_wheel(name, version, tag, metadata=metadata)
        (folder / wheel.filename).write_bytes(wheel.content)
        return folder

    return put


@pytest.fixture
def offline(tmp_path: Path) -> IndexSettings:
    """Settings that know the shelf and no index."""
    return IndexSettings("https://index.example/simple", find_links=(str(tmp_path / "shelf"),), no_index=True)
