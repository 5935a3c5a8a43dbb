"""A gzip file put together from what is compressed already: one gzip member for each file, none deflated
twice.

RFC 1952 allows any number of members one after the other, and a reader gives their contents as one. Raw
deflate as it stands in a wheel becomes a member with a head before and CRC-32 and size behind it. What is
between the files (tar headers, padding, small stored files) is deflated by libdeflate, pinned to one version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import deflate

from planton_build.archive.gzipped import HEAD, InOrder, Pieces, WrittenGzip, tail
from planton_build.archive.output import Output

_LEVEL = 6
_BETWEEN = 64 << 10
"""Bytes between the files that one member holds at most."""
_BLOCK = 0xFFFF
"""RFC 1951, 3.2.4: the most that a stored block holds."""
_HASHED = 512 << 10


class Spliced:
    """A gzip file of many members being written."""

    def __init__(self, destination: Path) -> None:
        self._output = Output(destination)
        self._between = bytearray()
        self._sha256 = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> Self:
        """Open the file. Raises `CacheBroken` when it cannot be written."""
        self._output.__enter__()
        self._hashed = InOrder(self._sha256.update)
        self._pieces = Pieces(_HASHED, self._hashed.add)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file. Without `finish` before, it is no whole gzip file."""
        self._hashed.close()
        self._output.__exit__()

    def write(self, content: bytes) -> None:
        """Append what is not compressed yet: headers, padding, and files that deflate would not make
        smaller."""
        self._content(content)
        if len(self._between) + len(content) > _BETWEEN:
            self._end_between()
        if len(content) > _BETWEEN:
            self._stored(content)
        else:
            self._between += content

    def splice(self, content: Callable[[Callable[[bytes], None]], Iterator[bytes]], crc32: int) -> None:
        """Append a file by its own compressed bytes.

        `content` yields what it unpacks to, checked against `crc32`, and gives the raw deflate that it reads
        to the function that it is called with.
        """
        self._end_between()
        self._output.write(HEAD)
        size = 0
        for piece in content(self._output.write):
            self._content(piece)
            size += len(piece)
        self._output.write(tail(crc32, size))

    def finish(self) -> WrittenGzip:
        """Write the end. Raises `CacheBroken` when the file cannot be written."""
        self._end_between()
        self._pieces.end()
        self._hashed.end()
        digest = self._output.finish()
        return WrittenGzip(
            f"sha256:{digest}",
            self._output.position,
            f"sha256:{self._sha256.hexdigest()}",
            self._size,
        )

    def _content(self, piece: bytes) -> None:
        self._pieces.write(piece)
        self._size += len(piece)

    def _end_between(self) -> None:
        """Write what has come together between the files as one member."""
        if self._between:
            content = bytes(self._between)
            self._between.clear()
            packed = bytes(deflate.deflate_compress(content, _LEVEL))
            self._output.write(HEAD + packed + tail(deflate.crc32(content), len(content)))

    def _stored(self, content: bytes) -> None:
        """Write a member of stored blocks."""
        self._output.write(HEAD)
        for start in range(0, len(content), _BLOCK):
            block = content[start : start + _BLOCK]
            last = start + _BLOCK >= len(content)
            size = len(block)
            head = bytes([last]) + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little")
            self._output.write(head + block)
        self._output.write(tail(deflate.crc32(content), len(content)))
