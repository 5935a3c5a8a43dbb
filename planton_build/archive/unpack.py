"""An artifact's files on disk, as Lambda has them in /var/task."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import BinaryIO

from planton_build.archive.central import Limits
from planton_build.archive.contents import read_entry
from planton_build.archive.member import STORED
from planton_build.archive.names import LAYER_ROOT, link_fault
from planton_build.archive.reader import ZipEntry, ZipListing
from planton_build.errors import ArchiveInvalid

MAX_UNZIPPED = 262_144_000
"""Most bytes of a function's unzipped code (Lambda quotas: 250 MB)."""
LIMITS = Limits(file_size=MAX_UNZIPPED, total_size=MAX_UNZIPPED)


def unpack(archive: Path, listing: ZipListing, folder: Path) -> None:
    """Write every entry of `archive` below the empty `folder`: contents, permissions, symlinks.

    The names are safe because `read_zip` made the listing. Links come last, so that nothing is written
    through one, and may lead to the layers as they may in Lambda. Raises `ArchiveInvalid` for damaged
    contents.
    """
    for name in listing.directories:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for entry in sorted(listing.entries, key=lambda entry: entry.is_symlink):
        path = folder / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        content = read_entry(archive, entry, limit=MAX_UNZIPPED)
        if entry.is_symlink:
            _link(archive, entry, path, content)
        else:
            path.write_bytes(content)
            path.chmod(entry.mode & 0o777 or 0o644)


def _link(archive: Path, entry: ZipEntry, path: Path, content: bytes) -> None:
    target = os.fsdecode(content)
    if fault := link_fault(entry.path, target, absolute_roots=(LAYER_ROOT,)):
        raise ArchiveInvalid(f"{archive.name}: the symlink {entry.path!r} {fault}", file=archive)
    path.symlink_to(target)


def beginning(stream: BinaryIO, entry: ZipEntry, length: int) -> bytes:
    """Return up to `length` bytes from the beginning of an entry of the archive `stream`, reading no more of
    it."""
    stream.seek(entry.offset)
    packed = stream.read(min(4096, entry.compressed_size))
    if entry.method == STORED:
        return packed[:length]
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, length)
    except zlib.error:
        return b""  # damaged: unpacking says so
