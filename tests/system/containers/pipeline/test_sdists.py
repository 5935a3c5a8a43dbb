"""Packages without a wheel: compiled for the target once, locked, and with the same bytes each time."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.xdist_group("containers"), pytest.mark.network]

MACHINES = {"X86_64": (b"\x3e\x00", "x86_64"), "ARM64": (b"\xb7\x00", "arm64")}
"""`e_machine` of an ELF header, and our name, by a manifest's architecture."""
NATIVE = "crcmod/_crcfunext.cpython-311-{}-linux-gnu.so"


@pytest.fixture
def checksum(site: Any, repository: Path) -> Path:
    """Return a copy of examples/checksum, for this machine's kind."""
    folder = Path(site.root) / "work" / "checksum"
    shutil.copytree(
        repository / "examples" / "checksum", folder, ignore=shutil.ignore_patterns("*.lock", "__pycache__")
    )
    return folder


def for_architecture(folder: Path, architecture: str) -> None:
    manifest = folder / "lambda.yaml"
    manifest.write_text(manifest.read_text().replace("ARM64", architecture))


@pytest.mark.parametrize("architecture", ["X86_64", "ARM64"])
def test_an_sdist_is_compiled_for_the_target_with_the_same_bytes(
    site: Any, checksum: Path, nowhere: dict[str, str], architecture: str
) -> None:
    for_architecture(checksum, architecture)
    machine, name = MACHINES[architecture]
    lock, build_lock = (
        checksum / f"requirements.python3.11-{name}.{kind}" for kind in ("lock", "build.lock")
    )
    first = site.build(checksum)
    (native,) = (content for path, content in first.members.items() if path.endswith(".so"))
    assert (native[:4], native[18:20]) == (b"\x7fELF", machine)
    assert "crcmod 1.7 has no wheel for python3.11-" in first.err
    assert "\n# sdist: crcmod\n" in lock.read_text()
    locks = lock.read_bytes(), build_lock.read_bytes()
    assert b'[build."crcmod==1.7"]' in locks[1]
    # No engine is needed for what is in the cache, even when only the function's own code is new.
    again = site.build(checksum, "--locked", "--container", "never", env=nowhere)
    assert (again.function["cached"], again.function["sha256"]) == (True, first.function["sha256"])
    (checksum / "app.py").write_text("import crcmod\n\ndef handler(event, context): ...\n")
    changed = site.build(checksum, "--locked", "--container", "never", env=nowhere)
    assert changed.function["sha256"] != first.function["sha256"]
    # Elsewhere, from the locks alone, the same bytes come out.
    elsewhere = site.build(checksum, "--locked", cache="elsewhere")
    assert not elsewhere.function["cached"]
    assert elsewhere.function["sha256"] == changed.function["sha256"]
    assert (lock.read_bytes(), build_lock.read_bytes()) == locks


def test_without_the_build_lock_locked_builds_and_checks_fail(
    site: Any, checksum: Path, nowhere: dict[str, str]
) -> None:
    for_architecture(checksum, "X86_64")
    site.run(checksum, "lock")
    locks = {path: path.read_bytes() for path in checksum.glob("*.lock")}
    assert sorted(path.name for path in locks) == [
        "requirements.python3.11-x86_64.build.lock",
        "requirements.python3.11-x86_64.lock",
    ]
    site.run(checksum, "lock", "--check", env=nowhere)
    # To lock has compiled: the build finds the wheel, and needs no engine.
    site.build(checksum, "--locked", env=nowhere)
    (build_lock,) = (path for path in locks if path.name.endswith(".build.lock"))
    build_lock.unlink()
    checked = site.run(checksum, "lock", "--check", env=nowhere, expect=10)
    assert f"{build_lock.name} is missing" in checked.out + checked.err
    for cache in ("cache", "cold"):
        refused = site.run(checksum, "--no-publish", "--locked", cache=cache, expect=32)
        assert f"{build_lock.name} is missing" in refused.err
        assert "planton-build lock" in refused.err
        assert not build_lock.exists()
    site.run(checksum, "lock", cache="cold")
    assert {path: path.read_bytes() for path in checksum.glob("*.lock")} == locks


def test_upgrading_locks_the_build_requirements_anew(site: Any, checksum: Path) -> None:
    for_architecture(checksum, "X86_64")
    site.run(checksum, "lock")
    build_lock = checksum / "requirements.python3.11-x86_64.build.lock"
    newest = build_lock.read_text()
    (line,) = (line for line in newest.splitlines() if "setuptools==" in line)
    older = newest.replace(line, OLDER)
    build_lock.write_text(older)
    site.run(checksum, "lock")
    assert build_lock.read_text() == older  # what is locked is kept
    built = site.build(checksum, "--locked", cache="cold")
    assert built.function["packages"][0]["name"] == "crcmod"
    site.run(checksum, "lock", "--upgrade")
    assert build_lock.read_text() == newest


OLDER = (
    '    "setuptools==80.9.0 --hash=sha256:062d34222ad13e0cc312a4c02d73f059e86a4acbfbdea8f8f76b28c99f306922",'
)


def test_a_local_project_with_compiled_code_is_locked_and_built_for_the_target(
    site: Any, nowhere: dict[str, str]
) -> None:
    folder = site.function(
        "own",
        {
            "requirements.txt": "./fast\n",
            "app.py": "import fast\n\ndef handler(event, context):\n    return fast.one()\n",
            "fast/pyproject.toml": PYPROJECT,
            "fast/setup.py": 'from setuptools import Extension, setup\nsetup(ext_modules=[Extension("fast", '
            '["fast.c"])])\n',
            "fast/fast.c": MODULE,
            "planton.toml": 'exclude = ["fast/"]\n',
        },
    )
    site.run(folder, "lock")
    build_lock = folder / "requirements.python3.11-x86_64.build.lock"
    locked = build_lock.read_text()
    assert '[build."./fast"]' in locked
    site.run(folder, "lock", "--check", env=nowhere)
    built = site.build(folder, "--locked", env=nowhere)
    assert any(path.startswith("fast.") and path.endswith(".so") for path in built.members)
    site.run(folder, "lock", "--upgrade")
    assert build_lock.read_text() == locked


PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "fast"
version = "1.0"
"""
MODULE = """\
#include <Python.h>
static PyObject *one(PyObject *self, PyObject *none) { return PyLong_FromLong(1); }
static PyMethodDef methods[] = {{"one", one, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "fast", NULL, -1, methods};
PyMODINIT_FUNC PyInit_fast(void) { return PyModule_Create(&module); }
"""
