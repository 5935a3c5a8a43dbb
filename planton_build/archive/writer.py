"""The ZIP writer: copies the compressed bytes of members behind fresh headers that say nothing of this host.

The bytes of the archive are a function of the members' paths, modes and compressed bytes. Everything else a
ZIP could hold is fixed: entries sorted by path, the time 1980-01-01 00:00 (the format's first), made by Unix,
no extra fields, no data descriptors, no entries for folders, no comments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from planton_build.archive import layout
from planton_build.archive.digest import tree_digest
from planton_build.archive.member import DEFLATED, STORED, Member
from planton_build.archive.merge import in_order
from planton_build.archive.originals import Originals
from planton_build.archive.output import Output
from planton_build.errors import SizeLimitExceeded

_EPOCH = 1 << 5 | 1
"""1980-01-01 as an MS-DOS date (4.4.6); the time of midnight is 0."""
_VERSIONS = {STORED: 10, DEFLATED: 20}
"""4.4.3.2: the version of the format that a reader needs for each method."""
_MADE_BY = layout.UNIX << 8 | 20
_ZIP64_VERSION = 45
_ENTRIES_MAX = layout.LIMIT_16 - 1
"""More entries need a zip64 end record: 65,535 in the short field says that there is one (4.4.1.4)."""


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
    ordered = in_order(members)
    _check_sizes(ordered)
    with Output(destination, advanced) as output, Originals() as sources:
        _write(ordered, output, sources)
        sha256 = output.finish()
    unzipped = sum(member.size for member in ordered)
    return WrittenZip(sha256, output.position, unzipped, len(ordered), tree_digest(ordered))


def _write(ordered: Sequence[Member], output: Output, sources: Originals) -> None:
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


def _check_sizes(ordered: Sequence[Member]) -> None:
    """Refuse members that need more than a ZIP for Lambda can hold, before the first byte is written."""
    size = 0
    for member in ordered:
        name = len(member.path.encode())
        size += layout.LOCAL_HEADER.size + layout.CENTRAL_HEADER.size + 2 * name + member.compressed_size
        if max(member.size, member.compressed_size, size) >= layout.LIMIT_32:
            raise SizeLimitExceeded(
                f"with {member.path} the archive needs 64-bit sizes: no ZIP for Lambda can be that large",
                hint="Lambda takes less than 262,144,000 bytes unzipped: exclude files, or use an image",
            )
