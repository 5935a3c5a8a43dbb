from __future__ import annotations

import sys
from pathlib import Path

import pytest

from planton_build.local import interpreters
from planton_build.local.interpreters import find_interpreter

OWN = sys.version_info[:2]


def script(path: Path, answer: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{answer}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host whose only interpreters are those a test puts into `bin` and `pyenv`."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(interpreters, "_uv_command", lambda name: ["/nonexistent", name])
    return tmp_path


def test_the_own_interpreter_comes_first() -> None:
    found = find_interpreter(OWN)
    assert found is not None
    assert found.path == Path(sys.executable)
    assert found.version == OWN


def test_an_absent_version_is_not_found(bare_host: Path) -> None:
    assert find_interpreter((3, 99)) is None


def test_an_interpreter_that_lies_about_its_version_is_passed_over(bare_host: Path) -> None:
    script(bare_host / "bin" / "python3.98", f'exec {sys.executable} "$@"')
    assert find_interpreter((3, 98)) is None


def test_a_failing_shim_is_passed_over_for_pyenvs_newest_patch(bare_host: Path) -> None:
    script(bare_host / "bin" / "python3.98", "echo pyenv: no such command >&2; exit 127")
    for patch in ("9", "10"):
        answer = f"""echo '["CPython", [3, 98], "m{patch}"]'"""
        script(bare_host / "pyenv" / "versions" / f"3.98.{patch}" / "bin" / "python", answer)
    found = find_interpreter((3, 98))
    assert found is not None
    assert found.machine == "m10"


def test_pypy_is_no_stand_in(bare_host: Path) -> None:
    script(bare_host / "bin" / "python3.98", """echo '["PyPy", [3, 98], "x86_64"]'""")
    assert find_interpreter((3, 98)) is None


def test_uv_is_asked_for_versions_it_has_and_downloads_none() -> None:
    command = interpreters._uv_command("3.98")
    assert {"--no-python-downloads", "--offline", "--system"} <= set(command)
    assert interpreters._say(command) is None
