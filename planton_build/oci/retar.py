"""A layer's tar written anew, so that it says what the layer holds and not when or where it was made.

Entries are sorted, times fixed, names of users and device noise gone; owners, modes, extended attributes
(such as `security.capability`) and whiteouts are kept. The times that bytecode has of its sources follow
them.

The tar is read twice: its headers, then the contents in their new order. No content is held.
"""

from __future__ import annotations

import io
import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import IO, Protocol

from planton_build.archive import tar
from planton_build.errors import ImageInvalid
from planton_build.files import CHUNK

ENTRIES_MAX = 500_000
_KINDS = {
    **dict.fromkeys((tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE), tar.FILE),
    tarfile.LNKTYPE: tar.HARD_LINK,
    tarfile.SYMTYPE: tar.SYMLINK,
    tarfile.DIRTYPE: tar.FOLDER,
    **{kind: kind for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)},
}
_DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE)
_ATTRIBUTE = "SCHILY.xattr."
"""How pax headers of images name extended attributes (OCI image 1.1, `layer.md`)."""
_WHITEOUT = ".wh."
_PYC_HEAD = 16
"""Bytes before the code: magic number, flags, time and size of the source (PEP 552)."""
_PYC_MAX = 16 << 20
"""Larger bytecode, which nobody has seen, stays as it is."""
_PIP_TARGET = re.compile(rb"(/pip-target-)([a-z0-9_]{8})(/lib/python/)")
"""The folder with a random name in which `pip install --target` compiles (pip's `commands/install.py`)."""


class Writer(Protocol):
    """What takes the bytes of the new tar."""

    def write(self, content: bytes | memoryview) -> None:
        """Append bytes."""
        ...


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    offset: int
    link: str
    device: tuple[int, int]
    records: Mapping[str, bytes]


@dataclass(slots=True)
class Sources:
    """The Python sources of the layers that were written anew so far: their times are fixed now."""

    paths: set[str] = field(default_factory=set)

    def time_is_stale(self, path: str) -> bool:
        """Tell whether bytecode at `path` belongs to a source whose time was fixed, or to none at all.

        Bytecode of a source in the base image keeps its time: that layer is left as it is.
        """
        folder, name = posixpath.split(path)
        if posixpath.basename(folder) != "__pycache__":
            return True  # imported without a source, and Python then ignores the time
        return posixpath.join(posixpath.dirname(folder), name.partition(".")[0] + ".py") in self.paths


def retar(source: IO[bytes], writer: Writer, sources: Sources) -> int:
    """Write the tar that `source` holds to `writer` anew; return the number of its entries.

    Raises:
        ImageInvalid: it is malformed, or leads out of the image.
    """
    entries = _ordered(_read(source))
    sources.paths.update(
        entry.path for entry in entries if entry.path.endswith(".py") and entry.kind == tar.FILE
    )
    for entry in entries:
        writer.write(
            tar.header(
                entry.path,
                mode=entry.mode,
                kind=entry.kind,
                size=entry.size,
                link=entry.link,
                uid=entry.uid,
                gid=entry.gid,
                device=entry.device,
                records=entry.records,
            )
        )
        for piece in _content(source, entry, sources):
            writer.write(piece)
        writer.write(tar.padding(entry.size))
    writer.write(tar.END)
    return len(entries)


def _read(source: IO[bytes]) -> dict[str, _Entry]:
    """Return the entries by path; of several with one path the last counts, as when they are unpacked."""
    found: dict[str, _Entry] = {}
    try:
        with tarfile.open(fileobj=source, mode="r:", errorlevel=2) as archive:
            while (info := archive.next()) is not None:
                # typeshed has no `members`; kept, they would hold every header of a large layer.
                archive.members.clear()  # type: ignore[attr-defined]
                entry = _entry(info)
                found.pop(entry.path, None)
                found[entry.path] = entry
                if len(found) > ENTRIES_MAX:
                    raise ImageInvalid(f"a layer has more than {ENTRIES_MAX:,} entries")
    except (tarfile.TarError, EOFError, UnicodeError, ValueError, OverflowError) as error:
        raise ImageInvalid(
            f"a layer is no proper tar archive: {error}", hint="build the image again without its cache"
        ) from error
    return found


def _entry(info: tarfile.TarInfo) -> _Entry:
    path = _place(info.name)
    kind = _KINDS.get(info.type)
    if kind is None or info.issparse():
        raise ImageInvalid(f"a layer has the entry {path[:200]!r} of a kind that is not read here")
    records = {
        key: value.encode("utf-8", "surrogateescape")
        for key, value in info.pax_headers.items()
        if key.startswith(_ATTRIBUTE)
    }
    if info.size < 0 or info.uid < 0 or info.gid < 0 or "\0" in info.linkname:
        raise ImageInvalid(f"a layer has the entry {path[:200]!r} with numbers that mean nothing")
    link = _place(info.linkname) if kind == tar.HARD_LINK else info.linkname
    return _Entry(
        path,
        kind,
        0o777 if kind == tar.SYMLINK else info.mode,
        info.uid,
        info.gid,
        info.size if kind == tar.FILE else 0,
        info.offset_data,
        link if kind in {tar.HARD_LINK, tar.SYMLINK} else "",
        (info.devmajor, info.devminor) if kind in _DEVICES else (0, 0),
        records,
    )


def _place(name: str) -> str:
    """Return a path below the image's root, which itself is "."."""
    path = posixpath.normpath(name.lstrip("/") or ".")
    if path.split("/")[0] == ".." or "\0" in path:
        raise ImageInvalid(f"a layer has the path {name[:200]!r}, which leads out of the image")
    return path


def _ordered(found: dict[str, _Entry]) -> list[_Entry]:
    """Return the entries sorted: folders before what is in them, whiteouts before new files, and every file
    before hard links to it."""
    names: dict[str, list[str]] = {}
    for entry in found.values():
        if entry.kind == tar.HARD_LINK:
            names.setdefault(_file_of(entry, found), []).append(entry.path)
    result = dict(found)
    for target, links in names.items():
        file = found.get(target)
        if file is None or file.kind != tar.FILE:
            continue  # a link to what a lower layer has
        first, *others = sorted([target, *links], key=_rank)
        result[first] = replace(file, path=first)
        for other in others:
            result[other] = replace(file, path=other, kind=tar.HARD_LINK, size=0, link=first)
    return sorted(result.values(), key=lambda entry: _rank(entry.path))


def _file_of(entry: _Entry, found: dict[str, _Entry]) -> str:
    seen = {entry.path}
    while (target := found.get(entry.link)) is not None and target.kind == tar.HARD_LINK:
        if target.path in seen:
            raise ImageInvalid(f"a layer has hard links in a circle: {entry.path[:200]!r}")
        seen.add(target.path)
        entry = target
    return entry.link


def _rank(path: str) -> bytes:
    folder, slash, name = path.rpartition("/")
    if name.startswith(_WHITEOUT):
        name = "\0" + name
    return b"" if path == "." else f"{folder}{slash}{name}".encode("utf-8", "surrogateescape")


def _content(source: IO[bytes], entry: _Entry, sources: Sources) -> Iterator[bytes]:
    """Yield a file's bytes; those of bytecode without what differs from one build to the next."""
    source.seek(entry.offset)
    left = entry.size
    if entry.path.endswith(".pyc") and left <= _PYC_MAX:
        yield _bytecode(_exactly(source, left), sources.time_is_stale(entry.path))
        return
    while left:
        piece = _exactly(source, min(CHUNK, left))
        left -= len(piece)
        yield piece


def _bytecode(content: bytes, stale: bool) -> bytes:
    """Return bytecode with the time that its source has now, and without the folder that pip compiled it in.

    Python sets the names of the files anew when it imports them, and tells a time by flags of 0 (PEP 552).
    """
    content = _PIP_TARGET.sub(lambda found: found[1] + b"0" * len(found[2]) + found[3], content)
    if not stale or content[2:4] != b"\r\n" or content[4:8] != bytes(4) or len(content) < _PYC_HEAD:
        return content
    return content[:8] + tar.EPOCH.to_bytes(4, "little") + content[12:]


def _exactly(source: IO[bytes], size: int) -> bytes:
    piece = source.read(size)
    if len(piece) != size:
        raise ImageInvalid("a layer ends before its last file does")
    return piece


class Window(io.RawIOBase):
    """A part of a file as a file of its own: `size` bytes from `start` on."""

    def __init__(self, stream: IO[bytes], start: int, size: int) -> None:
        self._stream, self._start, self._size, self._position = stream, start, size, 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that one can go to any place in it."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, counted from the start of the part."""
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = max(0, bases[whence] + offset)
        return self._position

    def tell(self) -> int:
        """Return the place."""
        return self._position

    # typeshed asks for any buffer, which has no slices.
    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read into a buffer; return the number of bytes."""
        view = memoryview(buffer)
        self._stream.seek(self._start + self._position)
        # Files have it; IO[bytes] does not say so.
        count: int = self._stream.readinto(view[: max(0, self._size - self._position)])  # type: ignore[attr-defined]
        self._position += count
        return count
