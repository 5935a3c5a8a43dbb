"""What `inside/build_wheel.py` and `inside/sorted_listing.py` do with files; see also the system tests."""

from __future__ import annotations

import io
import runpy
import stat
import subprocess
import sys
import tarfile
import zipfile
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = resources.files("planton_build.ecosystems.python.building.inside")


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPTS / "build_wheel.py"), run_name="build_wheel")


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.mtime = kind, link, mode, 1_000_000_000
    return info


def tar(path: Path, *entries: tarfile.TarInfo) -> str:
    with tarfile.open(path, "w:gz") as archive:
        for info in entries:
            info.size = 1 if info.isreg() else 0
            archive.addfile(info, io.BytesIO(b"x"))
    return str(path)


def test_an_sdist_is_unpacked_with_its_links_and_times(script: dict[str, Any], tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    source = tar(
        tmp_path / "a.tar.gz",
        entry("a-1/configure", mode=0o4777),
        entry("a-1/sub/up", tarfile.SYMTYPE, "../configure"),
        entry("a-1/sub/all", tarfile.SYMTYPE, ".."),
        entry("a-1/same", tarfile.LNKTYPE, "a-1/configure", 0o755),
    )
    script["unpack_tar"](source, str(place))
    assert (place / "a-1/sub/up").read_bytes() == b"x"
    assert (place / "a-1/same").read_bytes() == b"x"
    status = (place / "a-1/configure").stat()
    assert stat.S_IMODE(status.st_mode) == 0o755
    assert status.st_mtime == 1_000_000_000


@pytest.mark.parametrize(
    "entries",
    [
        [entry("../out")],
        [entry("/tmp/planton-out")],
        [entry("a-1/l", tarfile.SYMTYPE, "../../out")],
        [entry("a-1/l", tarfile.SYMTYPE, "/etc")],
        [entry("a-1/l", tarfile.LNKTYPE, "../out")],
        [entry("a-1/b/s", tarfile.SYMTYPE, ".."), entry("a-1/b/s/l", tarfile.SYMTYPE, "../../out")],
        [entry("a-1/d", tarfile.FIFOTYPE)],
        [entry("a-1/d", tarfile.CHRTYPE)],
    ],
    ids=["climbs", "absolute", "link", "absolute link", "hard link", "link by link", "fifo", "device"],
)
def test_a_hostile_tar_is_refused(
    script: dict[str, Any], entries: list[tarfile.TarInfo], tmp_path: Path
) -> None:
    place = tmp_path / "deep/place"
    place.mkdir(parents=True)
    with pytest.raises((ValueError, tarfile.TarError)):
        script["unpack_tar"](tar(tmp_path / "a.tar.gz", *entries), str(place))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["place"]


@pytest.mark.parametrize(("name", "mode"), [("../out", 0), ("a-1/link", stat.S_IFLNK | 0o777)])
def test_a_hostile_zip_is_refused(script: dict[str, Any], name: str, mode: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, "/etc/passwd")
    (tmp_path / "place").mkdir()
    with pytest.raises(ValueError, match=name):
        script["unpack_zip"](str(tmp_path / "a.zip"), str(tmp_path / "place"))
    assert list((tmp_path / "place").iterdir()) == []


LISTING = """\
import glob, os, pathlib, shutil, tempfile
import planton_sorted_listing
names = sorted(f"{n * 7919 % 1000:03}" for n in range(1000))
with tempfile.TemporaryDirectory() as folder:
    for name in reversed(names):
        pathlib.Path(folder, name).touch()
    assert os.listdir(folder) == names
    assert [entry.name for entry in os.scandir(folder)] == names
    with os.scandir(folder.encode()) as entries:
        assert next(entries).name == names[0].encode()
    assert [os.path.basename(path) for path in glob.glob(f"{folder}/*")] == names
    assert next(os.walk(folder))[2] == names
    assert [path.name for path in pathlib.Path(folder).iterdir()] == names
    shutil.copytree(folder, f"{folder}/copy")
    shutil.rmtree(f"{folder}/copy")
    os.chdir(folder)
    assert os.listdir() == names and len(list(os.scandir())) == 1000
"""


def test_builds_see_folders_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "planton_sorted_listing.py").write_bytes((SCRIPTS / "sorted_listing.py").read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", LISTING], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
