"""The tree digest: one number for what an archive unpacks to, whatever it was compressed with.

It is the SHA-256 (hex) of one line for each file and symlink, the lines sorted bytewise:

    <mode> <sha256> <path>

`mode` is 100644, 100755 or 120777 (octal, six digits), `sha256` that of the content in hex (of a symlink, of
its target), `path` in UTF-8, and each line ends with a line feed. For an unpacked archive without symlinks:

    find . -type f | cut -c3- | while IFS= read -r path; do
        if test -x "$path"; then mode=100755; else mode=100644; fi
        echo "$mode $(sha256sum < "$path" | cut -c1-64) $path"
    done | LC_ALL=C sort | sha256sum
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from planton_build.archive.contents import inspect_entries
from planton_build.archive.member import Member
from planton_build.archive.names import LAYER_ROOT
from planton_build.archive.reader import ZipListing


def tree_digest(members: Iterable[Member]) -> str:
    """Return the tree digest of members, in any order."""
    return _digest((member.mode, member.sha256, member.path) for member in members)


def tree_digest_of_zip(path: Path, listing: ZipListing, *, jobs: int = 1) -> str:
    """Return the tree digest of an archive, recomputed from its contents. `jobs` is the number of threads.

    Raises `ArchiveInvalid` as `inspect_entries` does.
    """
    inspected = inspect_entries(path, listing, jobs=jobs, absolute_roots=(LAYER_ROOT,))
    return _digest((entry.member_mode, sha256, entry.path) for entry, sha256 in inspected)


def _digest(files: Iterable[tuple[int, str, str]]) -> str:
    lines = sorted(f"{mode:06o} {sha256} {path}\n".encode() for mode, sha256, path in files)
    return hashlib.sha256(b"".join(lines)).hexdigest()
