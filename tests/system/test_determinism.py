"""An artifact is a function of lock, sources, options and tool version: everything else varies here.

Each row builds two functions anew in a process of its own and compares with one baseline: `http-api`, with
compiled wheels and a local project that a build backend makes into a wheel, and one with everything among its
sources that tends to vary.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from planton_build.cache import Store
from planton_build.local.interpreters import find_interpreter

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform == "win32", reason="modes, users and symlinks of Unix"),
]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
Reports = dict[str, dict[str, Any]]
SAME = ("sha256", "tree_digest", "size", "unzipped_size", "files", "packages")
"""What `--json` says of an artifact and may not vary."""


@dataclass(frozen=True)
class Baseline:
    """The sources, the store, and what the first build reported."""

    sources: Path
    store: Path
    reports: Reports


@pytest.fixture(scope="session")
def baseline(once: Any, build: Any, awkward_function: Callable[[Path], None]) -> Baseline:
    def make(folder: Path) -> None:
        shutil.copytree(EXAMPLES / "http-api", folder / "sources" / "http-api")
        (folder / "sources" / "awkward").mkdir()
        awkward_function(folder / "sources" / "awkward")
        reports = build(folder / "sources", store=folder / "store")
        (folder / "reports.json").write_text(json.dumps(reports))

    folder = once("baseline", make)
    reports = json.loads((folder / "reports.json").read_text())
    return Baseline(folder / "sources", folder / "store", reports)


def test_the_baseline_holds_what_could_vary(baseline: Baseline) -> None:
    archive = Store(baseline.store).blob("artifacts", baseline.reports["awkward"]["sha256"])
    with zipfile.ZipFile(archive) as opened:
        modes = {info.filename: info.external_attr >> 16 for info in opened.infolist()}
        methods = {info.compress_type for info in opened.infolist()}
    assert {modes["bin/tool"], modes["app.py"], modes["latest"]} == {0o100755, 0o100644, 0o120777}
    assert {"données/été.json", "names/函数.txt", "names/\u00e9.txt", "kept.log"} < set(modes)
    assert not {"noted.log", "drafts/idea.txt", "lambda.yaml", ".lambdaignore"} & set(modes)
    assert methods == {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
    brought = {package["name"] for package in baseline.reports["http-api"]["packages"]}
    assert {"http-api", "pydantic-core"} < brought


def differences(found: Reports, store: Path, baseline: Baseline) -> list[str]:
    """Return what differs from the baseline: the reports' fields, then the entries of the archives."""
    assert sorted(found) == sorted(baseline.reports)
    told = []
    for name, report in found.items():
        expected = baseline.reports[name]
        told += [f"{name}: {field} differs" for field in SAME if report[field] != expected[field]]
        if report["sha256"] != expected["sha256"]:
            mine = _entries(Store(store).blob("artifacts", report["sha256"]))
            theirs = _entries(Store(baseline.store).blob("artifacts", expected["sha256"]))
            if list(mine) != list(theirs):
                told.append(f"{name}: other entries, or in another order")
            told += [f"{name}: {path}" for path in mine if mine[path] != theirs.get(path)][:10]
    return told


def _entries(archive: Path) -> dict[str, tuple[object, ...]]:
    with zipfile.ZipFile(archive) as opened:
        return {
            i.filename: (i.CRC, i.compress_size, i.compress_type, i.external_attr, i.date_time, i.extra)
            for i in opened.infolist()
        }


# The rows. `prepare` varies the copy of the sources, and may return where the build shall find them.


def touched(sources: Path) -> None:
    """Give every file and folder another time, from the 1970s (which ZIP cannot say) to the future."""
    chance = random.Random(1)
    for path in [*sources.rglob("*"), sources]:
        os.utime(path, (0, chance.randrange(0, 2**32)), follow_symlinks=False)


def narrow_modes(sources: Path) -> None:
    """Keep who may execute a file, and take everything else from group and others."""
    for path in sources.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o700)


def wide_modes(sources: Path) -> None:
    """Let everybody write."""
    for path in sources.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o666)


def through_symlink(sources: Path) -> Path:
    link = sources.with_name("elsewhere")
    link.symlink_to(sources, target_is_directory=True)
    return link


def with_leftovers(sources: Path) -> None:
    """Add what earlier runs and other tools leave behind."""
    for function in list(sources.iterdir()):
        for name in (".DS_Store", ".pytest_cache/x", "__pycache__/y.cpython-312.pyc", ".venv/pyvenv.cfg"):
            path = function / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"left over")


def git_clone(sources: Path, *options: str) -> Path:
    git = ["git", "-c", "user.name=n", "-c", "user.email=n@localhost", "-c", "init.defaultBranch=main"]
    for command in (["init", "-q"], ["add", "-A", "-f"], ["commit", "-qm", "everything"]):
        subprocess.run([*git, *command], cwd=sources, check=True)
    clone = sources.with_name("clone")
    subprocess.run([*git, "clone", "-q", *options, str(sources), str(clone)], check=True)
    return clone


def git_clone_without_modes(sources: Path) -> Path:
    """Clone as onto a file system that keeps no executable bits, where every file has the same mode."""
    clone = git_clone(sources, "-c", "core.fileMode=false")
    for path in clone.rglob("*"):
        if path.is_file() and not path.is_symlink() and ".git" not in path.parts:
            path.chmod(0o755 if path.suffix == ".py" else 0o644)
    return clone


@dataclass(frozen=True)
class Row:
    """How a build's surroundings differ from the baseline's. `place` is a folder for the sources."""

    prepare: Callable[[Path], Path | None] = lambda sources: None
    place: str = "sources"
    environment: Mapping[str, str] = field(default_factory=dict)
    umask: int = 0o022
    arguments: tuple[str, ...] = ()
    python: tuple[str, ...] = (sys.executable,)


ROWS = {
    "nothing": Row(),
    "deep-folder": Row(place="/".join(["folder-of-a-folder"] * 40)),
    "short-folder": Row(place="s"),
    "non-ascii-folder": Row(place="Entwürfe & Ähnliches/函数 (копия)/it's"),
    "hidden-folder": Row(place=".cache/node_modules/build"),
    "behind-a-symlink": Row(prepare=through_symlink),
    "umask-000": Row(umask=0o000),
    "umask-077": Row(umask=0o077),
    "source-modes-narrow": Row(prepare=narrow_modes),
    "source-modes-wide": Row(prepare=wide_modes),
    "source-times": Row(prepare=touched),
    "time-zone-east": Row(environment={"TZ": "Pacific/Kiritimati"}),
    "time-zone-west": Row(environment={"TZ": "XXX+11:59"}),
    "locale-posix": Row(environment={"LC_ALL": "C", "LANG": "C"}),
    "ascii-only": Row(environment={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}),
    "locale-unknown": Row(environment={"LC_ALL": "tr_TR.ISO8859-9", "LANGUAGE": "tr"}),
    "utf-8-mode": Row(environment={"PYTHONUTF8": "1"}),
    "hash-seed": Row(environment={"PYTHONHASHSEED": "4711"}),
    "epoch": Row(environment={"SOURCE_DATE_EPOCH": "1700000000"}),
    "optimised-python": Row(python=(sys.executable, "-OO", "-X", "dev")),
    "home": Row(environment={"HOME": "/nowhere", "USER": "somebody", "LOGNAME": "somebody"}),
    "one-job": Row(arguments=("--jobs", "1")),
    "nine-jobs": Row(arguments=("--jobs", "9")),
    "leftovers": Row(prepare=with_leftovers),
    "git-clone": Row(prepare=git_clone),
    "git-clone-without-modes": Row(prepare=git_clone_without_modes),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_artifact_does_not_depend_on(row: Row, baseline: Baseline, build: Build, tmp_path: Path) -> None:
    sources = tmp_path / row.place
    shutil.copytree(baseline.sources, sources, symlinks=True)
    sources = row.prepare(sources) or sources
    store = with_wheels_only(tmp_path / "store", baseline)
    environment = {"UV_CACHE_DIR": uv_cache(), **row.environment}
    found = build(
        sources,
        store=store,
        python=row.python,
        arguments=row.arguments,
        environment=environment,
        umask=row.umask,
    )
    assert differences(found, store, baseline) == []


def with_wheels_only(store: Path, baseline: Baseline) -> Path:
    """Make a store that knows the wheels of the lock, so that no network is needed, and nothing else."""
    for kind in ("wheels", "offers"):
        shutil.copytree(Store(baseline.store).root / kind, Store(store).root / kind)
    return store
