"""The packages that functions use most raise no alarm, on either Amazon Linux and architecture."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pytest

from planton_build.audit.archive import members_of
from planton_build.audit.content import audit
from planton_build.cache import Store
from planton_build.ecosystems.python.settings import read_pip_settings
from planton_build.ecosystems.python.uv_command import run_uv
from planton_build.runtimes.catalog import target_for
from planton_build.runtimes.target import Architecture

pytestmark = pytest.mark.network

PACKAGES = """
aws-lambda-powertools cffi cryptography grpcio httpx lxml numpy orjson pandas pillow psycopg2-binary pyarrow
pydantic pyyaml requests scipy sqlalchemy
"""
PLATFORM = {"al2": "manylinux_2_17", "al2023": "manylinux_2_34"}


def installed(
    packages: list[str], runtime: str, architecture: Architecture, folder: Path, *, platform: str = ""
) -> Path:
    """Install packages with uv for a runtime and return a ZIP of them, as many tools make it."""
    target = target_for(runtime, architecture)
    chosen = platform or PLATFORM[target.system]
    command = ["pip", "install", "--target", "tree", "--only-binary", ":all:", "--python", sys.executable]
    command += ["--python-version", ".".join(map(str, target.version))]
    command += ["--python-platform", f"{target.machine}-{chosen}", *packages]
    answer = run_uv(command, folder=folder, environment=os.environ, settings=read_pip_settings())
    assert answer.returncode == 0, answer.explanation
    path = folder / "function.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted((folder / "tree").rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder / "tree"))
    return path


@pytest.mark.parametrize(
    ("runtime", "architecture"),
    [("python3.11", "x86_64"), ("python3.11", "arm64"), ("python3.13", "x86_64"), ("python3.13", "arm64")],
)
def test_well_made_wheels_raise_no_alarm(runtime: str, architecture: Architecture, tmp_path: Path) -> None:
    target = target_for(runtime, architecture)
    path = installed(PACKAGES.split(), runtime, architecture, tmp_path)
    report = audit(*members_of(path), target, store=Store(tmp_path / "store"))
    assert report.findings == ()
    assert report.notes == ()
    assert list(report.machines) == [target.machine]
    assert report.machines[target.machine] > 100

    other = target_for(runtime, "arm64" if architecture == "x86_64" else "x86_64")
    wrong = audit(*members_of(path), other, store=Store(tmp_path / "store"))
    assert {one.rule for one in wrong.findings} == {"architecture"}
    assert {"numpy", "pandas", "pyarrow", "cryptography"} <= {one.package for one in wrong.findings}


def test_wheels_for_a_newer_system_are_reported(tmp_path: Path) -> None:
    path = installed(["numpy==2.3.4"], "python3.11", "x86_64", tmp_path, platform="manylinux_2_28")
    report = audit(*members_of(path), target_for("python3.11", "x86_64"), store=Store(tmp_path / "store"))
    assert {(one.rule, one.package) for one in report.findings} == {("glibc", "numpy")}
    newer = audit(*members_of(path), target_for("python3.12", "x86_64"), store=Store(tmp_path / "store"))
    assert {one.rule for one in newer.findings} == {"python-abi"}
