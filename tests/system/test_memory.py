"""How much memory a large build takes: never more than pieces of the artifact, whatever its size."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform == "win32", reason="getrusage is of Unix"),
]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "analytics"
LIMIT = 150_000_000
"""Bytes. The artifact has 68 MB, the files in it 225 MB."""
# A process's peak counts from its parent's size when it is forked: a small parent, not pytest, must do that.
MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
BUILD = "from planton_build.cli.build import main; main()"


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memory") / "analytics"
    return Path(shutil.copytree(EXAMPLE, folder))


def peak(function: Path) -> int:
    """Build the function and return the peak of the largest process in bytes."""
    command = [sys.executable, "-c", BUILD, "build", "--no-publish", "--quiet"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLANTON_")}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command],
        cwd=function,
        env={**environment, "PLANTON_CACHE_DIR": str(function.with_name("store"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)


def test_a_large_build_holds_only_pieces_of_what_it_writes(function: Path) -> None:
    assert 10_000_000 < peak(function) < LIMIT  # downloads, verifies and writes

    with (function / "report.py").open("a") as source:
        source.write("# changed\n")

    assert 10_000_000 < peak(function) < LIMIT  # the wheels are there
