"""Which builder makes an image: BuildKit through a docker command that speaks to it, or the engine's classic
one.

docker's Python client has no BuildKit. The command has it as the plugin buildx, or, before version 23, in
itself; of several `docker` on the path the first that has either is taken.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planton_build.sandbox.engine import Engine, engine_errors

_API_WITH_BUILDKIT = (1, 39)
"""Docker 18.09 (its API's version history)."""
_CLIENT_WITHOUT = 23
"""The first version of the docker command that only has BuildKit through buildx (its release notes)."""
_PROBE_SECONDS = 20
_INHERITED = ("PATH", "HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "TMPDIR", "SYSTEMROOT")
"""What the docker command needs of the environment besides DOCKER_*: where its settings and keys are."""
_DOCKERS_OWN = ("DOCKER_BUILDKIT", "DOCKER_DEFAULT_PLATFORM", "DOCKER_CONTENT_TRUST")


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A docker command with BuildKit. `buildx` tells by which way; `environment` is all that it gets."""

    program: Path
    buildx: bool
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """Return what it is, for people."""
        return f"BuildKit through {self.program}{' buildx' if self.buildx else ''}"

    def arguments(self) -> list[str]:
        """Return the start of a build's command."""
        if self.buildx:
            # The builder `default` is the engine's own, which has the engine's images.
            return [str(self.program), "buildx", "build", "--builder", "default", "--load"]
        return [str(self.program), "build"]


def find_buildkit(engine: Engine, environment: Mapping[str, str]) -> CommandLine | None:
    """Return a docker command that builds with BuildKit on this engine; None if engine or command lack it.

    Raises:
        EngineUnavailable: the engine does not answer.
    """
    with engine_errors("asking the engine what it is"):
        version: dict[str, Any] = engine.api.version()
    components = version.get("Components") or [{}]
    api = tuple(int(part) for part in str(version.get("ApiVersion", "0")).split(".") if part.isdecimal())
    if "podman" in str(components[0].get("Name", "")).lower() or api < _API_WITH_BUILDKIT:
        return None
    given = _environment(engine, environment)
    for program in _programs(environment.get("PATH", os.defpath)):
        if _answer(program, given, "buildx", "version").startswith("github.com/docker/buildx"):
            return CommandLine(program, True, given)
        client = _answer(program, given, "--version")  # "Docker version 20.10.24+dfsg1, build 297e128"
        number = client.removeprefix("Docker version ").partition(".")[0]
        if client.startswith("Docker version ") and number.isdecimal() and int(number) < _CLIENT_WITHOUT:
            return CommandLine(program, False, given)
    return None


def _environment(engine: Engine, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for the docker command: where the engine is, and how to speak to it."""
    given = {name: environment[name] for name in _INHERITED if name in environment}
    given |= {
        name: value
        for name, value in environment.items()
        if name.startswith("DOCKER_") and name not in _DOCKERS_OWN
    }
    if engine.endpoint.startswith("unix://"):  # however it was found, the command must not find another
        given.pop("DOCKER_CONTEXT", None)
        given["DOCKER_HOST"] = engine.endpoint
    return given | {
        "DOCKER_BUILDKIT": "1",
        "BUILDKIT_PROGRESS": "plain",
        "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
        "DOCKER_CLI_HINTS": "false",
        "LC_ALL": "C",
    }


def _programs(path: str) -> list[Path]:
    names = ("docker.exe",) if os.name == "nt" else ("docker",)
    found = [Path(folder) / name for folder in path.split(os.pathsep) if folder for name in names]
    return [one for one in dict.fromkeys(found) if one.is_absolute() and os.access(one, os.X_OK)]


def _answer(program: Path, environment: Mapping[str, str], *arguments: str) -> str:
    """Return what a command says, or "" if it fails."""
    try:
        done = subprocess.run(
            [str(program), *arguments],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_PROBE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""
