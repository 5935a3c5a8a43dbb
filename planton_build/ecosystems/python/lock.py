"""`Lock`: the exact packages for one target, in pip-tools' own format: pins and hashes, no URLs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from planton_build.runtimes.target import Target


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One pin. `name` is normalised (PEP 503); `hashes` are SHA-256 digests in hex, any of which will do."""

    name: str
    version: str
    hashes: frozenset[str]


@dataclass(frozen=True, slots=True)
class LocalProject:
    """A project in a folder that goes in as a wheel of its own: the function's project, or a path dependency."""

    folder: Path
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lock:
    """All packages for one target, sorted by name. `source` is the file it was read from, for messages."""

    target: Target
    packages: tuple[LockedPackage, ...]
    local: tuple[LocalProject, ...] = ()
    source: Path | None = None
