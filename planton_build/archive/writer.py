"""The ZIP writer: copies the compressed bytes of members behind fresh headers that say nothing of this host.

The bytes of the archive are a function of the members' paths, modes and compressed bytes. Everything else a
ZIP could hold is fixed: entries sorted by path, the time 1980-01-01 00:00 (the format's first), made by Unix,
no extra fields, no data descriptors, no entries for folders, no comments.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

from planton_build.archive import layout
from planton_build.archive.digest import tree_digest
from planton_build.archive.member import DEFLATED, EXECUTABLE, REGULAR, STORED, SYMLINK, Member
from planton_build.archive.names import conflicts, path_fault
from planton_build.errors import CacheBroken, MemberCollision, SizeLimitExceeded

_EPOCH = 1 << 5 | 1
"""1980-01-01 as an MS-DOS date (4.4.6); the time of midnight is 0."""
_VERSIONS = {STORED: 10, DEFLATED: 20}
"""4.4.3.2: the version of the format that a reader needs for each method."""
_MADE_BY = layout.UNIX << 8 | 20
_ZIP64_VERSION = 45
_ENTRIES_MAX = layout.LIMIT_16 - 1
"""More entries need a zip64 end record: 65,535 in the short field says that there is one (4.4.1.4)."""
_BUFFER = 1 << 20
"""Bytes collected before they are hashed and written. Larger ones fall out of the processor's cache."""
_OPEN_FILES = 64
"""Source files kept open: a build has tens of wheels, and one small blob for each source file."""
_READ_AGAIN = "run the build again: what is missing will be fetched or made anew"


@dataclass(frozen=True, slots=True)
class WrittenZip:
    """A finished archive: SHA-256 (hex) and size of the file, all sizes in bytes; see `tree_digest`."""

    sha256: str
    size: int
    unzipped_size: int
    files: int
    tree_digest: str


def write_zip(
    members: Iterable[Member], destination: Path, *, advanced: Callable[[int], None] | None = None
) -> WrittenZip:
    """Write `members`, in any order, as a ZIP to `destination`, which is overwritten in place.

    `advanced` is told how many more bytes were written, which add up to the archive's size. The caller gives
    a staging path and moves the file when it is whole.

    Raises `MemberCollision` when two members cannot be in one tree, `SizeLimitExceeded` when the archive or a
    member would need 64-bit sizes, `CacheBroken` when the bytes of a member are gone or `destination` cannot
    be written, and ValueError for a member that nothing in this package makes.
    """
    ordered = sorted(members, key=lambda member: member.path.encode())
    _check(ordered)
    with _Output(destination, advanced) as output, _Sources() as sources:
        _write(ordered, output, sources)
    unzipped = sum(member.size for member in ordered)
    return WrittenZip(
        output.sha256.hexdigest(), output.position, unzipped, len(ordered), tree_digest(ordered)
    )


def _write(ordered: Sequence[Member], output: _Output, sources: _Sources) -> None:
    """Write the entries, the central directory and the end records."""
    directory = bytearray()
    for member in ordered:
        name = member.path.encode()
        method, flags = member.method, 0 if member.path.isascii() else layout.UTF8_FLAG
        fields = (
            _VERSIONS[method],
            flags,
            method,
            0,
            _EPOCH,
            member.crc32,
            member.compressed_size,
            member.size,
        )
        directory += layout.CENTRAL_HEADER.pack(
            layout.CENTRAL_SIGNATURE,
            _MADE_BY,
            *fields,
            len(name),
            0,
            0,
            0,
            0,
            member.mode << 16,
            output.position,
        )
        directory += name
        output.write(layout.LOCAL_HEADER.pack(layout.LOCAL_SIGNATURE, *fields, len(name), 0) + name)
        sources.copy(member, output)
    offset = output.position
    output.write(directory)
    output.write(_end_records(len(ordered), len(directory), offset))
    output.flush()


def _end_records(entries: int, size: int, offset: int) -> bytes:
    """Return the end record for a directory of `size` bytes at `offset`, with zip64 ones where needed."""
    zip64 = b""
    if entries > _ENTRIES_MAX:
        version = (layout.UNIX << 8 | _ZIP64_VERSION, _ZIP64_VERSION)
        rest = layout.ZIP64_END_RECORD.size - 12
        zip64 = layout.ZIP64_END_RECORD.pack(
            layout.ZIP64_END_SIGNATURE, rest, *version, 0, 0, entries, entries, size, offset
        ) + layout.ZIP64_LOCATOR.pack(layout.ZIP64_LOCATOR_SIGNATURE, 0, offset + size, 1)
        entries = layout.LIMIT_16
    return zip64 + layout.END_RECORD.pack(layout.END_SIGNATURE, 0, 0, entries, entries, size, offset, 0)


class _Output:
    """The archive being written: collected in a buffer, hashed in a second thread, counted.

    Hashing takes a third of the time of all of it, and hashlib releases the interpreter's lock: while one
    buffer is hashed, it is also written, and the other one fills.
    """

    def __init__(self, destination: Path, advanced: Callable[[int], None] | None) -> None:
        self.sha256 = hashlib.sha256()
        self.position = 0
        self._destination = destination
        self._advanced = advanced
        self._view, self._other = memoryview(bytearray(_BUFFER)), memoryview(bytearray(_BUFFER))
        self._filled = 0
        self._hashed: Future[None] | None = None

    def __enter__(self) -> Self:
        with self._writing():
            self._stream = self._destination.open("wb", buffering=0)
        self._hasher = ThreadPoolExecutor(1, thread_name_prefix="sha256")
        return self

    def __exit__(self, *_: object) -> None:
        self._hasher.shutdown()
        with self._writing():
            self._stream.close()

    def write(self, content: bytes | bytearray) -> None:
        """Append bytes."""
        view = memoryview(content)
        while view:
            room = self.room(len(view))
            room[:] = view[: len(room)]
            self.took(len(room))
            view = view[len(room) :]

    def room(self, size: int) -> memoryview:
        """Return a place for the next bytes: at least one of them, at most `size`."""
        if self._filled == _BUFFER:
            self.flush()
        return self._view[self._filled : self._filled + size]

    def took(self, size: int) -> None:
        """Count the first `size` bytes of the place that `room` gave as written."""
        self._filled += size
        self.position += size

    def flush(self) -> None:
        """Hash the buffer and hand it to the file."""
        ready = self._view[: self._filled]
        hashed, self._hashed = self._hashed, self._hasher.submit(self.sha256.update, ready)
        if hashed is not None:
            hashed.result()  # the other buffer is free again
        self._view, self._other = self._other, self._view
        with self._writing():
            while ready:
                ready = ready[self._stream.write(ready) :]
        if self._advanced is not None:
            self._advanced(self._filled)
        self._filled = 0

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CacheBroken(
                f"{self._destination} cannot be written: {error.strerror}",
                hint="free some space or name another folder with PLANTON_CACHE_DIR",
                file=self._destination,
            ) from error


class _Sources:
    """The files that members are copied from, the recently used ones kept open."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, io.FileIO] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._open.values():
            stream.close()

    def copy(self, member: Member, output: _Output) -> None:
        """Append the member's compressed bytes to the output, as they are."""
        try:
            stream = self._stream(member.file)
            stream.seek(member.offset)
            left = member.compressed_size
            while left:
                count = stream.readinto(output.room(left))
                if not count:
                    raise CacheBroken(
                        f"{member.file} ends before the bytes of {member.path}",
                        hint=_READ_AGAIN,
                        file=member.file,
                    )
                output.took(count)
                left -= count
        except OSError as error:
            raise CacheBroken(
                f"{member.file}, which holds {member.path}, cannot be read: {error.strerror}",
                hint=_READ_AGAIN,
                file=member.file,
            ) from error

    def _stream(self, path: Path) -> io.FileIO:
        stream = self._open.pop(path, None)
        if stream is None:
            if len(self._open) == _OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            stream = path.open("rb", buffering=0)
        self._open[path] = stream
        return stream


def _check(ordered: Sequence[Member]) -> None:
    """Refuse members that cannot be in one archive, before the first byte is written."""
    for member, following in pairwise(ordered):
        if member.path == following.path:
            raise MemberCollision(
                f"{member.path} is there twice, from {member.origin!r} and {following.origin!r}"
            )
    for path, other in conflicts(member.path for member in ordered):
        raise MemberCollision(f"{path} is a file, and a folder because of {other}")
    size = 0
    for member in ordered:
        fault = path_fault(member.path)
        if fault is not None:
            raise ValueError(f"the path {member.path!r} {fault}")
        if member.mode not in {REGULAR, EXECUTABLE, SYMLINK} or member.method not in _VERSIONS:
            raise ValueError(f"{member.path}: mode {member.mode:#o}, method {member.method}")
        if member.method == STORED and member.size != member.compressed_size:
            raise ValueError(f"{member.path}: stored with two different sizes")
        name = len(member.path.encode())
        size += layout.LOCAL_HEADER.size + layout.CENTRAL_HEADER.size + 2 * name + member.compressed_size
        if max(member.size, member.compressed_size, size) >= layout.LIMIT_32:
            raise SizeLimitExceeded(
                f"with {member.path} the archive needs 64-bit sizes: no ZIP for Lambda can be that large",
                hint="Lambda takes less than 262,144,000 bytes unzipped: exclude files, or use an image",
            )
