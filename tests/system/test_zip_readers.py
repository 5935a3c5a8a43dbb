"""The ZIPs of all examples as programs other than ours read and unpack them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from planton_build.cache import Store

pytestmark = [pytest.mark.network, pytest.mark.skipif(sys.platform == "win32", reason="Unix modes")]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
IN_CONTAINERS = {"analytics-job", "checksum", "ffmpeg-thumbnailer"}
"""Examples that need a build container; tests/system/containers has them."""
FUNCTIONS = [
    *sorted({path.parent.name for path in EXAMPLES.rglob("lambda.yaml")} - IN_CONTAINERS),
    "awkward",
]
UTF8 = {"LC_ALL": "C.UTF-8"}
JAR = ("java", "-m", "jdk.jartool/sun.tools.jar.Main")
"""`jar`, which a runtime without development kit has too, if not by that name."""


@dataclass(frozen=True)
class Reader:
    """A program: how it tests an archive, how it lists it, and whether it gets the archive on stdin."""

    test: Sequence[str] = ()
    names: Sequence[str] = ()
    streamed: bool = False


READERS = {
    "unzip": Reader(test=("unzip", "-tqq"), names=("unzip", "-Z1")),
    "bsdtar": Reader(names=("bsdtar", "-tf")),
    "7z": Reader(test=("7z", "t", "-bd", "-p")),
    "java": Reader(names=(*JAR, "tf")),
    # From a pipe, Java knows the local headers alone, and not the central directory.
    "java-stream": Reader(names=(*JAR, "t"), streamed=True),
}
UNPACKERS: dict[str, Callable[[Path, Path], list[str]]] = {
    "unzip": lambda archive, folder: ["unzip", "-qq", str(archive), "-d", str(folder)],
    "bsdtar": lambda archive, folder: ["bsdtar", "-xpf", str(archive), "-C", str(folder)],
}
Artifact = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="session")
def artifacts(once: Any, build: Any, awkward_function: Callable[[Path], None]) -> dict[str, Artifact]:
    """Build every example, and the awkward function, once; return ZIP and report by name."""

    def make(folder: Path) -> None:
        shutil.copytree(EXAMPLES, folder / "functions", ignore=shutil.ignore_patterns(*IN_CONTAINERS))
        (folder / "functions" / "awkward").mkdir()
        awkward_function(folder / "functions" / "awkward")
        reports = build(folder / "functions", store=folder / "store")
        (folder / "reports.json").write_text(json.dumps(reports))

    folder = once("examples", make)
    reports = json.loads((folder / "reports.json").read_text())
    store = Store(folder / "store")
    return {name: (store.blob("artifacts", report["sha256"]), report) for name, report in reports.items()}


def test_every_example_is_built(artifacts: dict[str, Artifact]) -> None:
    assert sorted(artifacts) == sorted(FUNCTIONS)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_python_finds_every_entry_whole(function: str, artifacts: dict[str, Artifact]) -> None:
    archive, report = artifacts[function]
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        names = opened.namelist()
    assert names == sorted(names, key=str.encode)
    assert len(set(names)) == report["files"]


@pytest.mark.engine("ZIP readers")
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_reader_accepts_and_lists(
    function: str, reader: str, artifacts: dict[str, Artifact], require_engine: Callable[..., None]
) -> None:
    archive, _ = artifacts[function]
    commands = READERS[reader]
    program = (commands.names or commands.test)[0]
    require_engine(program, shutil.which(program) is not None, "not installed")
    if commands.test:
        run([*commands.test, str(archive)])
    if commands.names:
        listed = run(commands.names, archive) if commands.streamed else run([*commands.names, str(archive)])
        with zipfile.ZipFile(archive) as opened:
            assert sorted(listed.decode().splitlines()) == sorted(opened.namelist())


@pytest.mark.engine("ZIP readers")
@pytest.mark.parametrize("unpacker", UNPACKERS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_unpacked_tree_is_the_one_reported(
    function: str,
    unpacker: str,
    artifacts: dict[str, Artifact],
    tmp_path: Path,
    require_engine: Callable[..., None],
) -> None:
    require_engine(unpacker, shutil.which(unpacker) is not None, "not installed")
    archive, report = artifacts[function]
    run(UNPACKERS[unpacker](archive, tmp_path))
    lines, size = [], 0
    for folder, folders, names in os.walk(tmp_path):
        for path in (Path(folder, name) for name in [*folders, *names]):
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                continue
            content = os.readlink(path).encode() if stat.S_ISLNK(mode) else path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            # With the whole mode, so that a bit too many or too few shows.
            lines.append(f"{mode:06o} {digest} {path.relative_to(tmp_path).as_posix()}\n".encode())
            size += len(content)
    shutil.rmtree(tmp_path)  # hundreds of megabytes, all in all
    assert hashlib.sha256(b"".join(sorted(lines))).hexdigest() == report["tree_digest"]
    assert (len(lines), size) == (report["files"], report["unzipped_size"])


def run(command: Sequence[str], stdin: Path | None = None) -> bytes:
    """Run a program without a umask, which unpackers apply, and return what it prints."""
    with (stdin or Path(os.devnull)).open("rb") as stream:
        done = subprocess.run(
            command, stdin=stream, env={**os.environ, **UTF8}, capture_output=True, check=False, umask=0
        )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return done.stdout
