"""An sdist, looked into without unpacking it: what is to be built, and whether its archive may be touched.

The container unpacks the file itself, offline and without rights; here it is read for its build system. Both
take it for hostile: nothing outside its one top folder, no devices, bounded sizes.
"""

from __future__ import annotations

import gzip
import posixpath
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.ecosystems.python.building.system import BuildSystem, read_build_system
from planton_build.errors import CompileFailed
from planton_build.sandbox.files import Input
from planton_build.sandbox.job import IN

if TYPE_CHECKING:
    from packaging.version import Version

    from planton_build.ecosystems.python.building.build_lock import LockedBuild

UNPACKED_LIMIT = 2 << 30
"""Bytes an sdist may unpack to. The largest on the public index have a few hundred MB."""
FILES_LIMIT = 200_000
"""Files an sdist may have."""
_PYPROJECT_LIMIT = 1 << 20
_HEADER_LIMIT = 16 << 20
"""Bytes of an extended header, which holds one long path or a few of them."""
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*(\.tar\.gz|\.zip)")


@dataclass(frozen=True, slots=True)
class Sdist:
    """An sdist in the store. `name` is normalised, `version` the lock's, `sha256` (hex) that of the file."""

    name: str
    version: str
    filename: str
    sha256: str
    path: Path

    @property
    def key(self) -> str:
        """Return its name in a build lock."""
        return f"{self.name}=={self.version}"

    @property
    def label(self) -> str:
        """Return its name for people."""
        return f"{self.name} {self.version}"

    @property
    def digest(self) -> str:
        """Return what stands for its content."""
        return self.sha256

    @property
    def input_name(self) -> str:
        """Return what it is called among the inputs of a build."""
        return self.filename

    def is_of(self, recorded: LockedBuild) -> bool:
        """Tell whether a recorded build is one of this very file."""
        return recorded.sdist == self.sha256

    def is_named(self, name: str, version: Version) -> bool:
        """Tell whether a wheel of this normalised name and version may come of it."""
        from packaging.version import Version

        return name == self.name and version == Version(self.version)

    def build_system(self) -> BuildSystem:
        """Return how it is built. Raises CompileFailed as `inspect_sdist` does."""
        return inspect_sdist(self)

    def inputs(self, staging: Path) -> list[Input]:
        """Return the file as input of a build; nothing is put into `staging`."""
        del staging
        return [Input(f"{IN}/{self.filename}", self.path)]


@dataclass(frozen=True, slots=True)
class _Entry:
    """What matters of an entry: its path, size in bytes, and the target if it is a link (`hard` or not)."""

    path: str
    size: int
    folder: bool
    link: str | None = None
    hard: bool = False


def inspect_sdist(sdist: Sdist) -> BuildSystem:
    """Return how an sdist is built.

    Raises:
        CompileFailed: the archive is damaged or hostile, or its `pyproject.toml` is wrong.
    """
    if not _FILENAME.fullmatch(sdist.filename):
        raise _refusal(sdist, "its name is not that of an sdist (.tar.gz or .zip)")
    try:
        pyproject = _inspect_zip(sdist) if sdist.filename.endswith(".zip") else _inspect_tar(sdist)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise _refusal(sdist, f"the archive is damaged: {error}") from error
    except (NotImplementedError, RuntimeError, ValueError) as error:
        # What tarfile and zipfile raise for unknown compressions, encryption, and bad names or numbers.
        raise _refusal(sdist, f"the archive cannot be read: {error}") from error
    return read_build_system(pyproject, sdist.filename)


class _Bounded(gzip.GzipFile):
    """A gzip file that is not read in larger pieces than any header needs: tarfile holds a header whole."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _HEADER_LIMIT:
            raise tarfile.ReadError(f"a header of {size:,} bytes" if size else "a header without an end")
        return super().read(size)


def _inspect_tar(sdist: Sdist) -> bytes | None:
    content: bytes | None = None
    checks = _Checks(sdist)
    with _Bounded(sdist.path) as opened, tarfile.open(fileobj=opened, mode="r:") as archive:
        for info in archive:
            if not (info.isfile() or info.isdir() or info.issym() or info.islnk()):
                raise _refusal(sdist, f"{info.name[:200]!r} is a device or of another special kind")
            link = info.linkname if info.issym() or info.islnk() else None
            if checks.is_pyproject(_Entry(info.name, info.size, info.isdir(), link, info.islnk())):
                stream = archive.extractfile(info) if link is None else None
                content = stream.read(_PYPROJECT_LIMIT) if stream else content
    checks.finish()
    return content


def _inspect_zip(sdist: Sdist) -> bytes | None:
    content: bytes | None = None
    checks = _Checks(sdist)
    with zipfile.ZipFile(sdist.path) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise _refusal(sdist, f"{info.filename[:200]!r} is neither a file nor a folder")
            if checks.is_pyproject(_Entry(info.filename, info.file_size, info.is_dir())):
                with archive.open(info) as stream:
                    content = stream.read(_PYPROJECT_LIMIT)
    checks.finish()
    return content


class _Checks:
    """What every entry of an sdist must obey."""

    def __init__(self, sdist: Sdist) -> None:
        self._sdist = sdist
        self._top: str | None = None
        self._size = self._files = 0

    def is_pyproject(self, entry: _Entry) -> bool:
        """Check an entry and tell whether it is the project's `pyproject.toml`."""
        self._size, self._files = self._size + entry.size, self._files + 1
        if self._size > UNPACKED_LIMIT or self._files > FILES_LIMIT:
            raise _refusal(
                self._sdist, f"it unpacks to more than {UNPACKED_LIMIT:,} bytes or {FILES_LIMIT:,} files"
            )
        parts = list(_parts(entry.path))
        if entry.path.startswith("/") or ".." in parts or "\0" in entry.path:
            raise _refusal(self._sdist, f"{entry.path[:200]!r} would lie outside of its folder")
        if not parts:
            return False
        self._top = self._top or parts[0]
        if parts[0] != self._top or (len(parts) == 1 and not entry.folder):
            raise _refusal(self._sdist, f"{entry.path[:200]!r} is not in its one folder {self._top[:100]!r}")
        if entry.link is not None:
            self._check_link(parts, entry)
        if len(parts) != 2 or parts[1] != "pyproject.toml" or entry.folder:
            return False
        if entry.size > _PYPROJECT_LIMIT or entry.link is not None:
            raise _refusal(self._sdist, f"its pyproject.toml is a link or has {entry.size:,} bytes")
        return True

    def _check_link(self, parts: list[str], entry: _Entry) -> None:
        """Refuse a link out of the top folder. A hard link counts from the archive, a symlink from itself."""
        target = str(entry.link)
        beside = "" if entry.hard else "/".join(parts[:-1])
        goal = posixpath.normpath(posixpath.join(beside, target))
        if target.startswith("/") or "\0" in target or not f"{goal}/".startswith(f"{self._top}/"):
            raise _refusal(self._sdist, f"the link {entry.path[:200]!r} leads out of its folder")

    def finish(self) -> None:
        """Refuse an archive of nothing."""
        if self._top is None:
            raise _refusal(self._sdist, "it is empty")


def _parts(path: str) -> Iterator[str]:
    return (part for part in path.split("/") if part not in {"", "."})


def _refusal(sdist: Sdist, reason: str) -> CompileFailed:
    return CompileFailed(
        f"{sdist.filename}, the sdist of {sdist.label}, is refused: {reason}",
        hint="take another version of the package, or one with a wheel for the target",
    )
