"""The tools that are compared: each with caches of its own, as a person would set it up."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uv
from functions import Function
from measure import Contender

_IGNORED_VARIABLES = ("PLANTON_", "AWS_", "GITHUB_", "UV_CACHE", "PIP_CACHE")
_SLOWING_VARIABLES = frozenset({"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONUNBUFFERED"})
"""Without bytecode of its own every Python program starts slower; pip compiles what it installs."""


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what would make one tool's run another's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_IGNORED_VARIABLES) and name not in _SLOWING_VARIABLES
    }
    return kept | more


def forget(*folders: Path) -> None:
    """Remove folders that may be absent."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Planton:
    """planton-build, with the store in `work`."""

    work: Path

    @property
    def store(self) -> Path:
        """Return the folder of the store."""
        return self.work / "store"

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables of a run."""
        return environment(
            PLANTON_CACHE_DIR=str(self.store), PLANTON_STATE_DIR=str(self.work / "planton-state")
        )

    @property
    def program(self) -> str:
        """Return the path of planton-build: that of the Python that runs this."""
        return str(Path(sys.executable).with_name("planton-build"))

    def builds(self, folder: Path, before: Callable[[], None], *arguments: str) -> Contender:
        """Return the build of everything below a folder."""
        command = [self.program, "build", str(folder), "--quiet", *(arguments or ("--no-publish",))]
        return Contender("planton-build", command, folder, self.environment, before)

    def forget_everything(self) -> None:
        """Empty the store."""
        forget(self.store)

    def forget_artifacts(self) -> None:
        """Keep the wheels and forget everything that was made of them."""
        for entry in self.store.glob("v*/*"):
            if entry.name not in {"wheels", "offers"}:
                forget(entry)


@dataclass(frozen=True)
class UvAndZip:
    """`uv pip install --target` from the same lock, the sources copied beside, `zip -qr`.

    What is installed already stays: uv then only looks, which is the quickest that it can be.
    """

    work: Path

    @property
    def cache(self) -> Path:
        """Return uv's cache."""
        return self.work / "uv-cache"

    @property
    def out(self) -> Path:
        """Return the folder of trees and ZIPs."""
        return self.work / "uv-out"

    def builds(self, functions: Sequence[Function], before: Callable[[], None]) -> Contender:
        """Return the script that builds functions one after the other."""
        self.out.mkdir(exist_ok=True)
        script = "\n".join(["set -e", *(line for one in functions for line in self._lines(one))])
        return Contender(
            "uv + zip", ["sh", "-c", script], self.work, environment(UV_CACHE_DIR=str(self.cache)), before
        )

    def forget_trees(self) -> None:
        """Remove what was installed and zipped."""
        forget(self.out)
        self.out.mkdir()

    def forget_everything(self) -> None:
        """Empty uv's cache, too."""
        forget(self.cache)
        self.forget_trees()

    def _lines(self, function: Function) -> list[str]:
        tree, archive = self.out / function.name, self.out / f"{function.name}.zip"
        target = ["--target", str(tree), "--python-platform", function.platform]
        target += ["--python-version", function.version, "--only-binary", ":all:", "--python", sys.executable]
        install = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--link-mode", "copy", *target]
        lines = [shlex.join([*install, "-r", str(function.lock)])]
        if (function.folder / "pyproject.toml").exists():
            # The project itself, anew each time: uv would keep its first build of a folder.
            project = ["--no-binary", function.name, "--reinstall-package", function.name]
            lines.append(shlex.join([*install, *project, str(function.folder)]))
        else:
            lines.append(f"cp {shlex.quote(str(function.folder))}/*.py {shlex.quote(str(tree))}/")
        lines.append(f"rm -f {shlex.quote(str(archive))}")
        lines.append(f"(cd {shlex.quote(str(tree))} && zip -qr {shlex.quote(str(archive))} .)")
        return lines


def installed(work: Path, package: str) -> Path:
    """Install a peer into a virtual environment of its own, once, and return the folder of its programs."""
    folder = work / f"venv-{package}"
    programs = folder / "bin"
    if not programs.is_dir():
        venv.create(folder, with_pip=True)
        # chalice imports pkg_resources, which setuptools 81 no longer brings.
        command = [str(programs / "pip"), "install", "--quiet", package, "setuptools<81"]
        subprocess.run(command, check=True, env=environment())
    return programs


def chalice(work: Path, function: Function, pins: Sequence[str]) -> tuple[Contender, Path]:
    """Return `chalice package`, which builds for x86_64 and its own Python; and the file to change."""
    programs, project = installed(work, "chalice"), work / "chalice"
    forget(project)
    (project / ".chalice").mkdir(parents=True)
    stages = {"version": "2.0", "app_name": function.name, "stages": {"dev": {}}}
    (project / ".chalice" / "config.json").write_text(json.dumps(stages))
    (project / "requirements.txt").write_text("".join(f"{pin}\n" for pin in pins))
    source = project / "app.py"
    source.write_text(
        f"from chalice import Chalice\n\napp = Chalice(app_name={function.name!r})\n\n\n"
        "@app.lambda_function()\ndef handler(event, context):\n    return event\n"
    )
    command = [str(programs / "chalice"), "package", "--stage", "dev", str(work / "chalice-out")]
    return Contender("chalice package", command, project, _peer_environment(programs)), source


def sam(work: Path, function: Function, pins: Sequence[str]) -> tuple[Contender, Path]:
    """Return `sam build --cached` with a ZIP of the folder that it makes; and the file to change."""
    programs, project = installed(work, "aws-sam-cli"), work / "sam"
    forget(project)
    (project / "src").mkdir(parents=True)
    source = project / "src" / function.source.name
    shutil.copyfile(function.source, source)
    (project / "src" / "requirements.txt").write_text("".join(f"{pin}\n" for pin in pins))
    properties = {
        "CodeUri": "src/",
        "Handler": f"{function.source.stem}.handler",
        "Runtime": function.runtime,
        "Architectures": [function.architecture],
    }
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {"Function": {"Type": "AWS::Serverless::Function", "Properties": properties}},
    }
    (project / "template.json").write_text(json.dumps(template))
    script = (
        "set -e\nsam build --cached --template template.json\nrm -f function.zip\n"
        "cd .aws-sam/build/Function\nzip -qr ../../../function.zip ."
    )
    environ = _peer_environment(programs)
    return Contender("sam build --cached + zip", ["sh", "-c", script], project, environ), source


def _peer_environment(programs: Path) -> Mapping[str, str]:
    path = f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return environment(PATH=path, AWS_DEFAULT_REGION="us-east-1", SAM_CLI_TELEMETRY="0")
