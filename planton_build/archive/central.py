"""The end record and the central directory of a ZIP, read strictly.

ZIP readers differ in what they do with sloppy archives: which of two end records they take, whether they
look at the local headers, what they make of bytes that belong to no entry. An archive that different
readers see differently hides files from a review. So this reader accepts only what all of them agree on.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from planton_build.archive import layout
from planton_build.archive.member import DEFLATED, STORED
from planton_build.archive.names import path_fault
from planton_build.errors import ArchiveInvalid

DAMAGED = "the file is cut off or damaged: fetch or build it again"
MISLEADING = "different tools would read this archive differently: do not use it, or pack its files again"
UNSUPPORTED = "pack it again with an ordinary ZIP tool: stored or deflated entries, no encryption, one part"

_KNOWN_FLAGS = 0x0006 | layout.DESCRIPTOR_FLAG | layout.UTF8_FLAG
"""Bits 1 and 2 tell how hard deflate tried (4.4.4); every other bit is encryption, patches or undefined."""
_COMMENT_MAX = layout.LIMIT_16
_DOS_DIRECTORY = 0x10
"""4.4.15: the low byte of the external attributes is MS-DOS's; this bit marks a directory."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may claim before it is refused. All sizes are in bytes.

    The defaults hold every wheel that could go into a Lambda image (10 GB) and keep a listing below some
    100 MB of memory. `ratio` is the most that deflate can do: 258 bytes out of two bits (RFC 1951, 3.2.5).
    """

    entries: int = 200_000
    file_size: int = layout.LIMIT_32 - 1
    total_size: int = 10 << 30
    directory_size: int = 64 << 20
    ratio: int = 1_032


class Input:
    """An open archive: reads exact ranges and makes the errors that name it."""

    def __init__(self, path: Path, stream: io.RawIOBase) -> None:
        self.path = path
        self.size = stream.seek(0, os.SEEK_END)
        self._stream = stream

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`; fewer only when the file ends before."""
        if offset > self.size:
            return b""  # also for offsets beyond what seek takes
        self._stream.seek(offset)
        pieces = []
        while size > 0 and (piece := self._stream.read(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def refusal(self, reason: str, hint: str, entry: str | bytes | None = None) -> ArchiveInvalid:
        """Return the error for this archive, or for one of its entries."""
        return refusal(self.path, reason, hint, entry)


def refusal(path: Path, reason: str, hint: str, entry: str | bytes | None = None) -> ArchiveInvalid:
    """Return the error that says why the archive at `path`, or one entry of it, is refused."""
    where = path.name
    if entry is not None:
        shown = repr(entry[:200])
        where += f": the entry {shown}"
    return ArchiveInvalid(f"{where} {reason}", hint=hint, file=path)


@dataclass(frozen=True, slots=True)
class End:
    """Where the central directory is. `offset` and `size` are in bytes."""

    entries: int
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class CentralEntry:
    """One entry as the central directory has it. `path` is without the final slash of a directory."""

    raw_name: bytes
    path: str
    directory: bool
    mode: int
    method: int
    flags: int
    crc32: int
    size: int
    compressed_size: int
    header_offset: int


def find_end(source: Input) -> End:
    """Return what the end records say. There must be one, at the very end, and it must be unambiguous.

    Raises `ArchiveInvalid`.
    """
    tail_offset = max(0, source.size - layout.END_RECORD.size - _COMMENT_MAX)
    tail = source.read(tail_offset, source.size - tail_offset)
    found = [match.start() for match in re.finditer(layout.END_SIGNATURE, tail)]
    exact = [start for start in found if _ends_file(tail, start)]
    if not exact:
        raise source.refusal("has no ZIP end record at its end", DAMAGED)
    if exact != found[-1:]:
        raise source.refusal("has more than one end record", MISLEADING)
    start = exact[0]
    (_, disk, directory_disk, here, entries, size, offset, _) = layout.END_RECORD.unpack_from(tail, start)
    position = tail_offset + start
    disks = (disk, directory_disk)
    locator = source.read(max(0, position - layout.ZIP64_LOCATOR.size), layout.ZIP64_LOCATOR.size)
    if position >= layout.ZIP64_LOCATOR.size and locator.startswith(layout.ZIP64_LOCATOR_SIGNATURE):
        short = (disk, directory_disk, here, entries, size, offset)
        disks, here, entries, size, offset, position = _zip64_end(source, locator, position, short)
    if disks != (0, 0) or here != entries:
        raise source.refusal("is one part of several", UNSUPPORTED)
    if offset + size != position:
        raise source.refusal("has bytes outside of its entries, or lacks some", MISLEADING)
    return End(entries, size, offset)


def _ends_file(tail: bytes, start: int) -> bool:
    """Tell whether the end record at `start`, with its comment, reaches exactly to the end of the file."""
    if len(tail) - start < layout.END_RECORD.size:
        return False
    comment_size: int = layout.END_RECORD.unpack_from(tail, start)[-1]
    return start + layout.END_RECORD.size + comment_size == len(tail)


def _zip64_end(
    source: Input, locator: bytes, locator_end: int, short: tuple[int, ...]
) -> tuple[tuple[int, int], int, int, int, int, int]:
    """Return disks, both counts, size and offset of the directory, and where the zip64 end record begins."""
    _, disk, position, disks = layout.ZIP64_LOCATOR.unpack(locator)
    record = source.read(position, layout.ZIP64_END_RECORD.size)
    whole = len(record) == layout.ZIP64_END_RECORD.size
    if not whole or not record.startswith(layout.ZIP64_END_SIGNATURE) or disk != 0 or disks > 1:
        raise source.refusal("has a zip64 locator that leads nowhere", DAMAGED)
    _, rest, _, _, *long = layout.ZIP64_END_RECORD.unpack(record)
    if position + 12 + rest != locator_end - layout.ZIP64_LOCATOR.size:
        raise source.refusal("has bytes between its end records", MISLEADING)
    limits = (layout.LIMIT_16,) * 4 + (layout.LIMIT_32,) * 2
    for narrow, wide, limit in zip(short, long, limits, strict=True):
        if narrow not in {wide, limit}:
            raise source.refusal("has end records that contradict each other", MISLEADING)
    this_disk, directory_disk, here, entries, size, offset = long
    return (this_disk, directory_disk), here, entries, size, offset, position


def read_directory(source: Input, end: End, limits: Limits) -> Iterator[CentralEntry]:
    """Yield the entries of the central directory in its order.

    Raises `ArchiveInvalid` for a directory that is damaged or above `limits`, and for an entry that is
    encrypted, of another method than stored or deflated, or of a name that cannot be unpacked safely.
    """
    if end.entries > limits.entries:
        raise source.refusal(f"has {end.entries:,} entries; {limits.entries:,} are allowed", MISLEADING)
    if end.size > limits.directory_size:
        raise source.refusal(f"has a directory of {end.size:,} bytes", MISLEADING)
    directory = source.read(end.offset, end.size)
    position = total = 0
    for _ in range(end.entries):
        entry, position = _parse(source, directory, position)
        total += entry.size
        _check_sizes(source, entry, limits)
        if total > limits.total_size:
            raise source.refusal(f"has more than {limits.total_size:,} bytes of content", MISLEADING)
        yield entry
    if position != end.size:
        raise source.refusal("has more in its directory than it counts", MISLEADING)


def _parse(source: Input, directory: bytes, position: int) -> tuple[CentralEntry, int]:
    """Return the entry at `position` of the directory and where the next one begins."""
    start = position + layout.CENTRAL_HEADER.size
    if start > len(directory) or not directory.startswith(layout.CENTRAL_SIGNATURE, position):
        raise source.refusal("has a damaged central directory", DAMAGED)
    header = layout.CENTRAL_HEADER.unpack_from(directory, position)
    _, made_by, _, flags, method, _, _, crc32, packed, size, named, extra_size, comment, disk, _, _, _ = (
        header
    )
    attributes, offset = header[-2:]
    extra_start, end = start + named, start + named + extra_size + comment
    if end > len(directory):
        raise source.refusal("has a damaged central directory", DAMAGED)
    raw = directory[start:extra_start]
    extra = extra_fields(source, raw, directory[extra_start : extra_start + extra_size])
    if extra:
        size, packed, offset, disk = widened(source, raw, extra, size, packed, offset, disk)
        check_second_name(source, raw, extra)
    if disk != 0:
        raise source.refusal("is in another part of a split archive", UNSUPPORTED, raw)
    check_form(source, raw, flags, method)
    path = decode_name(source, raw, flags)
    directory_entry = path.endswith("/")
    path = path.removesuffix("/")
    fault = path_fault(path)
    if fault is not None:
        raise source.refusal(fault, MISLEADING, raw)
    mode = attributes >> 16
    entry = CentralEntry(raw, path, directory_entry, mode, method, flags, crc32, size, packed, offset)
    check_kind(source, entry, made_by >> 8, dos_directory=bool(attributes & _DOS_DIRECTORY))
    return entry, end


def extra_fields(source: Input, raw: bytes, extra: bytes) -> dict[int, bytes]:
    """Return the extra fields by id. Fewer than four bytes at the end are padding, as everybody reads it."""
    fields: dict[int, bytes] = {}
    position = 0
    while len(extra) - position >= 4:
        key, size = struct.unpack_from("<2H", extra, position)
        position += 4
        if position + size > len(extra):
            raise source.refusal("has a damaged extra field", DAMAGED, raw)
        if key in fields and key in {layout.ZIP64_FIELD, layout.UNICODE_PATH_FIELD}:
            raise source.refusal("has the same extra field twice", MISLEADING, raw)
        fields[key] = extra[position : position + size]
        position += size
    return fields


def widened(
    source: Input, raw: bytes, extra: dict[int, bytes], size: int, packed: int, offset: int = 0, disk: int = 0
) -> tuple[int, int, int, int]:
    """Return size, compressed size, offset and disk with the zip64 values where the short fields are full.

    4.5.3: the field holds, in this order, the values whose short fields are all ones.
    """
    field = extra.get(layout.ZIP64_FIELD)
    if field is None:
        return size, packed, offset, disk
    values, position = [size, packed, offset], 0
    for index, value in enumerate(values):
        if value == layout.LIMIT_32:
            if position + 8 > len(field):
                raise source.refusal("has a zip64 field that is too short", DAMAGED, raw)
            (values[index],) = struct.unpack_from("<Q", field, position)
            position += 8
    if disk == layout.LIMIT_16 and position + 4 <= len(field):
        (disk,) = struct.unpack_from("<I", field, position)
    return values[0], values[1], values[2], disk


def check_form(source: Input, raw: bytes, flags: int, method: int) -> None:
    """Refuse encryption, unknown flags and methods other than stored and deflated."""
    if flags & 0x2041:
        raise source.refusal("is encrypted", UNSUPPORTED, raw)
    if flags & ~_KNOWN_FLAGS:
        raise source.refusal(f"has the unknown flags {flags & ~_KNOWN_FLAGS:#06x}", UNSUPPORTED, raw)
    if method not in {STORED, DEFLATED}:
        raise source.refusal(f"is compressed with method {method}", UNSUPPORTED, raw)


def decode_name(source: Input, raw: bytes, flags: int) -> str:
    """Return the name: UTF-8 where the entry says so, else ASCII (of code page 437, only that is certain)."""
    try:
        return raw.decode("utf-8" if flags & layout.UTF8_FLAG else "ascii")
    except UnicodeDecodeError as error:
        reason = (
            "has a name that is not UTF-8" if flags & layout.UTF8_FLAG else "has a name of unknown encoding"
        )
        raise source.refusal(reason, UNSUPPORTED, raw) from error


def check_kind(source: Input, entry: CentralEntry, system: int, *, dos_directory: bool) -> None:
    """Refuse what is neither file, folder nor symlink, or what only some systems would take for one."""
    kind = entry.mode & 0o170000
    if entry.directory:
        if kind not in {0, 0o040000, 0o100000}:
            raise source.refusal("is a folder by name and something else by mode", MISLEADING, entry.path)
        if entry.size:
            raise source.refusal("is a folder with content", MISLEADING, entry.path)
    elif kind == 0o040000 or (dos_directory and kind == 0):
        raise source.refusal("is a file by name and a folder by mode", MISLEADING, entry.path)
    elif kind == 0o120000:
        if system != layout.UNIX:
            raise source.refusal("is a symlink that only some tools would see", MISLEADING, entry.path)
    elif kind not in {0, 0o100000}:
        raise source.refusal("is a device, pipe or socket", UNSUPPORTED, entry.path)


def check_second_name(source: Input, raw: bytes, extra: dict[int, bytes]) -> None:
    """Refuse a Unicode path field that names another file than the header does."""
    field = extra.get(layout.UNICODE_PATH_FIELD)
    if field is None or len(field) < 5 or field[0] != 1:
        return
    if struct.unpack_from("<I", field, 1)[0] == zlib.crc32(raw) and field[5:] != raw:
        raise source.refusal("has a second, different name", MISLEADING, raw)


def _check_sizes(source: Input, entry: CentralEntry, limits: Limits) -> None:
    if entry.size > limits.file_size:
        raise source.refusal(f"claims {entry.size:,} bytes", MISLEADING, entry.path)
    if entry.method == STORED and entry.size != entry.compressed_size:
        raise source.refusal("is stored with two different sizes", MISLEADING, entry.path)
    if entry.size > limits.ratio * entry.compressed_size:
        raise source.refusal("claims to unpack to more than deflate can hold", MISLEADING, entry.path)
