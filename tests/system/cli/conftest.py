"""The two commands as processes, each test with a cache, a state folder and a shelf of tiny wheels."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

COMMANDS = {"planton-build": "build", "planton-deploy": "deploy"}
INHERITED = (
    *("PATH", "TMPDIR", "LD_LIBRARY_PATH", "PYENV_ROOT", "SYSTEMROOT", "TEMP", "TMP"),
    *("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"),
)


@dataclass(frozen=True)
class Outcome:
    """How a process ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Bench:
    """A folder to work in, and the environment of the commands that run there."""

    root: Path
    folder: Path
    shelf: Path
    cache: Path
    state: Path
    environment: dict[str, str] = field(default_factory=dict)

    def wheel(
        self, name: str, version: str = "1.0", *, requires: Sequence[str] = (), size: int = 400
    ) -> Path:
        """Put a wheel on the shelf: the package `name` with one module of about `size` bytes."""
        info = f"{name}-{version}.dist-info"
        lines = "".join(f"VALUE_{n} = {n * n}\n" for n in range(max(1, size // 18)))
        headers = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {one}" for one in requires)]
        content = {
            f"{name}/__init__.py": f"VERSION = {version!r}\n{lines}",
            f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", *headers, ""]),
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        rows = [[path, _record_hash(text.encode()), str(len(text))] for path, text in content.items()]
        record = io.StringIO()
        csv.writer(record, lineterminator="\n").writerows([*rows, [f"{info}/RECORD", "", ""]])
        content[f"{info}/RECORD"] = record.getvalue()
        path = self.shelf / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, text in content.items():
                archive.writestr(zipfile.ZipInfo(member), text, zipfile.ZIP_DEFLATED)
        return path

    def function(
        self,
        name: str = "orders",
        *requirements: str,
        folder: str | None = None,
        app: str = "def handler(event, context):\n    return event\n",
        **spec: object,
    ) -> Path:
        """Write a function into a folder of its own (default: its name), and return the manifest."""
        place = self.folder / (name if folder is None else folder)
        place.mkdir(parents=True, exist_ok=True)
        (place / "app.py").write_text(app)
        if requirements:
            (place / "requirements.txt").write_text("\n".join(requirements) + "\n")
        manifest = place / "lambda.yaml"
        manifest.write_text(manifest_text(name, **spec))
        return manifest

    def command(self, program: str) -> list[str]:
        """Return how to run a command."""
        return command_of(program)

    def build(self, *arguments: str | Path, **options: Any) -> Outcome:
        """Run `planton-build`; see `run`."""
        return self.run("planton-build", *arguments, **options)

    def deploy(self, *arguments: str | Path, **options: Any) -> Outcome:
        """Run `planton-deploy`; see `run`."""
        return self.run("planton-deploy", *arguments, **options)

    def start(
        self,
        program: str,
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a command in a session of its own. `before` is put in front of the command."""
        return subprocess.Popen(
            [*before, *command_of(program), *map(str, arguments)],
            cwd=cwd or self.folder,
            env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            # A suite that runs in the background ignores Ctrl-C, and what it starts would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(
        self,
        program: str,
        *arguments: str | Path,
        expect: int | None = 0,
        traceback: bool = False,
        **options: Any,
    ) -> Outcome:
        """Run a command to its end; expect an exit code (None: any), and no traceback unless one is due."""
        process = self.start(program, *arguments, **options)
        out, err = process.communicate(timeout=120)
        outcome = Outcome(process.returncode, out.decode(), err.decode())
        assert ("Traceback (most recent call last)" in outcome.err) == traceback, outcome.err
        if expect is not None:
            assert outcome.code == expect, f"exit {outcome.code}\n{outcome.out}\n{outcome.err}"
        return outcome

    def stop(self) -> None:
        """Stop the local AWS of this bench, if any."""
        if self.state.exists():
            self.deploy("local", "stop", expect=None)


def manifest_text(name: str, **spec: object) -> str:
    """Return a manifest whose `spec` has these fields (strings are YAML) besides the usual ones."""
    fields: dict[str, object] = {
        "region": "eu-west-1",
        "functionName": name,
        "roleArn": {"value": f"arn:aws:iam::111122223333:role/{name}"},
        "runtime": "python3.13",
        "handler": "app.handler",
        "architecture": "ARM64",
        **spec,
    }
    lines = [
        f"  {key}: {value if isinstance(value, str) else json.dumps(value)}" for key, value in fields.items()
    ]
    head = ["apiVersion: aws.planton.dev/v1", "kind: AwsLambda", "metadata:", f"  name: {name}"]
    return "\n".join([*head, "spec:  # as deployed", *lines, ""])


def command_of(program: str) -> list[str]:
    """Return how to run a command: its installed script, or what the script does."""
    script = Path(sysconfig.get_path("scripts")) / program
    if script.is_file():
        return [str(script)]
    module = f"planton_build.cli.{COMMANDS[program]}"
    return [sys.executable, "-c", f"import sys; sys.argv[0] = {program!r}; from {module} import main; main()"]


def _record_hash(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


def make_bench(root: Path) -> Bench:
    """Make the folders of a bench. Packages come from the shelf alone, and nothing of the user counts."""
    folders = {name: root / name for name in ("work", "shelf", "home", "tmp")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment |= {
        "HOME": str(folders["home"]),
        "TMPDIR": str(folders["tmp"]),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folders["shelf"]),
        "PLANTON_CACHE_DIR": str(root / "cache"),
        "PLANTON_STATE_DIR": str(root / "state"),
    }
    return Bench(root, folders["work"], folders["shelf"], root / "cache", root / "state", environment)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = make_bench(tmp_path / "bench")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench with one local AWS for all tests of a module."""
    made = make_bench(tmp_path_factory.mktemp("cli") / "bench")
    yield made
    made.stop()


@pytest.fixture
def local_bench(shared_bench: Bench, tmp_path: Path) -> Bench:
    """A bench with a working folder and a cache of its own, and the module's local AWS."""
    made = make_bench(tmp_path / "bench")
    made.state = shared_bench.state
    made.environment["PLANTON_STATE_DIR"] = str(shared_bench.state)
    return made


@pytest.fixture
def interrupt() -> Callable[[subprocess.Popen[bytes]], None]:
    """Return a function that does what Ctrl-C does: SIGINT for the whole process group."""

    def send(process: subprocess.Popen[bytes]) -> None:
        os.killpg(process.pid, signal.SIGINT)

    return send
