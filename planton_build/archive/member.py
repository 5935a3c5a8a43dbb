"""`Member`: one future file of an artifact. The one type every ecosystem makes and every writer takes."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

STORED = 0
"""ZIP compression method: bytes as they are (APPNOTE 6.3.10, section 4.4.5)."""
DEFLATED = 8
"""ZIP compression method: raw deflate (APPNOTE 6.3.10, section 4.4.5; RFC 1951)."""

REGULAR = stat.S_IFREG | 0o644
EXECUTABLE = stat.S_IFREG | 0o755
SYMLINK = stat.S_IFLNK | 0o777


@dataclass(frozen=True, slots=True)
class Member:
    """One future file, and where its already compressed bytes are.

    `path` is relative, with `/` between its parts. `mode` is one of `REGULAR`, `EXECUTABLE`, `SYMLINK`.
    `crc32`, `size` (bytes) and `sha256` (hex) speak of the content; `method` and `compressed_size` (bytes) of
    the bytes at `offset` in `file`. For a symlink the content is its target. `origin` is the normalised name
    of the package that brought it, or "" for the function's own sources.
    """

    path: str
    mode: int
    method: int
    crc32: int
    size: int
    compressed_size: int
    sha256: str
    origin: str
    file: Path
    offset: int
