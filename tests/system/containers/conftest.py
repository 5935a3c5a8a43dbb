"""A Docker Engine of a test's own, on a disk of its own, and the commands as processes that build with it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

STAND_IN = "planton-standin/build-python3.11:latest-x86_64"
OURS = "label=dev.planton.build=container"
DISK = "1200m"
"""Size of the private engine's disk, which is memory: an image of 340 MB, the tools, and room to build."""
SECONDS = 120
_NO_NETWORK = ("--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false")
INHERITED = (
    *("PATH", "LD_LIBRARY_PATH", "PYENV_ROOT"),
    *("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"),
)
BACKEND = """\
import base64, hashlib, os, subprocess, sys, time, zipfile

NAME = {name!r}
INFO = NAME + "-1.0.dist-info/"
METADATA = ("Metadata-Version: 2.1\\nName: " + NAME + "\\nVersion: 1.0\\n").encode()
WHEEL = b"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    os.mkdir(os.path.join(metadata_directory, INFO))
    with open(os.path.join(metadata_directory, INFO, "METADATA"), "wb") as metadata:
        metadata.write(METADATA)
    return INFO[:-1]

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    content = {{NAME + ".py": b"VALUE = 1", INFO + "METADATA": METADATA, INFO + "WHEEL": WHEEL}}
    {body}
    with zipfile.ZipFile(os.path.join(wheel_directory, NAME + "-1.0-py3-none-any.whl"), "w") as wheel:
        record = INFO + "RECORD,,"
        for path, text in content.items():
            wheel.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()
            record += "\\n%s,sha256=%s,%d" % (path, digest, len(text))
        wheel.writestr(INFO + "RECORD", record)
    return NAME + "-1.0-py3-none-any.whl"
"""
MANIFEST = """\
apiVersion: aws.planton.dev/v1
kind: AwsLambda
metadata:
  name: orders
spec:
  region: eu-west-1
  functionName: orders
  roleArn:
    value: arn:aws:iam::123456789012:role/orders
  runtime: python3.11
  handler: app.handler
  architecture: {architecture}
"""


@dataclass
class PrivateEngine:
    """A second Docker Engine that belongs to one worker: it may be killed, and its disk may be filled."""

    root: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def disk(self) -> Path:
        return self.root / "disk"

    @property
    def address(self) -> str:
        return f"unix://{self.root / 'docker.sock'}"

    def start(self) -> bool:
        """Start it; tell whether it answers. It has no bridge: containers have no network, nor need one."""
        places = {
            "data-root": self.disk / "data",
            "exec-root": self.root / "run",
            "pidfile": self.root / "pid",
        }
        options = [f"--{name}={place}" for name, place in places.items()]
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                # In a network of its own: without a bridge it would remove that of the machine's engine.
                ["unshare", "--net", "dockerd", *_NO_NETWORK, "--host", self.address, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.docker("version", check=False).returncode == 0:
                return True
            time.sleep(0.1)
        return False

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send its process a signal and wait for its end."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)
            self.process = None
        if number == signal.SIGKILL:
            # Where no init reaps it, the killed containerd stays as a zombie, for which dockerd would wait.
            (self.root / "run/containerd/containerd.pid").unlink(missing_ok=True)

    def docker(self, *arguments: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "--host", self.address, *arguments],
            capture_output=True,
            text=True,
            check=check,
            timeout=SECONDS,
            **options,
        )

    def resize(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.disk)], check=True)

    def used(self) -> int:
        """Return how many bytes are on its disk."""
        return shutil.disk_usage(self.disk).used

    def left(self) -> dict[str, list[str]]:
        """Return what is on it: containers and volumes."""
        containers = self.docker("ps", "--all", "--format", "{{.ID}} {{.Status}}").stdout.splitlines()
        return {"containers": containers, "volumes": self.docker("volume", "ls", "-q").stdout.split()}

    def running(self) -> list[str]:
        """Return the containers of ours that run now."""
        return self.docker("ps", "--quiet", "--filter", OURS).stdout.split()


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Ground:
    """A function, an index of sdists in a folder, and an environment of its own for the commands."""

    root: Path
    environment: dict[str, str]
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.root / "orders"
        for name in ("orders", "shelf", "simple", "home", "tmp"):
            (self.root / name).mkdir(parents=True)

    @property
    def cache(self) -> Path:
        return Path(self.environment["PLANTON_CACHE_DIR"])

    def function(self, *requirements: str, architecture: str = "X86_64", **options: object) -> None:
        """Write the function, with `options` in its planton.toml."""
        (self.folder / "lambda.yaml").write_text(MANIFEST.format(architecture=architecture))
        (self.folder / "app.py").write_text("def handler(event, context):\n    return event\n")
        (self.folder / "requirements.txt").write_text("".join(f"{one}\n" for one in requirements))
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in options.items()]
        (self.folder / "planton.toml").write_text("[function.orders]\n" + "".join(lines))

    def sdist(self, name: str, body: str = "pass", **files: str) -> Path:
        """Put the package `name` 1.0 on the index. `body` runs when its wheel is built."""
        metadata = f"Metadata-Version: 2.2\nName: {name}\nVersion: 1.0\n"
        project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        content = {
            "PKG-INFO": metadata,
            "pyproject.toml": f'{project}[project]\nname = "{name}"\nversion = "1.0"\n',
            "backend.py": BACKEND.format(body=body, name=name),
            **{path.replace("_c", ".c"): text for path, text in files.items()},
        }
        path = self.root / "shelf" / f"{name}-1.0.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for member, text in content.items():
                entry = tarfile.TarInfo(f"{name}-1.0/{member}")
                entry.size = len(text.encode())
                archive.addfile(entry, io.BytesIO(text.encode()))
        self.page(name, hashlib.sha256(path.read_bytes()).hexdigest())
        return path

    def page(self, name: str, sha256: str) -> None:
        """Write the index's page of a package."""
        page, sdist = self.root / "simple" / name / "index.html", f"{name}-1.0.tar.gz"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(f'<a href="../../shelf/{sdist}#sha256={sha256}">{sdist}</a>')

    def forget(self) -> None:
        """Remove the locks, so that an sdist of other bytes is taken."""
        for lock in self.folder.glob("*.lock"):
            lock.unlink()

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start `planton-build` in a session of its own."""
        command = (
            "import sys; sys.argv[0] = 'planton-build'; from planton_build.cli.build import main; main()"
        )
        return subprocess.Popen(
            [sys.executable, "-c", command, *arguments],
            cwd=self.folder,
            env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            # A suite that runs in the background ignores Ctrl-C, and what it starts would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def ended(self, process: subprocess.Popen[bytes], *, expect: int = 0) -> Ended:
        """Wait for a command's end; expect an exit code, and no traceback."""
        out, err = process.communicate(timeout=SECONDS)
        ended = Ended(process.returncode, out.decode(), err.decode())
        assert "Traceback (most recent call last)" not in ended.err, ended.err
        assert ended.code == expect, f"exit {ended.code}\n{ended.out}\n{ended.err}"
        return ended

    def build(self, *arguments: str, expect: int = 0, env: Mapping[str, str] | None = None) -> Ended:
        """Run `planton-build --no-publish` to its end."""
        return self.ended(self.start("--no-publish", *arguments, env=env), expect=expect)

    def left(self) -> list[str]:
        """Return what should not be there after a command: temporary files, here and in the store."""
        places = [self.root / "tmp", self.cache / "v1" / "staging"]
        found = [path for place in places if place.exists() for path in place.iterdir()]
        found += [path for path in self.root.rglob("*") if path.suffix in (".planton-tmp", ".part")]
        return sorted(str(path.relative_to(self.root)) for path in found)


@pytest.fixture(scope="session")
def private_engine(
    tmp_path_factory: pytest.TempPathFactory, require_engine: Callable[[str, bool, str], None]
) -> Iterator[PrivateEngine]:
    """A Docker Engine with a stand-in and its tools, on a disk in memory. Started once per worker."""
    if platform.machine() != "x86_64":
        pytest.skip("the failures are tried with x86_64 as the machine's own architecture")
    able = os.name == "posix" and os.geteuid() == 0 and all(map(shutil.which, ("dockerd", "docker", "mount")))
    require_engine(
        "a second Docker Engine", bool(able), "only root can start one, where dockerd is installed"
    )
    engine = PrivateEngine(tmp_path_factory.mktemp("engine"))
    engine.disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(engine.disk)], check=True)
    try:
        answers = engine.start()
        log = (engine.root / "log").read_text(errors="replace")
        require_engine("a second Docker Engine", answers, f"it does not start: {log[-1000:]}")
        _load(engine, require_engine)
        yield engine
    finally:
        if engine.docker("version", check=False).returncode == 0:
            for container in engine.left()["containers"]:
                engine.docker("rm", "--force", container.split()[0], check=False)
        engine.end()
        subprocess.run(["umount", "--lazy", str(engine.disk)], check=True)


def _load(engine: PrivateEngine, require_engine: Callable[[str, bool, str], None]) -> None:
    """Put a stand-in on the engine, and the tools into it, with the index settings of this machine."""
    with subprocess.Popen(
        ["docker", "save", STAND_IN], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as saving:
        loaded = engine.docker("load", check=False, stdin=saving.stdout)
    require_engine(STAND_IN, saving.returncode == 0 and loaded.returncode == 0, "see tests/standins/make")
    _make_tools(engine.address, engine.root / "tools")


def _make_tools(address: str, cache: Path) -> None:
    """Make the build image of the stand-in on an engine."""
    from planton_build.cache import Store
    from planton_build.ecosystems.python.building.containers import Containers
    from planton_build.ecosystems.python.index import Index
    from planton_build.ecosystems.python.settings import read_pip_settings
    from planton_build.events import ignore
    from planton_build.runtimes.catalog import target_for

    index = Index(read_pip_settings())
    containers = Containers(
        Store(cache), lambda: index, environment={"DOCKER_HOST": address}, listener=ignore, jobs=4
    )
    opened = containers.open("testing")
    try:
        opened.images.build_image(target_for("python3.11", "x86_64"), STAND_IN, digest=None)
    finally:
        opened.sandbox.engine.close()
        index.close()


@pytest.fixture
def engine(private_engine: PrivateEngine) -> Iterator[PrivateEngine]:
    """The private engine, for a test after which nothing may be on it."""
    yield private_engine
    left = private_engine.left()
    for container in left["containers"]:
        private_engine.docker("rm", "--force", container.split()[0], check=False)
    assert left == {"containers": [], "volumes": []}


@pytest.fixture
def ground(engine: PrivateEngine, tmp_path: Path) -> Iterator[Ground]:
    """A function to build with the private engine. After the test no temporary file may be left."""
    root = tmp_path / "ground"
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment |= {
        "HOME": str(root / "home"),
        "TMPDIR": str(root / "tmp"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": (root / "simple").as_uri(),
        "PLANTON_CACHE_DIR": str(root / "cache"),
        "PLANTON_BUILD_IMAGE": STAND_IN,
        "DOCKER_HOST": engine.address,
    }
    made = Ground(root, environment)
    yield made
    assert made.left() == []


def shown(expected: Sequence[str], text: str) -> bool:
    """Tell whether a text holds these lines in a row; `…` stands for anything within a line."""
    pattern = r"\n".join(".*".join(map(re.escape, _squeezed(line).split("…"))) for line in expected)
    return re.search(f"^{pattern}$", "\n".join(map(_squeezed, text.splitlines())), re.MULTILINE) is not None


def _squeezed(line: str) -> str:
    return re.sub(r"\s+", " ", line).strip()


@pytest.fixture(scope="session")
def messages(repository: Path) -> dict[str, str]:
    """What docs/containers.md shows of each failure, by its name there."""
    page = (
        (repository / "docs" / "containers.md").read_text(encoding="utf-8").partition("<!-- failures -->")[2]
    )
    return dict(re.findall(r"<!-- failure: ([a-z -]+) -->\n```text\n(.*?)\n```", page, re.DOTALL))


@pytest.fixture(scope="session")
def documented(messages: dict[str, str]) -> Callable[[str, str], None]:
    """Return a function `(name, text)`: the page's message of that failure must stand in the text."""

    def compare(name: str, text: str) -> None:
        assert name in messages, f"docs/containers.md does not show the failure {name!r}:\n{text}"
        assert shown(messages[name].splitlines(), text), (
            f"{name}: the page shows another message than\n{text}"
        )

    return compare
