"""A wheel that was just built, rewritten so that its SHA-256 depends on nothing but the files in it.

The archive of a build has the order, the times and the compressor of the machine that made it. An artifact
takes its compressed bytes as they are, so they must come from the one compressor that gives the same bytes
everywhere.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterator
from pathlib import Path

from planton_build.archive.compress import member_from_bytes, member_from_symlink
from planton_build.archive.contents import inspect_entries, read_entry
from planton_build.archive.member import EXECUTABLE, Member
from planton_build.archive.reader import ZipEntry, read_zip
from planton_build.archive.writer import write_zip
from planton_build.cache import Store
from planton_build.ecosystems.python.wheel_layout import LIMITS, read_wheel

_FILE_LIMIT = 512 << 20
"""Bytes of one file; Lambda takes no more than 250 MB unzipped."""


def keep_canonical(wheel: Path, filename: str, store: Store) -> str:
    """Check a wheel, put its canonical form into the store, and return the SHA-256 of that.

    Raises:
        WheelInvalid: the wheel is malformed or hostile.
        ArchiveInvalid: a file in it is larger than any function may be.
        CacheBroken: the store cannot be written.
    """
    read_wheel(wheel, filename=filename)
    listing = read_zip(wheel, limits=LIMITS)
    with store.staging() as staged:
        written = write_zip(list(_members(wheel, list(inspect_entries(wheel, listing)), store)), staged)
        read_wheel(staged, filename=filename)
        store.keep("wheels", written.sha256, staged)
    return written.sha256


def _members(wheel: Path, inspected: list[tuple[ZipEntry, str]], store: Store) -> Iterator[Member]:
    """Compress every file anew. RECORD gets a fixed order; signatures of the old one are gone with it."""
    (record,) = (entry.path for entry, _ in inspected if _is_book(entry.path, "RECORD"))
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    for entry, digest in sorted(inspected, key=lambda one: one[0].path):
        if entry.path == record or _is_book(entry.path, "RECORD.jws", "RECORD.p7s"):
            continue
        encoded = base64.urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip("=")
        writer.writerow((entry.path, f"sha256={encoded}", entry.size))
        content = read_entry(wheel, entry, limit=_FILE_LIMIT)
        if entry.is_symlink:
            yield member_from_symlink(content.decode(), archive_path=entry.path, origin="", store=store)
        else:
            executable = entry.member_mode == EXECUTABLE
            yield member_from_bytes(
                content, archive_path=entry.path, executable=executable, origin="", store=store
            )
    writer.writerow((record, "", ""))
    yield member_from_bytes(
        rows.getvalue().encode(), archive_path=record, executable=False, origin="", store=store
    )


def _is_book(path: str, *names: str) -> bool:
    folder, _, name = path.partition("/")
    return folder.endswith(".dist-info") and name in names
