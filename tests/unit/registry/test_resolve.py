"""Tags become digests: against docker-registry itself, and against servers that ask, lead away and lie."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planton_build.errors import ImageInvalid, ImageMismatch, ImageUnavailable
from planton_build.oci.documents import DOCUMENT_LIMIT
from planton_build.oci.media_types import INDEXES, MANIFESTS
from planton_build.registry.reference import Reference, parse_reference
from planton_build.registry.resolve import resolve

REPOSITORY = "sam/build-python3.13"
COMPONENTS = st.from_regex(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*", fullmatch=True).filter(lambda c: len(c) < 40)
REFERENCES = st.builds(
    Reference,
    st.none()
    | st.sampled_from(["public.ecr.aws", "localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000"]),
    st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join),
    st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}", fullmatch=True),
    st.none() | st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True),
)


def written(reference: Reference) -> str:
    tag = f":{reference.tag}" if reference.tag else ""
    digest = f"@{reference.digest}" if reference.digest else ""
    return f"{reference.name}{tag}{digest}"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def manifest(machine: str = "amd64", media_type: str = MANIFESTS[0]) -> bytes:
    """Return the manifest of an image that differs per machine; its config is `config(machine)`."""
    content = config(machine)
    described = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": digest_of(content),
        "size": len(content),
    }
    return json.dumps(
        {"schemaVersion": 2, "mediaType": media_type, "config": described, "layers": []}
    ).encode()


def config(machine: str) -> bytes:
    return json.dumps(
        {"architecture": machine, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    ).encode()


def index(*machines: str, media_type: str = INDEXES[0]) -> bytes:
    entries = [
        {
            "mediaType": MANIFESTS[0],
            "digest": digest_of(manifest(machine)),
            "size": len(manifest(machine)),
            "platform": {"os": "linux", "architecture": machine},
        }
        for machine in machines
    ]
    attestation = {**entries[0], "platform": {"os": "unknown", "architecture": "unknown"}}
    return json.dumps(
        {"schemaVersion": 2, "mediaType": media_type, "manifests": [attestation, *entries]}
    ).encode()


@given(REFERENCES.filter(lambda r: r.host is not None or not parse_has_host(r.repository)))
def test_every_name_is_read_as_it_was_meant(reference: Reference) -> None:
    assert parse_reference(written(reference)) == reference


def parse_has_host(repository: str) -> bool:
    """Tell whether docker would take the first part of a path for a host."""
    first, slash, _ = repository.partition("/")
    return bool(slash) and ("." in first or first == "localhost")


@given(st.text(max_size=80) | st.text(alphabet="aA1.:/@-_[]%", max_size=40))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except ImageUnavailable:
        return
    assert written(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "upper/Case",
        "-x/y",
        "host.io/",
        "host.io/a@sha256:12",
        "host.io/a:",
        "https://host.io/a",
        "u:p@host.io/a",
    ],
)
def test_what_is_no_name_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ImageUnavailable, match="no name of an image") as caught:
        parse_reference(text)
    assert "public.ecr.aws" in str(caught.value.hint)


def test_a_name_without_a_registry_is_never_asked_for() -> None:
    with pytest.raises(ImageUnavailable, match="no registry in its name"):
        resolve("planton-standin/build-python3.11:latest-arm64", machine="aarch64")


@pytest.fixture(scope="module")
def registry(
    tmp_path_factory: pytest.TempPathFactory, require_engine: Callable[[str, bool, str], None]
) -> Iterator[str]:
    """Run docker-registry with a repository of two tags: `both` for an index, `latest` for one image."""
    program = shutil.which("docker-registry")
    require_engine("docker-registry", program is not None, "apt-get install docker-registry")
    assert program is not None
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    (folder / "config.yml").write_text(
        "version: 0.1\n"
        "log: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}}}}}\n"
        f"http: {{addr: '{host}'}}\n"
    )
    with subprocess.Popen(
        [program, "serve", str(folder / "config.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            for _ in range(200):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", int(host.rpartition(":")[2]))) == 0:
                        break
                time.sleep(0.05)
            for machine in ("amd64", "arm64"):
                push(host, f"blobs/uploads/?digest={digest_of(config(machine))}", config(machine), None)
                push(host, f"manifests/{machine}", manifest(machine), MANIFESTS[0])
            push(host, "manifests/latest", manifest(), MANIFESTS[0])
            push(host, "manifests/both", index("amd64", "arm64"), INDEXES[0])
            push(host, "manifests/docker", manifest(media_type=MANIFESTS[1]), MANIFESTS[1])
            push(host, "manifests/list", index("amd64", "arm64", media_type=INDEXES[1]), INDEXES[1])
            yield host
        finally:
            process.terminate()


def push(host: str, place: str, content: bytes, media_type: str | None) -> None:
    url = f"http://{host}/v2/{REPOSITORY}/{place}"
    if media_type is None:  # a blob: a session of its own
        with urllib.request.urlopen(urllib.request.Request(url.partition("?")[0], method="POST")) as opened:
            location = opened.headers["Location"]
        url = f"{location}&{url.partition('?')[2]}"
    headers = {"Content-Type": media_type or "application/octet-stream"}
    urllib.request.urlopen(urllib.request.Request(url, content, headers, method="PUT")).close()


@pytest.mark.parametrize("tag", ["both", "list"])
@pytest.mark.parametrize(("machine", "architecture"), [("x86_64", "amd64"), ("aarch64", "arm64")])
def test_an_index_gives_the_image_of_the_architecture(
    registry: str, tag: str, machine: str, architecture: str
) -> None:
    found = resolve(f"{registry}/{REPOSITORY}:{tag}", machine=machine)
    assert found.digest == digest_of(manifest(architecture))
    assert (found.name, found.media_type) == (f"{registry}/{REPOSITORY}", MANIFESTS[0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", manifest()),
        (":docker", manifest(media_type=MANIFESTS[1])),
        (f":gone@{digest_of(manifest('arm64'))}", manifest("arm64")),
    ],
    ids=["no tag is latest", "docker's own media type", "a digest decides, not the tag"],
)
def test_a_single_image_gives_its_own_digest(registry: str, name: str, expected: bytes) -> None:
    assert resolve(f"{registry}/{REPOSITORY}{name}", machine="x86_64").digest == digest_of(expected)


def test_what_the_registry_lacks_is_said(registry: str) -> None:
    with pytest.raises(ImageUnavailable, match=r"has no image 127.*:gone"):
        resolve(f"{registry}/{REPOSITORY}:gone", machine="x86_64")


@dataclass
class Server:
    """An HTTP server that answers what a test says, and remembers what it was asked."""

    host: str
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def says(self, path: str, status: int = 200, content: bytes = b"", **headers: str) -> None:
        self.answers[path] = (status, {k.replace("_", "-"): v for k, v in headers.items()}, content)

    def has(self, tag: str, content: bytes, **headers: str) -> None:
        self.says(f"/v2/{REPOSITORY}/manifests/{tag}", 200, content, **headers)


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serve()


@pytest.fixture
def elsewhere() -> Iterator[Server]:
    yield from serve()


def serve() -> Iterator[Server]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            authorization = self.headers.get("Authorization")
            state.asked.append((self.path, authorization))
            path = self.path.partition("?")[0]
            challenge = state.answers.get(f"401 {path}")
            status, headers, content = (
                challenge if challenge and authorization is None else state.answers.get(path, (404, {}, b""))
            )
            self.send_response(status)
            for name, value in {"Content-Type": MANIFESTS[0], **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            try:
                self.wfile.write(content)
            except OSError:
                pass  # the client has read enough

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.block_on_close = False
        state = Server(f"127.0.0.1:{running.server_address[1]}")
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield state
        running.shutdown()
        thread.join()


def name_on(server: Server, tag: str = "latest") -> str:
    return f"{server.host}/{REPOSITORY}:{tag}"


def login(tmp_path: Path, key: str) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": {key: {"auth": base64.b64encode(b"user:secret").decode()}}}))
    return path


BASIC = "Basic " + base64.b64encode(b"user:secret").decode()


def asks_for_token(server: Server, realm: str) -> None:
    server.has("latest", manifest())
    server.says(
        f"401 /v2/{REPOSITORY}/manifests/latest",
        401,
        WWW_Authenticate=f'Bearer realm="{realm}",service="s",scope="repository:{REPOSITORY}:pull"',
    )


def test_a_token_is_fetched_anonymously_and_sent(server: Server, tmp_path: Path) -> None:
    asks_for_token(server, f"http://{server.host}/token")
    server.says("/token", content=b'{"token": "abc"}')
    found = resolve(name_on(server), machine="x86_64", config=tmp_path / "none")
    assert found.digest == digest_of(manifest())
    query = "service=s&scope=repository%3Asam%2Fbuild-python3.13%3Apull"
    assert server.asked[1:] == [
        (f"/token?{query}", None),
        (f"/v2/{REPOSITORY}/manifests/latest", "Bearer abc"),
    ]


@pytest.mark.parametrize("prefix", ["", "https://"])
def test_the_login_of_docker_is_given_for_the_token(server: Server, tmp_path: Path, prefix: str) -> None:
    asks_for_token(server, f"http://{server.host}/token")
    server.says("/token", content=b'{"access_token": "abc"}')
    resolve(name_on(server), machine="x86_64", config=login(tmp_path, f"{prefix}{server.host}"))
    assert [authorization for _, authorization in server.asked] == [None, BASIC, "Bearer abc"]


def test_a_registry_that_asks_for_a_password_gets_it(server: Server, tmp_path: Path) -> None:
    server.has("latest", manifest())
    server.says(f"401 /v2/{REPOSITORY}/manifests/latest", 401, WWW_Authenticate='Basic realm="x"')
    resolve(name_on(server), machine="x86_64", config=login(tmp_path, server.host))
    assert [authorization for _, authorization in server.asked] == [None, BASIC]


def test_the_login_of_another_registry_is_not_used(server: Server, tmp_path: Path) -> None:
    server.says(f"401 /v2/{REPOSITORY}/manifests/latest", 401, WWW_Authenticate='Basic realm="x"')
    with pytest.raises(ImageUnavailable, match="HTTP 401") as caught:
        resolve(name_on(server), machine="x86_64", config=login(tmp_path, "other.example"))
    assert "docker login" in str(caught.value.hint)
    assert [authorization for _, authorization in server.asked] == [None]


def test_a_redirect_takes_no_login_along(server: Server, elsewhere: Server, tmp_path: Path) -> None:
    path = f"/v2/{REPOSITORY}/manifests/latest"
    server.says(f"401 {path}", 401, WWW_Authenticate='Basic realm="x"')
    server.says(path, 307, Location=f"http://{elsewhere.host}/stored")
    elsewhere.says("/stored", content=manifest())
    found = resolve(name_on(server), machine="x86_64", config=login(tmp_path, server.host))
    assert found.digest == digest_of(manifest())
    assert server.asked[-1] == (path, BASIC)
    assert elsewhere.asked == [("/stored", None)]


def test_a_circle_of_redirects_ends(server: Server) -> None:
    path = f"/v2/{REPOSITORY}/manifests/latest"
    server.says(path, 302, Location=path)
    with pytest.raises(ImageUnavailable, match="circle"):
        resolve(name_on(server), machine="x86_64")
    assert len(server.asked) < 10


@pytest.mark.parametrize("away", ["http://registry.example/x", "ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_plain_http_leads_nowhere_but_to_this_machine(server: Server, away: str) -> None:
    server.says(f"/v2/{REPOSITORY}/manifests/latest", 302, Location=away)
    with pytest.raises(ImageUnavailable, match="not over HTTPS"):
        resolve(name_on(server), machine="x86_64")


def test_a_token_is_not_fetched_over_plain_http_from_elsewhere(server: Server) -> None:
    asks_for_token(server, "http://auth.example/token")
    with pytest.raises(ImageUnavailable, match=r"leads to auth\.example, not over HTTPS"):
        resolve(name_on(server), machine="x86_64")


def test_bytes_without_the_promised_digest_are_refused(server: Server) -> None:
    server.has("latest", manifest(), Docker_Content_Digest=digest_of(b"other"))
    with pytest.raises(ImageMismatch, match="does not have the digest"):
        resolve(name_on(server), machine="x86_64")


def test_an_image_other_than_the_index_names_is_refused(server: Server) -> None:
    server.has("latest", index("amd64"), Content_Type=INDEXES[0])
    server.has(digest_of(manifest("amd64")), manifest("arm64"))
    with pytest.raises(ImageMismatch, match="does not have the digest"):
        resolve(name_on(server), machine="x86_64")


def test_an_index_without_the_architecture_says_what_there_is(server: Server) -> None:
    server.has("latest", index("amd64"), Content_Type=INDEXES[0])
    with pytest.raises(
        ImageMismatch, match=r"no image for linux/arm64, only for linux/amd64, unknown/unknown"
    ):
        resolve(name_on(server), machine="aarch64")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b" " * (DOCUMENT_LIMIT + 1), "more than 4 MiB"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "is no JSON object"),
        (b'{"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}', "only for nothing"),
        (b'{"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": 3}', "has no list"),
        (b'{"mediaType": "application/vnd.docker.distribution.manifest.v1+json"}', "is no manifest"),
        (b'{"mediaType": 5}', "has no list"),
    ],
)
def test_a_hostile_answer_is_refused_and_named(server: Server, content: bytes, said: str) -> None:
    server.has("latest", content)
    with pytest.raises((ImageUnavailable, ImageMismatch, ImageInvalid), match=said):
        resolve(name_on(server), machine="x86_64")


@pytest.mark.parametrize("token", [b"no json", b"[]", b'{"token": 3}', b'{"token": "a\\r\\nX: y"}', b"{}"])
def test_a_token_that_is_none_is_refused(server: Server, token: bytes) -> None:
    asks_for_token(server, f"http://{server.host}/token")
    server.says("/token", content=token)
    with pytest.raises(ImageUnavailable, match="gave no token"):
        resolve(name_on(server), machine="x86_64")


def test_a_registry_that_is_busy_is_asked_again(server: Server) -> None:
    server.says(f"/v2/{REPOSITORY}/manifests/latest", 429)
    with pytest.raises(ImageUnavailable, match="too many requests"):
        resolve(name_on(server), machine="x86_64")
    assert len(server.asked) == 3


def test_a_registry_that_does_not_answer_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ImageUnavailable, match=rf"127\.0\.0\.1:{port} does not answer"):
            resolve(f"127.0.0.1:{port}/a/b:c", machine="x86_64")


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"auths": []}'])
def test_a_broken_configuration_of_docker_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ImageUnavailable, match="docker's configuration") as caught:
        resolve("127.0.0.1:1/a:b", machine="x86_64", config=path)
    assert caught.value.findings[0].file == path


@pytest.mark.parametrize(
    "entry", [{}, {"auth": "%"}, {"auth": 3}, 3, {"auth": base64.b64encode(b"x").decode()}]
)
def test_a_login_that_cannot_be_read_is_none(server: Server, tmp_path: Path, entry: object) -> None:
    server.has("latest", manifest())
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": {server.host: entry}}))
    resolve(name_on(server), machine="x86_64", config=path)
    assert server.asked[0][1] is None
