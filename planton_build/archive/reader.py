"""A strict reader of ZIP archives: what is in them and where, without unpacking anything.

Every byte of an accepted archive belongs to exactly one entry or record, and every local header agrees with
the central directory, so a reader that walks either of them sees the same files.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from planton_build.archive import layout
from planton_build.archive.central import (
    DAMAGED,
    MISLEADING,
    CentralEntry,
    End,
    Input,
    Limits,
    check_second_name,
    extra_fields,
    find_end,
    read_directory,
    refusal,
    widened,
)
from planton_build.archive.member import EXECUTABLE, REGULAR, SYMLINK
from planton_build.archive.names import conflicts

__all__ = ["Limits", "ZipEntry", "ZipListing", "read_zip"]

_DEFAULT_LIMITS = Limits()
_LINK_BYTES = 4_095
"""The longest target of a symlink on Linux (PATH_MAX without the final NUL)."""
_USUAL_EXTRA = 64
"""Bytes of extra fields read along with a local header; more are read in a second step."""


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """A file or symlink of an archive.

    `mode` is the Unix mode as the archive has it, 0 where it has none. `crc32` and `size` (bytes) speak of
    the content and are claims until `inspect_entries` has read it; `compressed_size` (bytes) and `method` of
    the bytes at `offset` in the archive.
    """

    path: str
    mode: int
    method: int
    flags: int
    crc32: int
    size: int
    compressed_size: int
    offset: int

    @property
    def is_symlink(self) -> bool:
        """Tell whether the content is the target of a symlink."""
        return stat.S_ISLNK(self.mode)

    @property
    def member_mode(self) -> int:
        """Return the mode of the member this entry becomes: any execute bit counts, as in pip."""
        if self.is_symlink:
            return SYMLINK
        return EXECUTABLE if self.mode & 0o111 else REGULAR


@dataclass(frozen=True, slots=True)
class ZipListing:
    """What an archive holds, in the order of its central directory. `directories` are without final slash."""

    entries: tuple[ZipEntry, ...]
    directories: tuple[str, ...]

    @property
    def size(self) -> int:
        """Return the bytes of all contents, as the archive claims them."""
        return sum(entry.size for entry in self.entries)


def read_zip(path: Path, *, limits: Limits = _DEFAULT_LIMITS) -> ZipListing:
    """List the ZIP archive at `path`; the contents stay unread (see `inspect_entries`).

    Raises `ArchiveInvalid` for an archive that is cut off, damaged, split, encrypted, larger than `limits`,
    compressed with something else than deflate, or that readers could take for different things: local
    headers or data descriptors that contradict the central directory, overlaps, gaps, duplicate names, a name
    that is both file and folder, names that leave the folder they are unpacked to.
    """
    try:
        with path.open("rb", buffering=0) as stream:
            source = Input(path, stream)
            end = find_end(source)
            central = list(read_directory(source, end, limits))
            _check_names(source, central)
            offsets = _data_offsets(source, central, end)
    except OSError as error:
        raise refusal(path, f"cannot be read: {error.strerror}", DAMAGED) from error
    entries = tuple(
        ZipEntry(e.path, e.mode, e.method, e.flags, e.crc32, e.size, e.compressed_size, offset)
        for e, offset in zip(central, offsets, strict=True)
        if not e.directory
    )
    return ZipListing(entries, tuple(entry.path for entry in central if entry.directory))


def _check_names(source: Input, central: Sequence[CentralEntry]) -> None:
    """Refuse duplicates, and names that would have to be file and folder at once."""
    seen: set[bytes] = set()
    for entry in central:
        if entry.raw_name in seen:
            raise source.refusal("is there twice", MISLEADING, entry.path)
        seen.add(entry.raw_name)
        if stat.S_ISLNK(entry.mode) and entry.size > _LINK_BYTES:
            raise source.refusal("is a symlink with too long a target", MISLEADING, entry.path)
    files = (entry.path for entry in central if not entry.directory)
    folders = (entry.path for entry in central if entry.directory)
    for path, other in conflicts(files, folders):
        raise source.refusal(f"is a file, and a folder because of {other[:200]!r}", MISLEADING, path)


def _data_offsets(source: Input, central: Sequence[CentralEntry], end: End) -> list[int]:
    """Return where each entry's data begins; the entries must fill the file up to the directory."""
    order = sorted(range(len(central)), key=lambda index: central[index].header_offset)
    starts = [central[index].header_offset for index in order]
    if (starts or [end.offset])[0] != 0:
        raise source.refusal("has bytes before its first entry", MISLEADING)
    offsets = [0] * len(central)
    for index, (start, following) in zip(order, pairwise([*starts, end.offset]), strict=True):
        entry = central[index]
        offsets[index] = offset = start + _check_local_header(source, entry)
        data_end = offset + entry.compressed_size
        if data_end > following:
            raise source.refusal("overlaps what follows it", MISLEADING, entry.path)
        if entry.flags & layout.DESCRIPTOR_FLAG:
            _check_descriptor(source, entry, source.read(data_end, min(following - data_end, 64)))
        elif data_end != following:
            raise source.refusal("is followed by bytes of no entry", MISLEADING, entry.path)
    return offsets


def _check_local_header(source: Input, entry: CentralEntry) -> int:
    """Return the local header's length in bytes, having compared it with the central directory."""
    fixed = layout.LOCAL_HEADER.size
    header = source.read(entry.header_offset, fixed + len(entry.raw_name) + _USUAL_EXTRA)
    if len(header) < fixed or not header.startswith(layout.LOCAL_SIGNATURE):
        raise source.refusal("has no local header", DAMAGED, entry.path)
    (_, _, flags, method, _, _, crc32, packed, size, name_size, extra_size) = layout.LOCAL_HEADER.unpack_from(
        header
    )
    length: int = fixed + name_size + extra_size
    if len(header) < length:
        header = source.read(entry.header_offset, length)
    if header[fixed : fixed + name_size] != entry.raw_name:
        raise source.refusal("has another name in its local header", MISLEADING, entry.path)
    if extra_size:
        extra = extra_fields(source, entry.raw_name, header[fixed + name_size : length])
        size, packed, _, _ = widened(source, entry.raw_name, extra, size, packed)
        check_second_name(source, entry.raw_name, extra)
    compared = 0x2041 | layout.DESCRIPTOR_FLAG | layout.UTF8_FLAG
    if method != entry.method or flags & compared != entry.flags & compared:
        raise source.refusal("has another method or flags in its local header", MISLEADING, entry.path)
    local, central = (crc32, packed, size), (entry.crc32, entry.compressed_size, entry.size)
    if local != central and not (entry.flags & layout.DESCRIPTOR_FLAG and _zero_or_equal(local, central)):
        raise source.refusal("has another CRC-32 or size in its local header", MISLEADING, entry.path)
    return length


def _zero_or_equal(local: tuple[int, int, int], central: tuple[int, int, int]) -> bool:
    """Tell whether each value is the central one, or 0 because it was not known yet (4.4.4, bit 3)."""
    return all(mine in {0, other} for mine, other in zip(local, central, strict=True))


def _check_descriptor(source: Input, entry: CentralEntry, found: bytes) -> None:
    """Refuse a data descriptor (4.3.9) that is absent, disagrees, or is not all that follows the data."""
    values = (entry.crc32, entry.compressed_size, entry.size)
    forms = [struct.pack("<I2Q", *values)]
    if max(values) <= layout.LIMIT_32:
        forms.append(struct.pack("<3I", *values))
    if not any(found in {form, layout.DESCRIPTOR_SIGNATURE + form} for form in forms):
        raise source.refusal("has a data descriptor that contradicts the directory", MISLEADING, entry.path)
