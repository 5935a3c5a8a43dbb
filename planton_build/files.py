"""The few file operations that must be right everywhere: atomic replacement, bounded reading, hashing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

UNFINISHED = ".planton-tmp"
"""Suffix of a file that is being written. A killed process leaves it, so sources never include one."""
CHUNK = 1 << 20
"""Bytes per read when streaming."""


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """Give a temporary file beside `path` that takes its place when the block ends well.

    A reader sees the old file or the new one, never a part. The temporary file is gone in any case.
    `mode` is the permission of the new file; the umask does not apply.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=UNFINISHED, dir=path.parent)
    os.close(descriptor)
    staged = Path(name)
    try:
        yield staged
        staged.chmod(mode)
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `content` in one step."""
    with replacing(path, mode=mode) as staged:
        staged.write_bytes(content)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content in hex, reading it in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
