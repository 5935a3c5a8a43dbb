from __future__ import annotations

import gzip
import hashlib
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planton_build.ecosystems.python.building import sdist as module
from planton_build.ecosystems.python.building.sdist import Sdist, inspect_sdist
from planton_build.ecosystems.python.building.system import BuildSystem
from planton_build.errors import CompileFailed

PYPROJECT = b'[build-system]\nrequires = ["hatchling>=1"]\nbuild-backend = "hatchling.build"\n'


def entry(name: str, content: bytes = b"", **changes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content


def tar_of(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zip_of(*entries: tuple[str, bytes, int]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return stream.getvalue()


def sdist(folder: Path, content: bytes, filename: str = "demo-1.0.tar.gz") -> Sdist:
    path = folder / "blob"
    path.write_bytes(content)
    return Sdist("demo", "1.0", filename, hashlib.sha256(content).hexdigest(), path)


def test_the_build_system_of_a_tar_is_read(tmp_path: Path) -> None:
    content = tar_of(
        entry("demo-1.0", type=tarfile.DIRTYPE),
        entry("demo-1.0/sub/pyproject.toml", b"not this"),
        entry("demo-1.0/link", type=tarfile.SYMTYPE, linkname="sub/pyproject.toml"),
        entry("demo-1.0/sub/up", type=tarfile.SYMTYPE, linkname="../setup.py"),
        entry("demo-1.0/hard", type=tarfile.LNKTYPE, linkname="demo-1.0/sub/pyproject.toml"),
        entry("./demo-1.0/pyproject.toml", PYPROJECT),
    )
    found = inspect_sdist(sdist(tmp_path, content))
    assert found == BuildSystem(("hatchling>=1",), "hatchling.build")


def test_the_build_system_of_a_zip_is_read(tmp_path: Path) -> None:
    content = zip_of(("demo-1.0/", b"", stat.S_IFDIR | 0o755), ("demo-1.0/pyproject.toml", PYPROJECT, 0))
    found = inspect_sdist(sdist(tmp_path, content, "demo-1.0.zip"))
    assert found.backend == "hatchling.build"


def test_without_pyproject_it_is_setuptools(tmp_path: Path) -> None:
    found = inspect_sdist(sdist(tmp_path, tar_of(entry("demo-1.0/setup.py", b""))))
    assert found == BuildSystem(("setuptools>=40.8.0", "wheel"), "setuptools.build_meta:__legacy__")


HOSTILE: dict[str, Callable[[], bytes]] = {
    "climbs": lambda: tar_of(entry("demo-1.0/../../etc/passwd", b"x")),
    "is absolute": lambda: tar_of(entry("/etc/passwd", b"x")),
    "link climbs": lambda: tar_of(entry("demo-1.0/a", type=tarfile.SYMTYPE, linkname="../b")),
    "link is absolute": lambda: tar_of(entry("demo-1.0/a", type=tarfile.SYMTYPE, linkname="/etc")),
    "link to a sibling": lambda: tar_of(entry("demo-1.0/a", type=tarfile.SYMTYPE, linkname="../demo-1.0x/b")),
    "hard link climbs": lambda: tar_of(entry("demo-1.0/a", type=tarfile.LNKTYPE, linkname="etc/passwd")),
    "device": lambda: tar_of(entry("demo-1.0/a", type=tarfile.CHRTYPE)),
    "fifo": lambda: tar_of(entry("demo-1.0/a", type=tarfile.FIFOTYPE)),
    "two folders": lambda: tar_of(entry("demo-1.0/a", b""), entry("other/a", b"")),
    "a file at the top": lambda: tar_of(entry("setup.py", b"")),
    "pyproject is a link": lambda: tar_of(
        entry("demo-1.0/pyproject.toml", type=tarfile.SYMTYPE, linkname="other.toml")
    ),
    "pyproject is large": lambda: tar_of(entry("demo-1.0/pyproject.toml", b"#" * (1 << 20) + b"\n")),
    "empty": lambda: tar_of(),
    "no gzip": lambda: b"hello",
    "cut off": lambda: tar_of(entry("demo-1.0/setup.py", bytes(range(256)) * 500))[:-200],
    "no TOML": lambda: tar_of(entry("demo-1.0/pyproject.toml", b"[")),
    "no requires": lambda: tar_of(entry("demo-1.0/pyproject.toml", b"[build-system]\n")),
    "no requirement": lambda: tar_of(
        entry("demo-1.0/pyproject.toml", b'[build-system]\nrequires = ["a b"]\n')
    ),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_a_bad_tar_is_refused(make: Callable[[], bytes], tmp_path: Path) -> None:
    with pytest.raises(CompileFailed, match=r"demo-1\.0\.tar\.gz") as caught:
        inspect_sdist(sdist(tmp_path, make()))
    assert caught.value.hint


@pytest.mark.parametrize(
    "entries",
    [
        [("../a", b"", 0)],
        [("demo-1.0/a", b"/etc/passwd", stat.S_IFLNK | 0o777)],
        [("demo-1.0/a", b"", 0), ("b/a", b"", 0)],
        [],
    ],
    ids=["climbs", "link", "two folders", "empty"],
)
def test_a_bad_zip_is_refused(entries: list[tuple[str, bytes, int]], tmp_path: Path) -> None:
    with pytest.raises(CompileFailed, match=r"demo-1\.0\.zip"):
        inspect_sdist(sdist(tmp_path, zip_of(*entries), "demo-1.0.zip"))


@pytest.mark.parametrize("filename", ["demo-1.0.tar.bz2", "../demo-1.0.zip", "demo 1.zip", "-x.tar.gz"])
def test_other_names_are_refused(filename: str, tmp_path: Path) -> None:
    with pytest.raises(CompileFailed, match="its name"):
        inspect_sdist(sdist(tmp_path, b"", filename))


def test_what_unpacks_to_too_much_is_refused_before_it_is_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("demo-1.0/zeros")
    header.size = module.UNPACKED_LIMIT + 1
    with pytest.raises(CompileFailed, match="unpacks to more than"):
        inspect_sdist(sdist(tmp_path, gzip.compress(header.tobuf())))


def test_a_huge_header_is_refused_before_it_is_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 1 << 30
    with pytest.raises(CompileFailed, match="a header of"):
        inspect_sdist(sdist(tmp_path, gzip.compress(header.tobuf() + bytes(1 << 20))))


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILES_LIMIT", 3)
    with pytest.raises(CompileFailed, match="3 files"):
        inspect_sdist(sdist(tmp_path, tar_of(*(entry(f"demo-1.0/{n}", b"") for n in range(4)))))


@given(content=st.binary(max_size=2000), position=st.integers(0, 300))
def test_damage_is_an_explained_error_or_harmless(
    content: bytes, position: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = gzip.decompress(tar_of(entry("demo-1.0/pyproject.toml", PYPROJECT), entry("demo-1.0/a", b"b")))
    damaged = whole[:position] + content + whole[position + len(content) :]
    folder = tmp_path_factory.mktemp("sdist")
    for filename, archive in (("demo-1.0.tar.gz", gzip.compress(damaged)), ("demo-1.0.zip", content)):
        try:
            inspect_sdist(sdist(folder, archive, filename))
        except CompileFailed as error:
            assert filename in error.message
