"""Files on their way into a container and out of it: tar streams that are made and read strictly."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from planton_build.errors import CompileFailed

EPOCH = 315_532_800
"""1980-01-01T00:00:00Z, in seconds: the time of every file that goes in, and the first date ZIP can hold."""
OUTPUT_LIMIT = 4 << 30
"""Bytes that a container may hand back in sum."""
OUTPUT_FILES = 200_000
"""Files that a container may hand back."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Input:
    """One file, or a folder, for a container. `path` is absolute there.

    `content` is what is in the file, or a file or folder of the host to copy; symlinks in a folder stay
    symlinks. Inputs belong to root and are read-only, unless `owner` says otherwise.
    """

    path: str
    content: bytes | Path
    executable: bool = False
    mode: int | None = None
    owner: int = 0


def write_tar(inputs: Sequence[Input], stream: IO[bytes]) -> None:
    """Write inputs as a tar archive to be unpacked at `/`. Equal inputs give equal bytes."""
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        folders: set[str] = {"/", "/build", "/build/in", "/var", "/var/task", "/run", "/tmp"}  # noqa: S108 - inside
        for one in sorted(inputs, key=lambda one: one.path):
            for folder in reversed(PurePosixPath(one.path).parents):
                if str(folder) not in folders:
                    folders.add(str(folder))
                    archive.addfile(_entry(str(folder), tarfile.DIRTYPE, 0o755, 0))
            _add(archive, one)


def _add(archive: tarfile.TarFile, one: Input) -> None:
    mode = one.mode if one.mode is not None else 0o555 if one.executable else 0o444
    if isinstance(one.content, bytes):
        entry = _entry(one.path, tarfile.REGTYPE, mode, one.owner)
        entry.size = len(one.content)
        archive.addfile(entry, io.BytesIO(one.content))
    elif one.content.is_dir():
        _add_folder(archive, one)
    else:
        _add_file(archive, one.content, one.path, mode, one.owner)


def _add_folder(archive: tarfile.TarFile, one: Input) -> None:
    assert isinstance(one.content, Path)  # noqa: S101 - for the type checker
    archive.addfile(_entry(one.path, tarfile.DIRTYPE, 0o755, one.owner))
    for path in sorted(one.content.rglob("*")):
        name = f"{one.path}/{path.relative_to(one.content).as_posix()}"
        if path.is_symlink():
            entry = _entry(name, tarfile.SYMTYPE, 0o777, one.owner)
            entry.linkname = str(path.readlink())
            archive.addfile(entry)
        elif path.is_dir():
            archive.addfile(_entry(name, tarfile.DIRTYPE, 0o755, one.owner))
        else:
            executable = bool(path.stat().st_mode & 0o100)
            _add_file(archive, path, name, 0o555 if executable else 0o444, one.owner)


def _add_file(archive: tarfile.TarFile, path: Path, name: str, mode: int, owner: int) -> None:
    with path.open("rb") as stream:
        entry = _entry(name, tarfile.REGTYPE, mode, owner)
        entry.size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        archive.addfile(entry, stream)


def _entry(path: str, kind: bytes, mode: int, owner: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.type, entry.mode, entry.mtime = kind, mode, EPOCH
    entry.uid = entry.gid = owner
    return entry


def unpack(pieces: Iterable[bytes], into: Path, *, what: str) -> list[Path]:
    """Unpack what a container handed back below `into`, without its top folder; return the files.

    The archive is taken for hostile: only regular files and folders, no name that leads outside, and no more
    than `OUTPUT_LIMIT` bytes in `OUTPUT_FILES` files. Modes become 0644 or 0755, owners the caller.

    Raises:
        CompileFailed: the archive is not of that kind. `what` names the step, for the message.
    """
    total = 0
    found: list[Path] = []
    try:
        with tarfile.open(fileobj=_Pieces(iter(pieces)), mode="r|") as archive:
            for entry in archive:
                total += entry.size
                path = _place(entry, into, what)
                if len(found) >= OUTPUT_FILES or total > OUTPUT_LIMIT:
                    raise CompileFailed(f"{what} left more than {OUTPUT_LIMIT:,} bytes, or too many files")
                if path is None:
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(entry)
                assert content is not None  # noqa: S101 - `_place` lets regular files through only
                _write(content, path)
                path.chmod(0o755 if entry.mode & 0o100 else 0o644)
                found.append(path)
    except (tarfile.TarError, FileExistsError) as error:
        raise CompileFailed(f"{what} left files that cannot be copied out: {error}") from error
    return sorted(found)


def _write(content: IO[bytes], path: Path) -> None:
    try:
        with path.open("xb") as out:
            while piece := content.read(_CHUNK):
                out.write(piece)
    except OSError as error:
        # Unlike `open`, a `write` to a full disk does not say which file it was.
        error.filename = error.filename or str(path)
        raise


def first_file(pieces: Iterable[bytes], limit: int) -> bytes:
    """Return the first bytes, at most `limit`, of the first file in a tar stream; b"" without one."""
    with tarfile.open(fileobj=_Pieces(iter(pieces)), mode="r|") as archive:
        entry = archive.next()
        content = archive.extractfile(entry) if entry is not None and entry.isreg() else None
        return content.read(limit) if content is not None else b""


def _place(entry: tarfile.TarInfo, into: Path, what: str) -> Path | None:
    """Return where a file goes, or None for a folder."""
    if entry.isdir():
        return None
    parts = PurePosixPath(entry.name).parts[1:]
    if not entry.isreg() or not parts or ".." in parts or entry.name.startswith("/") or "\0" in entry.name:
        raise CompileFailed(
            f"{what} left {entry.name[:200]!r}, which is no plain file",
            hint="leave regular files and folders only: no links, devices or sockets",
        )
    return into.joinpath(*parts)


class _Pieces(io.RawIOBase):
    """A file object over an iterator of bytes, for tarfile."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes; fewer only at the end."""
        parts, have = [self._left], len(self._left)
        while size < 0 or have < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            parts.append(piece)
            have += len(piece)
        joined = b"".join(parts)
        self._left = b"" if size < 0 else joined[size:]
        return joined if size < 0 else joined[:size]
