"""Image functions built by the command as a process, against a registry of the test's own."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

COMMAND = "import sys; sys.argv[0] = 'planton-build'; from planton_build.cli.build import main; main()"
INHERITED = ("PATH", "LD_LIBRARY_PATH", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
SECONDS = 180
MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
HANDLER = "def handler(event, context):\n    return event\n"


@dataclass
class Registry:
    """Debian's docker-registry in a process of its own; what was asked of it is in its log."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        (self.folder / "config.yml").write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: false}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.folder}/data}}}}\n"
            f"http: {{addr: '{self.host}', secret: same}}\n"
        )
        program = shutil.which("docker-registry")
        assert program is not None
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, "serve", str(self.folder / "config.yml")], stdout=log, stderr=subprocess.DEVNULL
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("docker-registry does not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def ask(self, path: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", f"/v2/{path}", headers={"Accept": MANIFESTS})
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return response.status, headers, response.read()
        finally:
            connection.close()

    def tags(self, repository: str) -> list[str]:
        status, _, body = self.ask(f"{repository}/tags/list")
        return sorted(json.loads(body)["tags"] or []) if status == 200 else []

    def manifest(self, repository: str, reference: str) -> dict[str, Any]:
        """Return a manifest, having seen that the registry has every blob that it names, whole."""
        status, headers, body = self.ask(f"{repository}/manifests/{reference}")
        assert status == 200, (repository, reference, status, body)
        assert headers["docker-content-digest"] == digest_of(body)
        document: dict[str, Any] = json.loads(body)
        for blob in (document["config"], *document["layers"]):
            status, _, content = self.ask(f"{repository}/blobs/{blob['digest']}")
            assert (status, digest_of(content), len(content)) == (200, blob["digest"], blob["size"])
        return document

    def layers(self, repository: str, reference: str) -> list[str]:
        return [layer["digest"] for layer in self.manifest(repository, reference)["layers"]]

    def settings(self, repository: str, reference: str) -> dict[str, Any]:
        """Return an image's configuration."""
        digest = self.manifest(repository, reference)["config"]["digest"]
        document: dict[str, Any] = json.loads(self.ask(f"{repository}/blobs/{digest}")[2])
        return document

    def blob(self, digest: str) -> Path:
        """Return the file in which the registry keeps a blob."""
        name = digest.removeprefix("sha256:")
        return self.folder / "data/docker/registry/v2/blobs/sha256" / name[:2] / name / "data"

    def blobs(self) -> dict[str, int]:
        """Return all that it keeps, manifests too, with sizes."""
        found = (self.folder / "data/docker/registry/v2/blobs/sha256").glob("*/*/data")
        return {f"sha256:{path.parent.name}": path.stat().st_size for path in found}

    def repositories(self) -> list[str]:
        names: list[str] = json.loads(self.ask("_catalog")[2])["repositories"]
        return names

    def asked(self, pattern: str = "") -> list[str]:
        """Return the requests, as `METHOD /path`, that match."""
        lines = re.findall(r'"([A-Z]+ /v2/\S*) HTTP/1', (self.folder / "log").read_text(errors="replace"))
        return [line for line in lines if re.search(pattern, line)]

    def forget(self) -> None:
        """Empty the log."""
        os.truncate(self.folder / "log", 0)

    def put(self, layout: Path, name: str) -> str:
        """Copy the image of a layout here; return its digest."""
        run("skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "-q", f"oci:{layout}",
            f"docker://{self.host}/{name}")  # fmt: skip
        repository, _, tag = name.rpartition(":")
        return self.ask(f"{repository}/manifests/{tag}")[1]["docker-content-digest"]


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def function(self) -> dict[str, Any]:
        """What `--json` says of the only function."""
        (function,) = self.json["functions"]
        assert isinstance(function, dict)
        return function

    @property
    def error(self) -> str:
        """The code of the only error of `--json`, which says what to do or which file it is about."""
        (error,) = self.json["errors"]
        assert error["hint"] or error["file"], error
        return str(error["code"])


@dataclass
class Yard:
    """A folder to work in, a shelf of tiny wheels, an image to build on, and the commands' environment."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("work", "shelf", "home", "tmp"):
            (self.root / name).mkdir(parents=True)
        self.environment |= {name: os.environ[name] for name in INHERITED if name in os.environ}
        self.environment |= {
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.root / "shelf"),
            "PLANTON_CACHE_DIR": str(self.cache),
            "PLANTON_STATE_DIR": str(self.root / "state"),
        }

    @property
    def folder(self) -> Path:
        return self.root / "work"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def wheel(self, name: str, *, noise: int = 0) -> None:
        """Put a wheel on the shelf: a module, a script that may run, and so many bytes that do not shrink."""
        info = f"{name}-1.0.dist-info"
        content = {
            f"{name}/__init__.py": f"NAME = {name!r}\n".encode(),
            f"{name}/noise.bin": hashlib.shake_256(name.encode()).digest(noise),
            f"{name}/run.sh": b"#!/bin/sh\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        rows = [f"{path},{record_hash(text)},{len(text)}\n" for path, text in content.items()]
        content[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"]).encode()
        with zipfile.ZipFile(self.root / "shelf" / f"{name}-1.0-py3-none-any.whl", "w") as archive:
            for member, text in content.items():
                entry = zipfile.ZipInfo(member)
                entry.external_attr = (0o100755 if member.endswith(".sh") else 0o100644) << 16
                archive.writestr(entry, text, zipfile.ZIP_DEFLATED)

    def function(
        self,
        name: str = "orders",
        *requirements: str,
        app: str = HANDLER,
        options: Mapping[str, object] | None = None,
        **spec: object,
    ) -> Path:
        """Write an image function into a folder of its own, and return the manifest.

        `options` go into its planton.toml, `spec` into the manifest: None takes a field away.
        """
        place = self.folder / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "app.py").write_text(app)
        if requirements:
            (place / "requirements.txt").write_text("".join(f"{one}\n" for one in requirements))
        fields = {
            "region": "eu-west-1",
            "functionName": name,
            "roleArn": {"value": "arn:aws:iam::111122223333:role/test"},
            "runtime": "python3.13",
            "handler": "app.handler",
            "architecture": "X86_64",
            "codeSourceType": "CODE_SOURCE_TYPE_IMAGE",
            **spec,
        }
        lines = [
            f"  {key}: {value if isinstance(value, str) else json.dumps(value)}\n"
            for key, value in fields.items()
            if value is not None
        ]
        head = f"apiVersion: aws.planton.dev/v1\nkind: AwsLambda\nmetadata:\n  name: {name.lower()}\n"
        manifest = place / "lambda.yaml"
        manifest.write_text(f"{head}spec:  # as deployed\n{''.join(lines)}")
        self.configure(name, options or {})
        return manifest

    def configure(self, name: str, options: Mapping[str, object]) -> None:
        """Write a function's planton.toml."""
        given = {"base-image": "oci:../../base", **options}
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in given.items() if value is not None]
        (self.folder / name / "planton.toml").write_text("".join(lines))

    def start(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, before: tuple[str, ...] = ()
    ) -> subprocess.Popen[bytes]:
        """Start `planton-build` in a session of its own. `before` is put in front of the command."""
        return subprocess.Popen(
            [*before, sys.executable, "-c", COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            # A suite that runs in the background ignores Ctrl-C, and what it starts would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def ended(self, process: subprocess.Popen[bytes], *, expect: int | None = 0) -> Outcome:
        """Wait for a command's end; expect an exit code (None: any), and no traceback."""
        out, err = process.communicate(timeout=SECONDS)
        outcome = Outcome(process.returncode, out.decode(), err.decode())
        assert "Traceback (most recent call last)" not in outcome.err, outcome.err
        if expect is not None:
            assert outcome.code == expect, f"exit {outcome.code}\n{outcome.out}\n{outcome.err}"
        return outcome

    def build(self, *arguments: str | Path, expect: int | None = 0, **options: Any) -> Outcome:
        """Run `planton-build` to its end."""
        return self.ended(self.start(*arguments, **options), expect=expect)

    def left(self) -> list[str]:
        """Return the temporary files that are left, here and in the store."""
        found = [*(self.root / "tmp").iterdir(), *self.cache.rglob("staging/*")]
        found += [path for path in self.root.rglob("*") if path.suffix in (".planton-tmp", ".part")]
        return sorted(str(path.relative_to(self.root)) for path in found)


def record_hash(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def run(*command: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    return done.stdout


def make_registry(folder: Path) -> Registry:
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    return Registry(folder, port)


@pytest.fixture
def yard(tmp_path: Path, small_base: Callable[..., None]) -> Yard:
    """A place to build image functions in, on a base image that is a layout beside it and runs nothing."""
    made = Yard(tmp_path / "yard")
    small_base(made.root / "base")
    return made


@pytest.fixture
def registry(tmp_path: Path, require_engine: Callable[[str, bool, str], None]) -> Iterator[Registry]:
    """A registry with nothing in it."""
    there = all(map(shutil.which, ("docker-registry", "skopeo")))
    require_engine("docker-registry and skopeo", there, "apt-get install docker-registry skopeo")
    made = make_registry(tmp_path / "registry")
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def registries() -> Callable[[Path], Registry]:
    """Return a function that makes a registry in a folder; it is to be started, and stopped."""
    return make_registry


@pytest.fixture
def repository(registry: Registry) -> str:
    """What `--repository` gets: a repository per function on the test's registry."""
    return f"{registry.host}/acme/{{function}}"


@pytest.fixture(scope="session")
def runs() -> Callable[..., str]:
    """Return a function that runs a program, which must succeed, and returns what it says."""
    return run
