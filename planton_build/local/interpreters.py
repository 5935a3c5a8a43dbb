"""Find a CPython of a given minor version on this host, and ask it what it really is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_QUESTION = (
    "import json, platform, sys;"
    "print(json.dumps([platform.python_implementation(), sys.version_info[:2], platform.machine()]))"
)
_ASK_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A CPython that answered. `machine` is what `uname -m` calls the processor it runs on."""

    path: Path
    version: tuple[int, int]
    machine: str


def find_interpreter(version: tuple[int, int]) -> Interpreter | None:
    """Return a CPython `version` of this host, or None.

    Looked at in this order: the interpreter that runs the tool, `pythonX.Y` on PATH, pyenv's versions, what
    uv knows (its own and the system's; nothing is downloaded), and the launcher on Windows.
    """
    for path in _candidates(version):
        found = _ask(path)
        if found is not None and found.version == version:
            return found
    return None


def _candidates(version: tuple[int, int]) -> Iterator[Path]:
    name = f"{version[0]}.{version[1]}"
    if sys.version_info[:2] == version:
        yield Path(sys.executable)
    if on_path := shutil.which(f"python{name}"):
        yield Path(on_path)
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    yield from sorted(versions.glob(f"{name}.*/bin/python"), key=_patch_level, reverse=True)
    if path := _say(_uv_command(name)):
        yield Path(path)
    if sys.platform == "win32" and (
        path := _say(["py", f"-{name}", "-c", "import sys; print(sys.executable)"])
    ):
        yield Path(path)


def _patch_level(python: Path) -> int:
    patch = python.parent.parent.name.rpartition(".")[2]
    return int(patch) if patch.isdecimal() else -1


def _uv_command(name: str) -> list[str]:
    from uv import find_uv_bin

    try:
        uv = find_uv_bin()
    except FileNotFoundError:
        uv = "uv"
    # --system leaves out virtual environments, which uv would otherwise prefer.
    return [uv, "python", "find", name, "--system", "--no-project", "--no-python-downloads", "--offline"]


def _ask(python: Path) -> Interpreter | None:
    answer = _say([str(python), "-I", "-S", "-c", _QUESTION])
    try:
        implementation, version, machine = json.loads(answer or "")
        if implementation == "CPython":
            return Interpreter(python, (int(version[0]), int(version[1])), str(machine))
    except (ValueError, TypeError, IndexError):
        pass  # a pyenv shim without a chosen version, for example, answers something else
    return None


def _say(command: list[str]) -> str | None:
    """Return the last line a command prints, or None when it fails."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_ASK_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[-1] if done.returncode == 0 and lines else None
