"""The bytes of members, where they are: in wheels and in the store."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import deflate

from planton_build.archive.member import STORED, Member
from planton_build.archive.output import Output
from planton_build.errors import CacheBroken

_OPEN_FILES = 64
"""Source files kept open: a build has tens of wheels, and one small blob for each source file."""
_PIECE = 256 << 10
"""Bytes read, and at most made, at a time. Fits a core's cache."""
_READ_AGAIN = "run the build again: what is missing will be fetched or made anew"


class Originals:
    """The files that members are copied from, the recently used ones kept open."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, io.FileIO] = OrderedDict()

    def __enter__(self) -> Self:
        """Open nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what is open."""
        for stream in self._open.values():
            stream.close()

    def copy(self, member: Member, output: Output) -> None:
        """Append the member's compressed bytes to the output, as they are."""
        try:
            stream = self._stream(member.file)
            stream.seek(member.offset)
            left = member.compressed_size
            while left:
                count = stream.readinto(output.room(left))
                if not count:
                    raise _short(member)
                output.took(count)
                left -= count
        except OSError as error:
            raise _unreadable(member, error) from error

    def packed(self, member: Member) -> Iterator[bytes]:
        """Yield the member's bytes as they are, compressed or not, in pieces."""
        try:
            stream = self._stream(member.file)
            position, end = member.offset, member.offset + member.compressed_size
            while position < end:
                stream.seek(position)  # another member's bytes may have been read in between
                piece = stream.read(min(_PIECE, end - position))
                if not piece:
                    raise _short(member)
                position += len(piece)
                yield piece
        except OSError as error:
            raise _unreadable(member, error) from error

    def content(self, member: Member, taken: Callable[[bytes], None] | None = None) -> Iterator[bytes]:
        """Yield the member's content in pieces; after the last, size and CRC-32 have been compared.

        `taken` is given the compressed bytes that are read for it, before what they unpack to is yielded.
        """
        crc = size = 0
        packed = self.packed(member)
        if taken is not None:
            packed = _seen(packed, taken)
        for piece in packed if member.method == STORED else _inflated(member, packed):
            size += len(piece)
            crc = deflate.crc32(piece, crc)
            yield piece
        if size != member.size or crc != member.crc32:
            raise _broken(member, "has another content than when it was verified")

    def _stream(self, path: Path) -> io.FileIO:
        stream = self._open.pop(path, None)
        if stream is None:
            if len(self._open) == _OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            stream = path.open("rb", buffering=0)
        self._open[path] = stream
        return stream


def _seen(pieces: Iterator[bytes], taken: Callable[[bytes], None]) -> Iterator[bytes]:
    for piece in pieces:
        taken(piece)
        yield piece


def _inflated(member: Member, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what raw deflate `pieces` unpack to, in bounded pieces, and not more than the size claimed."""
    from zlib_ng import zlib_ng

    inflater = zlib_ng.decompressobj(-zlib_ng.MAX_WBITS)
    left = member.size
    try:
        for piece in pieces:
            waiting, full = piece, False
            while (waiting or full) and not inflater.eof:
                most = min(_PIECE, left + 1)
                content = inflater.decompress(waiting, most)
                left -= len(content)
                if left < 0:
                    raise _broken(member, "unpacks to more than it claims")
                yield content
                # A full piece may have more behind it even when zlib has taken all of its input.
                waiting, full = inflater.unconsumed_tail, len(content) == most
            if inflater.eof and (inflater.unused_data or next(pieces, None)):
                raise _broken(member, "has bytes after its compressed data")
    except zlib_ng.error as error:  # type: ignore[misc]  # its stubs call the class an instance
        raise _broken(member, "has damaged compressed data") from error
    if not inflater.eof:
        raise _broken(member, "has compressed data without an end")


def _broken(member: Member, reason: str) -> CacheBroken:
    return CacheBroken(
        f"{member.file} is damaged: {member.path} in it {reason}", hint=_READ_AGAIN, file=member.file
    )


def _short(member: Member) -> CacheBroken:
    return CacheBroken(
        f"{member.file} ends before the bytes of {member.path}", hint=_READ_AGAIN, file=member.file
    )


def _unreadable(member: Member, error: OSError) -> CacheBroken:
    return CacheBroken(
        f"{member.file}, which holds {member.path}, cannot be read: {error.strerror}",
        hint=_READ_AGAIN,
        file=member.file,
    )
