"""Any ZIP as an `Artifact`, also one that another tool made: read strictly, inflated to its end, measured."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from planton_build.archive.contents import inspect_entries
from planton_build.archive.digest import tree_digest
from planton_build.archive.member import Member
from planton_build.archive.names import LAYER_ROOT
from planton_build.archive.reader import read_zip
from planton_build.artifact import Artifact, bytecode_of, largest_of, shares_of
from planton_build.errors import ArchiveInvalid
from planton_build.files import sha256_of

_DIST_INFO = re.compile(r"(?P<name>[^/]+)-(?P<version>[^/-]+)\.(?:dist|egg)-info")
_SUFFIXES = (".libs", ".data")


def members_of(path: Path, *, jobs: int = 2) -> tuple[list[Member], dict[str, str]]:
    """Return the files of a ZIP as members, and the versions of its packages by normalised name.

    A file's origin is the package whose folder at the root it lies in.

    Raises:
        ArchiveInvalid: the file is missing, or not a ZIP that Lambda would unpack as it says.
    """
    if not path.is_file():
        raise ArchiveInvalid(f"{path} is not a file", hint="name a ZIP, a manifest or a folder", file=path)
    listing = read_zip(path)
    versions = _versions([entry.path for entry in listing.entries])
    members = [
        Member(
            path=entry.path,
            mode=entry.member_mode,
            method=entry.method,
            crc32=entry.crc32,
            size=entry.size,
            compressed_size=entry.compressed_size,
            sha256=sha256,
            origin=_package_of(entry.path, versions),
            file=path,
            offset=entry.offset,
        )
        for entry, sha256 in inspect_entries(path, listing, jobs=jobs, absolute_roots=(LAYER_ROOT,))
    ]
    return members, versions


def measured(path: Path, members: Sequence[Member], versions: Mapping[str, str]) -> Artifact:
    """Return the ZIP at `path`, which holds `members`, as an artifact."""
    return Artifact(
        path=path,
        sha256=sha256_of(path),
        tree_digest=tree_digest(members),
        size=path.stat().st_size,
        unzipped_size=sum(member.size for member in members),
        files=len(members),
        packages=shares_of(members, versions),
        largest=largest_of(members),
        bytecode=bytecode_of(members),
    )


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _versions(paths: Sequence[str]) -> dict[str, str]:
    """Map normalised package names to versions, by the `.dist-info` folders at the root."""
    roots = {path.partition("/")[0] for path in paths if "/" in path}
    found = (match for root in roots if (match := _DIST_INFO.fullmatch(root)))
    return {_normalised(match["name"]): match["version"] for match in found}


def _package_of(path: str, versions: dict[str, str]) -> str:
    """Name the package a file belongs to: its folder at the root; files at the root itself are sources."""
    root, separator, _ = path.partition("/")
    if not separator:
        return ""
    if match := _DIST_INFO.fullmatch(root):
        return _normalised(match["name"])
    for suffix in _SUFFIXES:
        root = root.removesuffix(suffix)
    name = _normalised(root)
    return name if name in versions else root
