"""A real registry, and a proxy before it that breaks what a test wants broken."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import http.server
import json
import random
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from planton_build.oci.blobs import BytesContent, Descriptor
from planton_build.oci.image import Image, Layer
from planton_build.oci.media_types import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST

Taken = tuple[int, dict[str, str], bytes]
"""An answer: status, headers, body."""


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def make_image(*layers: bytes, architecture: str = "amd64") -> Image:
    """Return an image of layers that are noise and no tar: registries do not look into them."""
    made = [
        Layer(
            Descriptor(OCI_LAYER, digest_of(layer), len(layer)),
            digest_of(b"tar" + layer),
            BytesContent(layer),
        )
        for layer in layers
    ]
    rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in made]}
    config = json.dumps(
        {"architecture": architecture, "os": "linux", "config": {}, "rootfs": rootfs}
    ).encode()

    def described(descriptor: Descriptor) -> dict[str, Any]:
        return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}

    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described(Descriptor(OCI_CONFIG, digest_of(config), len(config))),
        "layers": [described(layer.descriptor) for layer in made],
    }
    return Image(OCI_MANIFEST, json.dumps(manifest).encode(), config, tuple(made))


@dataclass
class Registry:
    """Debian's docker-registry in a process of its own, on one port and one folder even when started anew."""

    folder: Path
    port: int
    htpasswd: str = ""
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        auth = f"auth: {{htpasswd: {{realm: r, path: {self.folder}/htpasswd}}}}\n" if self.htpasswd else ""
        (self.folder / "htpasswd").write_text(self.htpasswd)
        (self.folder / "config.yml").write_text(
            "version: 0.1\nlog: {level: error}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.folder}/data}}}}\n"
            f"http: {{addr: '{self.host}', secret: same}}\n{auth}"
        )
        program = shutil.which("docker-registry")
        assert program is not None
        self.process = subprocess.Popen(
            [program, "serve", str(self.folder / "config.yml")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(400):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.025)
        raise AssertionError("docker-registry does not start")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def ask(self, method: str, path: str) -> Taken:
        """Ask the registry itself, past the proxy."""
        return exchange("127.0.0.1", self.port, method, f"/v2/{path}", {}, b"")

    def has(self, repository: str, digest: str) -> bool:
        return self.ask("HEAD", f"{repository}/blobs/{digest}")[0] == 200

    def digest(self, repository: str, reference: str) -> str | None:
        """Return the digest of a manifest, having seen that each of its blobs is there; None without one."""
        status, headers, _ = self.ask("GET", f"{repository}/manifests/{reference}")
        return headers["docker-content-digest"] if status == 200 else None


def exchange(host: str, port: int, method: str, path: str, headers: dict[str, str], content: bytes) -> Taken:
    connection = http.client.HTTPConnection(host, port, timeout=30)
    accept = {"Accept": f"{OCI_MANIFEST}, application/vnd.oci.image.index.v1+json"}
    try:
        connection.request(method, path, content, {**accept, **headers})
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


@dataclass
class Asked:
    """A request that came to the proxy, and how many bytes of its body."""

    method: str
    path: str
    headers: dict[str, str]
    size: int = 0
    status: int = 0
    body: bytes = b""


class Hangup(Exception):
    """The connection is to be closed without a word."""


Fault = Callable[["Proxy", Asked, Callable[..., Taken]], Taken]
"""Answers a request, or raises Hangup; it gets what forwards the request and gives the true answer."""


@dataclass
class Proxy:
    """Stands between client and registry; breaks requests that match, as often as was said."""

    registry: Registry
    host: str = ""
    asked: list[Asked] = field(default_factory=list)
    faults: list[tuple[str, int, Fault]] = field(default_factory=list)
    halves: list[tuple[str, int]] = field(default_factory=list)
    cuts: list[tuple[str, int]] = field(default_factory=list)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def breaks(self, pattern: str, fault: Fault, *, times: int = 1) -> None:
        """Let a fault answer requests whose `METHOD /path` matches."""
        self.faults.append((pattern, times, fault))

    def cuts_body(self, pattern: str, *, times: int = 1) -> None:
        """Break off in the middle of the bodies of requests."""
        self.halves.append((pattern, times))

    def cuts_answer(self, pattern: str, *, times: int = 1) -> None:
        """Break off in the middle of the bodies of answers."""
        self.cuts.append((pattern, times))

    def taken(self, listed: list[Any], line: str) -> Any:
        with self.guard:
            for index, (pattern, times, *rest) in enumerate(listed):
                if re.search(pattern, line):
                    listed[index : index + 1] = [(pattern, times - 1, *rest)] if times > 1 else []
                    return rest[0] if rest else True
        return None

    def count(self, pattern: str) -> int:
        return sum(re.search(pattern, f"{asked.method} {asked.path}") is not None for asked in self.asked)

    def bytes(self) -> int:
        """Return the bytes of blobs that clients have sent."""
        return sum(asked.size for asked in self.asked if "/blobs/" in asked.path)


@contextlib.contextmanager
def running_proxy(registry: Registry) -> Iterator[Proxy]:
    proxy = Proxy(registry)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def any(self) -> None:
            asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
            proxy.asked.append(asked)
            line = f"{self.command} {self.path}"
            try:
                self.answer(asked, line)
            except (Hangup, OSError, http.client.HTTPException):
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)

        def answer(self, asked: Asked, line: str) -> None:
            length = int(self.headers.get("Content-Length", 0))
            if proxy.taken(proxy.halves, line):
                self.half(asked, length)
            content = self.rfile.read(length)
            asked.size, asked.body = len(content), content
            if len(content) < length:
                raise Hangup

            def forward(body: bytes | None = None) -> Taken:
                headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
                if body is not None:
                    headers["Content-Length"] = str(len(body))
                return exchange("127.0.0.1", registry.port, self.command, self.path, headers, body or content)

            fault = proxy.taken(proxy.faults, line)
            status, headers, body = fault(proxy, asked, forward) if fault else forward()
            asked.status = status
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("date", "connection", "server"):
                    self.send_header(name, value)
            if "content-length" not in {name.lower() for name in headers}:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            cut = proxy.taken(proxy.cuts, line)
            self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut:
                raise Hangup

        def half(self, asked: Asked, length: int) -> None:
            """Let the registry have half of a body, then break both connections."""
            content = self.rfile.read(length // 2)
            asked.size = len(content)
            with socket.create_connection(("127.0.0.1", registry.port)) as upstream:
                head = f"{self.command} {self.path} HTTP/1.1\r\n" + "".join(
                    f"{k}: {v}\r\n" for k, v in self.headers.items()
                )
                upstream.sendall(head.encode() + b"\r\n" + content)
                time.sleep(0.1)  # a registry that is still reading has nothing to hold against us
            raise Hangup

        def log_message(self, *_: Any) -> None:
            pass

    for method in ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.any)

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: Any) -> None:
            pass  # connections are broken on purpose

    with Server(("127.0.0.1", 0), Handler) as server:
        proxy.host = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def upstream(tmp_path: Path, require_engine: Callable[[str, bool, str], None]) -> Iterator[Registry]:
    """Run a registry with nothing in it."""
    available = shutil.which("docker-registry") is not None
    require_engine("docker-registry", available, "apt-get install docker-registry")
    folder = tmp_path / "registry"
    folder.mkdir()
    registry = Registry(folder, free_port())
    registry.start()
    yield registry
    registry.kill()


@pytest.fixture
def proxy(upstream: Registry) -> Iterator[Proxy]:
    """Run a proxy before the registry."""
    with running_proxy(upstream) as proxy:
        yield proxy


def status(code: int, *errors: tuple[str, str], **headers: str) -> Fault:
    """Return a fault that answers itself, with the errors of a registry."""
    body = json.dumps({"errors": [{"code": name, "message": text} for name, text in errors]}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(_proxy: Proxy, _asked: Asked, _forward: Callable[..., Taken]) -> Taken:
        return code, named, body if errors else b""

    return answer


def hangup(_proxy: Proxy, _asked: Asked, _forward: Callable[..., Taken]) -> Taken:
    """Close the connection before the registry hears of the request."""
    raise Hangup


def deaf(_proxy: Proxy, _asked: Asked, forward: Callable[..., Taken]) -> Taken:
    """Let the registry do it, and lose its answer."""
    forward()
    raise Hangup


def changed(**headers: str) -> Fault:
    """Return a fault that replaces headers of the true answer; an empty one goes away."""

    def answer(_proxy: Proxy, _asked: Asked, forward: Callable[..., Taken]) -> Taken:
        code, told, body = forward()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return code, {k: v for k, v in {**told, **names}.items() if v}, body

    return answer


def corrupt(_proxy: Proxy, _asked: Asked, forward: Callable[..., Taken]) -> Taken:
    """Flip the middle bit of a body."""
    code, told, body = forward()
    middle = len(body) // 2
    return code, told, body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


@dataclass
class Tokens:
    """A token server: every token is good for so many requests, and for what it was given for."""

    uses: int = 1_000
    user: str | None = None
    may_push: bool = True
    given: dict[str, tuple[list[str], list[int]]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def guard(self, proxy: Proxy) -> None:
        """Let a proxy ask for tokens, and give them."""
        proxy.breaks(r"^GET /token", self.give, times=10_000)
        proxy.breaks(r" /v2/", self.check, times=10_000)

    def give(self, proxy: Proxy, asked: Asked, _forward: Callable[..., Taken]) -> Taken:
        self.asked.append((asked.path, asked.headers.get("authorization")))
        if self.user is not None and asked.headers.get("authorization") != self.user:
            return 401, {}, b""
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(asked.path).query)
        scopes = [text if self.may_push else text.replace(",push", "") for text in query.get("scope", [])]
        token = f"token-{len(self.given)}"
        self.given[token] = (scopes, [self.uses])
        return 200, {"Content-Type": "application/json"}, json.dumps({"token": token}).encode()

    def check(self, proxy: Proxy, asked: Asked, forward: Callable[..., Taken]) -> Taken:
        path = urllib.parse.urlsplit(asked.path)
        name = re.split(r"/(?:manifests|blobs)/", path.path.removeprefix("/v2/"))[0]
        action = "pull" if asked.method in ("GET", "HEAD") else "pull,push"
        needed = [f"repository:{name}:{action}"]
        needed += [
            f"repository:{source}:pull" for source in urllib.parse.parse_qs(path.query).get("from", [])
        ]
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        scopes, left = self.given.get(token, ([], [0]))
        allowed = all(any(have.startswith(need) for have in scopes) for need in needed)
        if allowed and left[0] > 0:
            left[0] -= 1
            return forward()
        challenge = f'Bearer realm="http://{proxy.host}/token",service="s",scope="{" ".join(needed)}"'
        return 401, {"WWW-Authenticate": challenge}, b""
