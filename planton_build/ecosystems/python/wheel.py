"""From wheels to members that point into them: verified once, remembered in a compact record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from planton_build.archive.member import DEFLATED, EXECUTABLE, REGULAR, STORED, SYMLINK, Member
from planton_build.cache import Store, key_of
from planton_build.ecosystems.python.wheelhouse import WheelFile
from planton_build.errors import WheelInvalid
from planton_build.runtimes.target import Target

_FORMAT = 1
"""Raised whenever a wheel may be judged or laid out differently, or the record changes its form."""
_MODES = {"r": REGULAR, "x": EXECUTABLE, "l": SYMLINK}
_METHODS = {"s": STORED, "d": DEFLATED}
_DIGEST = 64
"""Letters of a SHA-256 in hex."""


def wheel_members(
    wheel: WheelFile, store: Store, *, scripts: Target | None = None, jobs: int = 1
) -> tuple[Member, ...]:
    """Return what a wheel installs, as members whose bytes stay where they are in the wheel, sorted by path.

    The first call for a wheel reads and checks all of it; later ones take the record. They trust that the
    file in the store is still the one with that SHA-256 (`wheelhouse.damaged` finds out).

    Args:
        wheel: the wheel, in the store.
        store: keeps the record.
        scripts: the target whose Python runs the commands in `bin/`, or None to leave them out.
        jobs: threads for the first reading.

    Raises:
        WheelInvalid: the wheel is malformed or hostile.
    """
    key = key_of("members", _FORMAT, wheel.sha256, wheel.filename)
    record = store.record("members", key)
    if record is None:
        record = _verified(wheel, jobs)
        store.put_record("members", key, record)
    members = _unpacked(record["files"], wheel)
    if scripts is None:
        return tuple(members)
    from planton_build.ecosystems.python.scripts import script_members

    own = list(members)
    taken = {member.path for member in own}
    found = script_members(own, list(_unpacked(record["scripts"], wheel)), scripts, store)
    if collision := next((member.path for member in found if member.path in taken), None):
        raise WheelInvalid(f"{wheel.filename} brings {collision} twice: as a file and as a script")
    return tuple(sorted([*own, *found], key=lambda member: member.path))


def _verified(wheel: WheelFile, jobs: int) -> dict[str, Any]:
    from planton_build.ecosystems.python.wheel_layout import InstalledFile, read_wheel

    def packed(files: Iterable[InstalledFile]) -> dict[str, Any]:
        modes = {mode: letter for letter, mode in _MODES.items()}
        methods = {method: letter for letter, method in _METHODS.items()}
        files = list(files)
        entries = [file.entry for file in files]
        return {
            "paths": [file.path for file in files],
            "modes": "".join(modes[file.mode] for file in files),
            "sha256": "".join(file.sha256 for file in files),
            "methods": "".join(methods[entry.method] for entry in entries),
            "crc32": [entry.crc32 for entry in entries],
            "size": [entry.size for entry in entries],
            "compressed_size": [entry.compressed_size for entry in entries],
            "offset": [entry.offset for entry in entries],
        }

    tree = read_wheel(wheel.path, filename=wheel.filename, jobs=jobs)
    return {"files": packed(tree.files), "scripts": packed(tree.scripts)}


def _unpacked(columns: dict[str, Any], wheel: WheelFile) -> Iterator[Member]:
    """Make members of a record's columns: 4,000 of them in a few milliseconds, unlike a list of objects."""
    origin, file, digests = wheel.name, Path(wheel.path), columns["sha256"]
    rows = zip(
        columns["paths"],
        columns["modes"],
        columns["methods"],
        columns["crc32"],
        columns["size"],
        columns["compressed_size"],
        range(0, len(digests), _DIGEST),
        columns["offset"],
        strict=True,
    )
    for path, mode, method, crc32, size, compressed_size, start, offset in rows:
        digest = digests[start : start + _DIGEST]
        yield Member(
            path, _MODES[mode], _METHODS[method], crc32, size, compressed_size, digest, origin, file, offset
        )
