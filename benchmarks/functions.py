"""The functions that are built, taken from `examples/`, and what the tools need to know about them."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

_UV_PLATFORMS = {
    ("python3.11", "arm64"): "aarch64-manylinux2014",
    ("python3.13", "arm64"): "aarch64-manylinux_2_34",
    ("python3.13", "x86_64"): "x86_64-manylinux_2_34",
}
"""uv's name of each runtime's platform. It has none for glibc 2.26 (python3.11, Amazon Linux 2): the next
lower one is 2.17, which is manylinux2014."""
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Function:
    """A function in a folder of its own tool. `source` is the file of the one-line change."""

    name: str
    folder: Path
    source: Path
    lock: Path
    runtime: str
    architecture: str

    @property
    def version(self) -> str:
        """Return the Python version, such as 3.11."""
        return self.runtime.removeprefix("python")

    @property
    def platform(self) -> str:
        """Return the platform as uv calls it."""
        return _UV_PLATFORMS[self.runtime, self.architecture]

    @property
    def pins(self) -> list[str]:
        """Return the lock's packages with their versions, without hashes: what every tool can read."""
        lines = self.lock.read_text(encoding="utf-8").splitlines()
        return [line.partition(";")[0].rstrip(" \\") for line in lines if re.match(r"\w[^ ]*==", line)]

    def change(self) -> None:
        """Change one line."""
        change(self.source)


def change(source: Path) -> None:
    """Change one line of a Python file, to something that no build has seen."""
    lines = source.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("# change ")]
    source.write_text("\n".join([*kept, f"# change {next(_numbers)}", ""]), encoding="utf-8")


def copy_example(name: str, destination: Path) -> Path:
    """Copy an example for one tool, and return its folder."""
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    return Path(shutil.copytree(EXAMPLES / name, destination / name, ignore=ignored))


def functions_of(folder: Path, planton: str, environment: Mapping[str, str]) -> list[Function]:
    """Ask planton-build which functions there are below a folder, and where their locks are."""

    def asked(*arguments: str) -> list[dict[str, str]]:
        answer = subprocess.run(
            [planton, *arguments, str(folder), "--json"],
            env=dict(environment),
            check=True,
            stdout=subprocess.PIPE,
            cwd=folder,
        )
        rows: list[dict[str, str]] = next(iter(json.loads(answer.stdout).values()))
        return rows

    locks = {row["function_name"]: folder / row["lock"] for row in asked("lock")}
    functions = []
    for row in asked("build", "--no-publish"):
        home = (folder / row["manifest"]).parent
        source = next(path for path in sorted(home.rglob("*.py")) if path.name != "__init__.py")
        functions.append(
            Function(
                row["function_name"],
                home,
                source,
                locks[row["function_name"]],
                row["runtime"],
                row["architecture"],
            )
        )
    return functions
