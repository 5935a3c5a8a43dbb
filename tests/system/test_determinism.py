"""An artifact is a function of lock, sources, options and tool version: everything else varies here.

Each row builds three functions anew in a process of its own and compares with one baseline: `http-api`, with
compiled wheels and a local project that a build backend makes into a wheel, one with everything among its
sources that tends to vary, and a container image of both.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
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
Build = Callable[..., Reports]
SAME = ("sha256", "tree_digest", "size", "unzipped_size", "files", "packages")
"""What `--json` says of an artifact and may not vary."""


@dataclass(frozen=True)
class Baseline:
    """The sources, the store, and what the first build reported."""

    sources: Path
    store: Path
    reports: Reports


BOXED = """\
base-image = "oci:../base"
dependencies = "../http-api"
allow = { "*" = "the base image of this test has no system" }
"""


@pytest.fixture(scope="session")
def baseline(
    once: Any,
    build: Build,
    awkward_function: Callable[[Path], None],
    small_base: Callable[[Path], None],
) -> Baseline:
    def make(folder: Path) -> None:
        api = shutil.copytree(EXAMPLES / "http-api", folder / "sources" / "http-api")
        # What a build backend meets is copied for it, and must keep name and executable bit.
        (api / "src/http_api/données").mkdir()
        (api / "src/http_api/données/été").write_text("#!/bin/sh\n", encoding="utf-8")
        (api / "src/http_api/données/été").chmod(0o755)
        (folder / "sources" / "awkward").mkdir()
        awkward_function(folder / "sources" / "awkward")
        boxed(folder / "sources", awkward_function)
        small_base(folder / "sources" / "base")
        reports = build(folder / "sources", store=folder / "store")
        (folder / "reports.json").write_text(json.dumps(reports))

    folder = once("baseline", make)
    reports = json.loads((folder / "reports.json").read_text())
    return Baseline(folder / "sources", folder / "store", reports)


def boxed(sources: Path, awkward_function: Callable[[Path], None]) -> None:
    """Add an image function: the packages of `http-api`, whose own project is one, and the awkward files."""
    (sources / "boxed").mkdir()
    awkward_function(sources / "boxed")
    manifest = sources / "boxed" / "lambda.yaml"
    text = re.sub(r"(name|Name): awkward", r"\1: boxed", manifest.read_text())
    text = text.replace("python3.12", "python3.13").replace("ARM64", "X86_64")
    manifest.write_text(f"{text}  codeSourceType: CODE_SOURCE_TYPE_IMAGE\n")
    (sources / "boxed" / "planton.toml").write_text(BOXED)


def test_the_baseline_holds_what_could_vary(baseline: Baseline) -> None:
    archive = Store(baseline.store).blob("artifacts", baseline.reports["awkward"]["sha256"])
    with zipfile.ZipFile(archive) as opened:
        modes = {info.filename: info.external_attr >> 16 for info in opened.infolist()}
        methods = {info.compress_type for info in opened.infolist()}
    assert {modes["bin/tool"], modes["app.py"], modes["latest"]} == {0o100755, 0o100644, 0o120777}
    assert {"données/été.json", "names/函数.txt", "names/\u00e9.txt", "kept.log"} < set(modes)
    assert not {"noted.log", "drafts/idea.txt", "lambda.yaml", ".lambdaignore"} & set(modes)
    assert methods == {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
    api = Store(baseline.store).blob("artifacts", baseline.reports["http-api"]["sha256"])
    with zipfile.ZipFile(api) as opened:
        assert opened.getinfo("http_api/données/été").external_attr >> 16 == 0o100755
    image = baseline.reports["boxed"]
    manifest = json.loads(Store(baseline.store).blob("blobs", image["sha256"]).read_bytes())
    assert (image["package_type"], len(manifest["layers"])) == ("Image", 3)
    assert {"pydantic-core", "httpx"} <= {package["name"] for package in image["packages"]}
    assert image["files"] > 200
    brought = {package["name"] for package in baseline.reports["http-api"]["packages"]}
    assert {"http-api", "pydantic-core"} < brought


def differences(found: Reports, store: Path, baseline: Baseline) -> list[str]:
    """Return what differs from the baseline: the reports' fields, then the entries of the archives."""
    assert sorted(found) == sorted(baseline.reports)
    told = []
    for name, report in found.items():
        expected = baseline.reports[name]
        told += [f"{name}: {field} differs" for field in SAME if report[field] != expected[field]]
        if report["sha256"] != expected["sha256"] and report["package_type"] == "Zip":
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
    """How a build's surroundings differ from the baseline's.

    `place` is the folder of the sources. `{folder}` in `environment` is a folder of the test's own.
    """

    prepare: Callable[[Path], Path | None] = lambda sources: None
    place: str = "sources"
    environment: Mapping[str, str] = field(default_factory=dict)
    umask: int = 0o022
    arguments: tuple[str, ...] = ()


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
    "home": Row(environment={"HOME": "{folder}/home", "USER": "somebody", "LOGNAME": "somebody"}),
    "one-job": Row(arguments=("--jobs", "1")),
    "nine-jobs": Row(arguments=("--jobs", "9")),
    "leftovers": Row(prepare=with_leftovers),
    "git-clone": Row(prepare=git_clone),
    "git-clone-without-modes": Row(prepare=git_clone_without_modes),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_artifact_does_not_depend_on(row: Row, baseline: Baseline, build: Build, tmp_path: Path) -> None:
    sources = copied(baseline, tmp_path / row.place)
    store = with_wheels_only(tmp_path / "store", baseline)
    found = build(
        row.prepare(sources) or sources,
        store=store,
        arguments=row.arguments,
        environment={name: value.format(folder=tmp_path) for name, value in row.environment.items()},
        umask=row.umask,
    )
    assert differences(found, store, baseline) == []


def copied(baseline: Baseline, folder: Path) -> Path:
    """Copy the sources, symlinks as such."""
    return Path(shutil.copytree(baseline.sources, folder, symlinks=True))


def with_wheels_only(store: Path, baseline: Baseline) -> Path:
    """Make a store that knows the wheels of the lock, so that none is downloaded again, and nothing else."""
    for kind in ("wheels", "offers"):
        shutil.copytree(Store(baseline.store).root / kind, Store(store).root / kind)
    return store


def test_a_second_build_takes_the_first_ones_artifact(baseline: Baseline, build: Build) -> None:
    found = build(baseline.sources, store=baseline.store)
    assert all(report["cached"] for report in found.values())
    assert differences(found, baseline.store, baseline) == []


def test_artifact_does_not_depend_on_a_store_that_is_half_full(
    baseline: Baseline, build: Build, tmp_path: Path
) -> None:
    """What another build compressed and remembered is used; what a prune removed is made again."""
    shutil.copytree(baseline.store, tmp_path / "store")
    root = Store(tmp_path / "store").root
    shutil.rmtree(root / "builds")
    for path in sorted(path for path in root.rglob("*") if path.is_file())[::2]:
        path.unlink()
    found = build(baseline.sources, store=tmp_path / "store")
    assert differences(found, tmp_path / "store", baseline) == []


def test_artifact_does_not_depend_on_a_neighbour_in_the_same_store(
    baseline: Baseline, build: Build, tmp_path: Path
) -> None:
    store = with_wheels_only(tmp_path / "store", baseline)
    with ThreadPoolExecutor() as executor:
        both = list(executor.map(lambda _: build(baseline.sources, store=store), range(2)))
    assert [differences(found, store, baseline) for found in both] == [[], []]


def test_artifact_does_not_depend_on_the_order_in_folders(
    baseline: Baseline, build: Build, tmp_path: Path
) -> None:
    store = with_wheels_only(tmp_path / "store", baseline)
    with in_another_order(baseline.sources, tmp_path) as sources:
        usual, other = (os.listdir(root / "awkward" / "package") for root in (baseline.sources, sources))
        assert sorted(usual) == sorted(other)
        assert other != usual, "nothing would be tested"
        found = build(sources, store=store)
    assert differences(found, store, baseline) == []


@contextlib.contextmanager
def in_another_order(sources: Path, folder: Path) -> Iterator[Path]:
    """Give the sources with folders that list their names in another order, by whatever this host offers."""
    mount = folder / "disordered"
    mount.mkdir()
    if shutil.which("disorderfs") and shutil.which("fusermount"):
        # Not shuffled: that order changes with every look, and the test could not be repeated.
        command = ["disorderfs", "--quiet", "--reverse-dirents=yes"]
        done = subprocess.run([*command, sources, mount], capture_output=True, check=False)
        if done.returncode == 0:
            try:
                yield mount
            finally:
                subprocess.run(["fusermount", "-u", mount], check=True)
            return
    memory = Path("/dev/shm")
    if not memory.is_dir():
        pytest.skip("neither disorderfs nor a file system in memory")
    with tempfile.TemporaryDirectory(dir=memory) as name:
        copy = Path(name) / "sources"
        # Such a file system lists what was made last first.
        shutil.copytree(sources, copy, symlinks=True, copy_function=shutil.copy2)
        yield copy


def test_artifact_does_not_depend_on_the_user(baseline: Baseline, build: Build, open_folder: Path) -> None:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("only root can build as another user, with setpriv")
    nobody = 65534
    sources = copied(baseline, open_folder / "sources")
    store = with_wheels_only(open_folder / "store", baseline)
    for path in (open_folder, *open_folder.rglob("*")):
        os.chown(path, nobody, nobody, follow_symlinks=False)
    # The tool itself may be installed where only root may look, so that one right stays.
    rights = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    user = ("setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups", *rights)
    found = build(
        sources,
        store=store,
        python=(*user, sys.executable),
        environment={"HOME": str(open_folder), "UV_CACHE_DIR": str(open_folder / "uv")},
    )
    assert differences(found, store, baseline) == []
    owners = {path.stat().st_uid for path in Store(store).root.glob("artifacts/*/*")}
    assert owners == {nobody}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that everybody may enter; those of pytest are their user's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_artifact_does_not_depend_on_the_python_of_the_host(
    baseline: Baseline, build: Build, copy_site: Callable[..., None], tmp_path: Path
) -> None:
    versions = [(3, minor) for minor in (14, 13, 12, 11) if (3, minor) != sys.version_info[:2]]
    other = next(filter(None, map(find_interpreter, versions)), None)
    if other is None:
        pytest.skip("no other CPython on this host")
    copy_site(tmp_path / "site", "{}.{}".format(*other.version))
    store = with_wheels_only(tmp_path / "store", baseline)
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    found = build(baseline.sources, store=store, python=(str(other.path),), environment=environment)
    assert differences(found, store, baseline) == []


@pytest.mark.engine("arm64 emulation")
def test_artifact_does_not_depend_on_the_architecture_of_the_host(
    arm64_python: Callable[[Path], tuple[str, ...]],
    baseline: Baseline,
    build: Build,
    copy_site: Callable[..., None],
    tmp_path: Path,
) -> None:
    """Everything but the wheels comes from an aarch64 interpreter: tables, compression, the local project."""
    python = arm64_python(tmp_path)
    question = "import platform, sys; print(platform.machine(), *sys.version_info[:2])"
    machine, *version = subprocess.check_output([*python, "-c", question], text=True).split()
    assert machine == "aarch64"
    copy_site(tmp_path / "site", ".".join(version), platform="aarch64-unknown-linux-gnu")
    fetch_backend(baseline.sources / "http-api" / "pyproject.toml", tmp_path / "backend")
    copied(baseline, tmp_path / "sources")
    store = with_wheels_only(tmp_path / "store", baseline)
    found = build(Path("/mnt/sources"), store=store, python=python)
    assert differences(found, store, baseline) == []


def fetch_backend(pyproject: Path, folder: Path) -> None:
    """Download the wheels of a project's build backend, which are pure Python, for a host without network."""
    wanted = tomllib.loads(pyproject.read_text())["build-system"]["requires"]
    command = [sys.executable, "-m", "pip", "download", "-q", "--only-binary", ":all:", "-d", str(folder)]
    subprocess.run([*command, *wanted], check=True, capture_output=True)
