"""A private index with basic authentication, reached from the build container; its secrets are looked for."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from planton_build.cache import Store
from planton_build.ecosystems.python.building.containers import Containers
from planton_build.ecosystems.python.index import Index
from planton_build.ecosystems.python.inputs import find_input
from planton_build.ecosystems.python.lock import Lock, LockedPackage
from planton_build.ecosystems.python.pip_tools.download import ContainerDownload
from planton_build.ecosystems.python.pip_tools.resolver import PipToolsResolver
from planton_build.ecosystems.python.settings import IndexSettings, read_pip_settings
from planton_build.errors import (
    CompileFailed,
    HashMismatch,
    IndexUnreachable,
    ResolutionFailed,
)
from planton_build.manifest.document import Manifest
from planton_build.manifest.model import AwsLambda, AwsLambdaSpec
from planton_build.project.function import BuildOptions, FunctionProject
from planton_build.runtimes.catalog import target_for
from planton_build.sandbox.build_image import BuildImage
from planton_build.sandbox.container import Sandbox
from planton_build.sandbox.job import Job, Limits

pytestmark = pytest.mark.engine("docker")
IMAGE = "planton-standin/build-python3.11:latest-x86_64"
USER, PASSWORD = "ci-user", "pass-word:with%25 signs"
QUOTED = "pass-word%3Awith%2525%20signs"
TARGET = target_for("python3.11", "x86_64")


@dataclass
class PrivateIndex:
    """Files behind basic authentication, on the address of this machine that its containers see."""

    url: str
    netloc: str
    files: dict[str, bytes] = field(default_factory=dict)
    password: str = PASSWORD
    watch: Callable[[], None] = lambda: None

    def put(self, filename: str, content: bytes) -> str:
        self.files[filename] = content
        return hashlib.sha256(content).hexdigest()

    def wheel(self, name: str, version: str, *requires: str, tag: str = "py3-none-any") -> str:
        info = f"{name}-{version}.dist-info"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
            archive.writestr(
                f"{info}/METADATA", "\n".join([*metadata, *map("Requires-Dist: {}".format, requires), ""])
            )
            archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
            archive.writestr(f"{info}/RECORD", "")
        return self.put(f"{name}-{version}-{tag}.whl", buffer.getvalue())

    def sdist(self, name: str, version: str, setup: str) -> str:
        buffer = io.BytesIO()
        backend = "import os, pathlib\n" + setup
        project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for path, text in (("pyproject.toml", project), ("backend.py", backend), ("PKG-INFO", "")):
                entry = tarfile.TarInfo(f"{name}-{version}/{path}")
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))
        return self.put(f"{name}-{version}.tar.gz", buffer.getvalue())

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        self.watch()
        expected = "Basic " + base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        if authorization != expected:
            return 401, b"who are you?"
        if path.startswith("/files/"):
            return (200, self.files[path[7:]]) if path[7:] in self.files else (404, b"")
        name = path.strip("/").rpartition("/")[2]
        links = [
            f'<a href="/files/{file}#sha256={hashlib.sha256(content).hexdigest()}">{file}</a>'
            for file, content in self.files.items()
            if file.partition("-")[0].replace("_", "-") == name
        ]
        return (200, "\n".join(links).encode()) if links else (404, b"")


@pytest.fixture
def private(require_engine: Callable[[str, bool, str], None]) -> Iterator[PrivateIndex]:
    found = subprocess.run(
        ["docker", "network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    require_engine("docker", found.returncode == 0, "no bridge network")
    index: PrivateIndex

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = index.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="private"')
            self.send_header(
                "Content-Type", "text/html" if "/simple/" in self.path else "application/octet-stream"
            )
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((found.stdout.strip() or "172.17.0.1", 0), Handler)
    netloc = "{}:{}".format(*server.server_address[:2])
    index = PrivateIndex(f"http://{USER}:{QUOTED}@{netloc}/simple", netloc)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield index
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Room:
    sandbox: Sandbox
    image: BuildImage
    lines: list[str]
    environment: dict[str, str]

    @property
    def resolver(self) -> PipToolsResolver:
        return PipToolsResolver(lambda: self.sandbox, lambda: self.image, environment=self.environment)

    @property
    def download(self) -> ContainerDownload:
        return ContainerDownload(lambda: self.sandbox, lambda: self.image, Limits(), self.environment)


@pytest.fixture
def room(tmp_path: Path, opened: tuple[Sandbox, BuildImage, list[str]]) -> Room:
    opened[2].clear()
    return Room(*opened, {"HOME": str(tmp_path)})


@pytest.fixture(scope="module")
def opened(
    tmp_path_factory: pytest.TempPathFactory, require_engine: Callable[[str, bool, str], None]
) -> Iterator[tuple[Sandbox, BuildImage, list[str]]]:
    found = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False)
    require_engine("docker", found.returncode == 0, f"there is no {IMAGE}; see tests/standins/make")
    lines: list[str] = []
    index = Index(read_pip_settings())
    containers = Containers(
        Store(tmp_path_factory.mktemp("tools")),
        lambda: index,
        environment=os.environ,
        listener=lambda event: lines.append(getattr(event, "line", "")),
        jobs=4,
    )
    connection = containers.open("resolving")
    yield connection.sandbox, connection.images.build_image(TARGET, IMAGE, digest=None), lines
    index.close()
    connection.sandbox.engine.close()


def settings(private: PrivateIndex) -> IndexSettings:
    return IndexSettings(private.url, trusted_hosts=(private.netloc,), timeout=5)


def resolve(room: Room, folder: Path, text: str, found: IndexSettings) -> Lock:
    source = folder / "source"
    source.mkdir(exist_ok=True)
    (source / "requirements.txt").write_text(text)
    manifest = Manifest(
        source / "l.yaml", 0, AwsLambda(spec=AwsLambdaSpec(function_name="orders")), {}, "0" * 64
    )
    project = FunctionProject(manifest, TARGET, BuildOptions(source=source))
    dependencies = find_input(project, variables={})
    assert dependencies is not None
    return room.resolver.resolve(dependencies, TARGET, found, pins={})


def shows_secret(text: str) -> bool:
    encoded = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return any(secret in text for secret in (PASSWORD, QUOTED, encoded))


GIVES = """
def prepare_metadata_for_build_wheel(folder, config=None):
    info = pathlib.Path(folder, 'told-1.0.dist-info'); info.mkdir()
    told = 'Metadata-Version: 2.1\\nName: told\\nVersion: 1.0\\nRequires-Dist: demo\\n'
    (info / 'METADATA').write_text(told)
    (info / 'WHEEL').write_text('Wheel-Version: 1.0\\n')
    return info.name
def build_wheel(*_): raise SystemError('not asked for')
"""
TELLS = """
def build_wheel(*_): pass
def prepare_metadata_for_build_wheel(folder, config=None):
    print(open('/build/.secrets/pip.conf').read(), flush=True)
    raise RuntimeError('pg_config is missing')
"""


def test_secrets_reach_the_container_and_show_nowhere(
    private: PrivateIndex, room: Room, tmp_path: Path
) -> None:
    demo = private.wheel("demo", "1.0", "other>=1")
    private.wheel("other", "1.5")
    told = private.sdist("told", "1.0", GIVES)
    seen: list[str] = []

    def watch() -> None:
        running = room.sandbox.engine.api.containers()
        seen.append(json.dumps([room.sandbox.engine.api.inspect_container(one["Id"]) for one in running]))

    private.watch = watch
    lock = resolve(room, tmp_path, "told\n", settings(private))
    assert [(one.name, one.version) for one in lock.packages] == [
        ("demo", "1.0"),
        ("other", "1.5"),
        ("told", "1.0"),
    ]
    assert lock.packages[0].hashes == {demo}
    assert lock.packages[2].hashes == {told}
    store = Store(tmp_path / "cache")
    wheels = room.download.fetch(lock.packages[:2], TARGET, settings(private), store)
    assert [(one.name, file) for one, file, _ in wheels] == [
        ("demo", "demo-1.0-py3-none-any.whl"),
        ("other", "other-1.5-py3-none-any.whl"),
    ]
    assert store.intact("wheels", demo)
    assert any("PIP_CONFIG_FILE" in one for one in seen), "no container was seen while it ran"
    kept = [
        str(path) + path.read_bytes().decode(errors="replace")
        for path in store.root.rglob("*")
        if path.is_file()
    ]
    assert not any(map(shows_secret, [*seen, *room.lines, *kept]))
    assert room.lines


def test_netrc_gives_the_credentials(private: PrivateIndex, room: Room, tmp_path: Path) -> None:
    private.password = "netrc-secret"
    (tmp_path / ".netrc").write_text(
        f"machine {private.netloc.partition(':')[0]} login {USER} password netrc-secret\n"
    )
    private.wheel("demo", "1.0")
    found = replace(settings(private), index_url=f"http://{private.netloc}/simple")
    assert [one.name for one in resolve(room, tmp_path, "demo\n", found).packages] == ["demo"]


def test_a_build_that_prints_the_secrets_is_redacted(
    private: PrivateIndex, room: Room, tmp_path: Path
) -> None:
    private.sdist("told", "1.0", TELLS)
    with pytest.raises(CompileFailed, match="pg_config is missing") as caught:
        resolve(room, tmp_path, "told\n", settings(private))
    assert "told" in caught.value.message.splitlines()[0]
    assert not shows_secret("\n".join([caught.value.message, *room.lines]))
    assert "pyproject_hooks" not in caught.value.message


def test_wrong_credentials_are_an_unreachable_index(
    private: PrivateIndex, room: Room, tmp_path: Path
) -> None:
    private.wheel("demo", "1.0")
    private.password = "another"
    with pytest.raises(IndexUnreachable, match="401") as caught:
        resolve(room, tmp_path, "demo\n", settings(private))
    assert f"http://{private.netloc}/simple/demo/" in caught.value.message
    assert "netrc" in (caught.value.hint or "")
    assert not shows_secret(f"{caught.value.message}{caught.value.hint}{room.lines}")
    with pytest.raises(IndexUnreachable, match="401"):
        room.download.fetch(
            [LockedPackage("demo", "1.0", frozenset({"a" * 64}))], TARGET, settings(private), Store(tmp_path)
        )


def test_a_second_index_that_fails_fails_the_resolution(
    private: PrivateIndex, room: Room, tmp_path: Path
) -> None:
    private.wheel("demo", "1.0")
    found = replace(settings(private), extra_index_urls=("https://index.invalid/simple",))
    with pytest.raises(IndexUnreachable, match=r"https://index\.invalid/simple/demo/"):
        resolve(room, tmp_path, "demo\n", found)


def test_unknown_packages_and_conflicts_are_explained(
    private: PrivateIndex, room: Room, tmp_path: Path
) -> None:
    private.wheel("demo", "1.0", "other>=2")
    private.wheel("demo", "2.0", "other>=3")
    for version in ("1.0", "2.0", "3.0"):
        private.wheel("other", version)
    with pytest.raises(ResolutionFailed, match="nonesuch") as caught:
        resolve(room, tmp_path, "nonesuch\n", settings(private))
    assert "spelling of nonesuch" in (caught.value.hint or "")
    with pytest.raises(ResolutionFailed, match=r"demo 2\.0 depends on other>=3") as caught:
        resolve(room, tmp_path, "demo\nother<2\n", settings(private))
    assert "Traceback" not in caught.value.message
    assert "/build/in" not in caught.value.message


def test_a_file_that_was_replaced_is_refused(private: PrivateIndex, room: Room, tmp_path: Path) -> None:
    locked = LockedPackage("demo", "1.0", frozenset({private.wheel("demo", "1.0")}))
    found = settings(private)
    private.wheel("demo", "1.0", "more")
    with pytest.raises(HashMismatch, match="not what the lock names") as caught:
        room.download.fetch([locked], TARGET, found, Store(tmp_path / "cache"))
    assert not shows_secret(str(caught.value))
    assert not list((tmp_path / "cache").rglob("wheels/*"))


def test_nothing_is_started_for_nothing(room: Room, tmp_path: Path, private: PrivateIndex) -> None:
    def never(_: Job) -> None:
        raise AssertionError

    download = replace(room.download, sandbox=never)  # type: ignore[arg-type]
    assert download.fetch([], TARGET, settings(private), Store(tmp_path)) == []
