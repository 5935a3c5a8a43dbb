"""`planton-build` as a process, with the engine and the stand-in images of python3.11."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

STAND_INS = "planton-standin/build-{runtime}:latest-{architecture}"
NOWHERE = {"DOCKER_HOST": "tcp://127.0.0.1:1"}
"""No engine is there: what runs a container fails."""
APP = "def handler(event, context):\n    return event\n"
SECONDS = 900
"""For one command that starts emulated compilers."""
_PRIVATE = re.compile(r"AWS_|PLANTON_|GITHUB_|CI$|FORCE_COLOR$|PYTEST_|COV_")


@dataclass(frozen=True)
class Outcome:
    """How a process ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def function(self) -> dict[str, Any]:
        (function,) = self.json["functions"]
        return dict(function)

    @property
    def members(self) -> dict[str, bytes]:
        """Return the files of the one artifact that was built."""
        with zipfile.ZipFile(self.function["artifact"]) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


@dataclass
class Site:
    """A folder with functions, an index of sdists, and commands whose caches are named by tests."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def function(self, name: str, files: Mapping[str, str], *, architecture: str = "X86_64") -> Path:
        """Write a function of python3.11 into a folder of its own, and return that."""
        folder = self.root / "work" / name
        manifest = _MANIFEST.format(name=name, architecture=architecture)
        for path, text in {"lambda.yaml": manifest, "app.py": APP, **files}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        return folder

    def sdist(self, name: str, files: Mapping[str, str]) -> Path:
        """Put the sdist of a setuptools project on an index of this machine, which pip's settings name."""
        shelf = self.root / "index" / name
        shelf.mkdir(parents=True)
        path = shelf / f"{name}-1.0.tar.gz"
        written = {"pyproject.toml": _PYPROJECT.format(name=name), **files}
        written["PKG-INFO"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        with tarfile.open(path, "w:gz") as archive:
            for member, text in written.items():
                info = tarfile.TarInfo(f"{name}-1.0/{member}")
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        link = f'<!DOCTYPE html><a href="{path.name}#sha256={digest}">{path.name}</a>\n'
        (shelf / "index.html").write_text(link)
        indexes = [*self.environment.get("PIP_EXTRA_INDEX_URL", "").split(), shelf.parent.as_uri()]
        self.environment["PIP_EXTRA_INDEX_URL"] = " ".join(dict.fromkeys(indexes))
        return path

    def build(self, folder: Path, *arguments: str, **options: Any) -> Outcome:
        """Run `planton-build build --no-publish --json`; see `run`."""
        return self.run(folder, "build", "--no-publish", "--json", *arguments, **options)

    def run(
        self,
        folder: Path,
        *arguments: str,
        cache: str = "cache",
        env: Mapping[str, str] | None = None,
        expect: int = 0,
    ) -> Outcome:
        """Run `planton-build` in a function's folder, with a cache of that name; expect an exit code."""
        done = subprocess.run(
            [*command(), *arguments],
            cwd=folder,
            env={**self.environment, "PLANTON_CACHE_DIR": str(self.root / cache), **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        outcome = Outcome(done.returncode, done.stdout, done.stderr)
        assert "Traceback (most recent call last)" not in outcome.err, outcome.err
        assert outcome.code == expect, f"exit {outcome.code}\n{outcome.out}\n{outcome.err}"
        return outcome


_MANIFEST = """\
apiVersion: aws.planton.dev/v1
kind: AwsLambda
metadata:
  name: {name}
spec:
  region: eu-west-1
  functionName: {name}
  roleArn:
    value: arn:aws:iam::123456789012:role/{name}
  runtime: python3.11
  handler: app.handler
  architecture: {architecture}
  memoryMb: 256
  timeoutSeconds: 20
"""
_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "1.0"
"""


def command() -> list[str]:
    """Return how to run `planton-build`: its installed script, or what the script does."""
    script = Path(sysconfig.get_path("scripts")) / "planton-build"
    if script.is_file():
        return [str(script)]
    return [sys.executable, "-c", "from planton_build.cli.build import main; main()"]


@pytest.fixture(scope="session")
def stand_ins(require_engine: Callable[[str, bool, str], None]) -> str:
    """Return the stand-ins' name for `build-image`, once the engine has those of python3.11."""
    for architecture in ("x86_64", "arm64"):
        name = STAND_INS.format(runtime="python3.11", architecture=architecture)
        docker = shutil.which("docker")
        found = docker and subprocess.run(
            [docker, "image", "inspect", name], capture_output=True, check=False
        )
        available = bool(found) and found.returncode == 0  # type: ignore[union-attr]
        require_engine("docker", available, f"there is no {name}; as root: tests/standins/make")
    return STAND_INS


@pytest.fixture
def site(tmp_path: Path, stand_ins: str) -> Site:
    """Return a site with the package index of this machine; nothing else of the user's counts."""
    kept = {name: value for name, value in os.environ.items() if not _PRIVATE.match(name)}
    environment = {
        **kept,
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": "1",
        "PLANTON_BUILD_IMAGE": stand_ins,
        "PLANTON_STATE_DIR": str(tmp_path / "state"),
    }
    return Site(tmp_path, environment)


@pytest.fixture
def nowhere() -> dict[str, str]:
    """Return the environment of a machine without an engine."""
    return dict(NOWHERE)
