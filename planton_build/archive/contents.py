"""What is inside the entries of a listed archive: every content inflated, checked and hashed, never kept."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import deflate

from planton_build.archive.central import DAMAGED, MISLEADING, refusal
from planton_build.archive.member import STORED, Member
from planton_build.archive.names import link_fault
from planton_build.archive.reader import ZipEntry, ZipListing

_CHUNK = 256 << 10
"""Bytes read, and at most made, at a time. Fits a core's cache; larger ones measured slower."""
_BATCH = 4 << 20
"""Bytes of content that one thread inspects in one go: small entries are not worth a task each."""
_SMALL = 16 << 20
"""Bytes that `read_entry` holds in memory unless its caller allows more: metadata is far smaller."""


def inspect_entries(
    path: Path, listing: ZipListing, *, jobs: int = 1, absolute_roots: Sequence[str] = ()
) -> Iterator[tuple[ZipEntry, str]]:
    """Yield every entry of `listing` with the SHA-256 (hex) of its content, in the listing's order.

    Each content is inflated to its end in pieces, so memory stays bounded whatever the archive claims. `jobs`
    is the number of threads; zlib and hashlib release the interpreter's lock. The targets of symlinks must
    stay inside the archive or below `absolute_roots` (see `names.link_fault`).

    Raises `ArchiveInvalid` when a content has another CRC-32 or size than claimed, when its compressed bytes
    are damaged or more than needed, and for a symlink that leads outside.
    """
    if jobs <= 1:
        for batch in _batches(listing.entries):
            yield from _inspect(path, batch, absolute_roots)
        return
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="inspect")
    try:
        tasks = [pool.submit(_inspect, path, batch, absolute_roots) for batch in _batches(listing.entries)]
        for task in tasks:
            yield from task.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def read_entry(path: Path, entry: ZipEntry, *, limit: int = _SMALL) -> bytes:
    """Return the checked content of one entry of at most `limit` bytes.

    Raises `ArchiveInvalid` as `inspect_entries` does, and when the entry is larger than `limit`.
    """
    if entry.size > limit:
        raise refusal(path, f"has {entry.size:,} bytes; {limit:,} are read", MISLEADING, entry.path)
    try:
        with path.open("rb", buffering=0) as stream:
            return b"".join(_checked(path, stream, entry))
    except OSError as error:
        raise refusal(path, f"cannot be read: {error.strerror}", DAMAGED) from error


def read_member(member: Member, *, limit: int = _SMALL) -> bytes:
    """Return the checked content of a member of at most `limit` bytes. Raises as `read_entry` does."""
    entry = ZipEntry(
        member.path,
        member.mode,
        member.method,
        0,
        member.crc32,
        member.size,
        member.compressed_size,
        member.offset,
    )
    return read_entry(member.file, entry, limit=limit)


def _batches(entries: Iterable[ZipEntry]) -> Iterator[list[ZipEntry]]:
    batch: list[ZipEntry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += entry.size + 4096
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    yield batch


def _inspect(
    path: Path, batch: Sequence[ZipEntry], absolute_roots: Sequence[str]
) -> list[tuple[ZipEntry, str]]:
    """Return the entries of one batch with the SHA-256 of their contents."""
    inspected = []
    try:
        with path.open("rb", buffering=0) as stream:
            for entry in batch:
                if entry.is_symlink:
                    target = b"".join(_checked(path, stream, entry))
                    _check_link(path, entry, target, absolute_roots)
                    digest = hashlib.sha256(target)
                else:
                    digest = hashlib.sha256()
                    for piece in _checked(path, stream, entry):
                        digest.update(piece)
                inspected.append((entry, digest.hexdigest()))
    except OSError as error:
        raise refusal(path, f"cannot be read: {error.strerror}", DAMAGED) from error
    return inspected


def _check_link(path: Path, entry: ZipEntry, target: bytes, absolute_roots: Sequence[str]) -> None:
    try:
        fault = link_fault(entry.path, target.decode(), absolute_roots=absolute_roots)
    except UnicodeDecodeError:
        fault = "has a target that is not UTF-8"
    if fault is not None:
        raise refusal(path, f"is a symlink that {fault}", MISLEADING, entry.path)


def _checked(path: Path, stream: io.FileIO, entry: ZipEntry) -> Iterator[bytes]:
    """Yield the content in pieces; after the last, CRC-32 and size have been compared."""
    crc = size = 0
    pieces = _raw(path, stream, entry)
    for piece in pieces if entry.method == STORED else _inflated(path, entry, pieces):
        size += len(piece)
        crc = deflate.crc32(piece, crc)
        yield piece
    if size != entry.size:
        raise refusal(path, f"unpacks to {size:,} bytes and claims {entry.size:,}", DAMAGED, entry.path)
    if crc != entry.crc32:
        raise refusal(path, "has another CRC-32 than it claims", DAMAGED, entry.path)


def _raw(path: Path, stream: io.FileIO, entry: ZipEntry) -> Iterator[bytes]:
    """Yield the entry's bytes as they are in the archive."""
    stream.seek(entry.offset)
    left = entry.compressed_size
    while left:
        piece = stream.read(min(_CHUNK, left))
        if not piece:
            raise refusal(path, "ends before its data does", DAMAGED, entry.path)
        left -= len(piece)
        yield piece


def _inflated(path: Path, entry: ZipEntry, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what raw deflate `pieces` unpack to, at most `_CHUNK` bytes at a time."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    left = entry.size
    try:
        for piece in pieces:
            waiting, full = piece, False
            while (waiting or full) and not inflater.eof:
                most = min(_CHUNK, left + 1)
                content = inflater.decompress(waiting, most)
                if len(content) > left:
                    reason = f"unpacks to more than the {entry.size:,} bytes it claims"
                    raise refusal(path, reason, MISLEADING, entry.path)
                left -= len(content)
                yield content
                # A full piece may have more behind it even when zlib has taken all of its input.
                waiting, full = inflater.unconsumed_tail, len(content) == most
            if inflater.eof and (inflater.unused_data or next(pieces, None)):
                raise refusal(path, "has bytes after its compressed data", MISLEADING, entry.path)
    except zlib.error as error:
        raise refusal(path, "has damaged compressed data", DAMAGED, entry.path) from error
    if not inflater.eof:
        raise refusal(path, "has compressed data without an end", DAMAGED, entry.path)
