"""Joining the members of packages and sources into one tree, or saying why that cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from planton_build.archive.member import DEFLATED, EXECUTABLE, REGULAR, STORED, SYMLINK, Member
from planton_build.archive.names import conflicts, path_fault
from planton_build.errors import Finding, MemberCollision

_HINT = (
    "only one of them can be in the package: leave one out with package_exclude, "
    "depend on one of the packages only, or rename the file if it is yours"
)


def merge(groups: Iterable[Sequence[Member]]) -> list[Member]:
    """Return the members of all groups, one for each path, sorted by path (as UTF-8).

    Several packages may bring the same file: with the same content it goes in once, as the member of the
    origin whose name sorts first ("" for the sources before all), so the order of the groups decides nothing.
    If any of them is executable the one kept is: an execute bit too many does no harm, one too few breaks a
    program.

    Raises `MemberCollision`, with a finding for each path, when contents differ, or when a file of one is a
    folder of another.
    """
    by_path: dict[str, list[Member]] = {}
    for group in groups:
        for member in group:
            by_path.setdefault(member.path, []).append(member)
    findings = [_differing(members) for members in by_path.values() if _differ(members)]
    findings += [_nested(by_path[path], other, by_path[other]) for path, other in conflicts(by_path)]
    if findings:
        findings.sort(key=lambda finding: finding.message)
        count = "one file collides" if len(findings) == 1 else f"{len(findings):,} files collide"
        message = findings[0].message if len(findings) == 1 else f"{count}; first, {findings[0].message}"
        raise MemberCollision(message, hint=_HINT, findings=findings)
    return sorted(map(_joined, by_path.values()), key=lambda member: member.path.encode())


def in_order(members: Iterable[Member]) -> list[Member]:
    """Return members sorted by path (as UTF-8), as archives have them, after they were found to be one tree.

    Raises `MemberCollision` when two of them cannot be in one tree, and ValueError for a member that nothing
    in this package makes.
    """
    ordered = sorted(members, key=lambda member: member.path.encode())
    for member, following in pairwise(ordered):
        if member.path == following.path:
            raise MemberCollision(
                f"{member.path} is there twice, from {member.origin!r} and {following.origin!r}"
            )
    for path, other in conflicts(member.path for member in ordered):
        raise MemberCollision(f"{path} is a file, and a folder because of {other}")
    for member in ordered:
        fault = path_fault(member.path)
        if fault is not None:
            raise ValueError(f"the path {member.path!r} {fault}")
        if member.mode not in {REGULAR, EXECUTABLE, SYMLINK} or member.method not in {STORED, DEFLATED}:
            raise ValueError(f"{member.path}: mode {member.mode:#o}, method {member.method}")
        if member.method == STORED and member.size != member.compressed_size:
            raise ValueError(f"{member.path}: stored with two different sizes")
    return ordered


def _differ(members: Sequence[Member]) -> bool:
    first = members[0]
    return any(
        member.sha256 != first.sha256 or (member.mode == SYMLINK) != (first.mode == SYMLINK)
        for member in members
    )


def _joined(members: Sequence[Member]) -> Member:
    """Return the member that stands for all of them."""
    if len(members) == 1:
        return members[0]
    chosen = min(members, key=lambda member: (member.origin, member.compressed_size, member.offset))
    return replace(chosen, mode=EXECUTABLE) if any(m.mode == EXECUTABLE for m in members) else chosen


def _differing(members: Sequence[Member]) -> Finding:
    message = f"{members[0].path} comes with different content from {_origins(members)}"
    return Finding(MemberCollision.code, message, hint=_HINT)


def _nested(files: Sequence[Member], below: str, others: Sequence[Member]) -> Finding:
    message = (
        f"{files[0].path} is a file from {_origins(files)} and a folder of {below} from {_origins(others)}"
    )
    return Finding(MemberCollision.code, message, hint=_HINT)


def _origins(members: Sequence[Member]) -> str:
    """Return the origins in words: `numpy`, or `numpy and the function's own sources`."""
    names = sorted({member.origin for member in members})
    if len(members) > 1 and len(names) == 1:
        return f"{_origin(names[0])}, {len(members)} times"
    shown = [_origin(name) for name in names]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _origin(name: str) -> str:
    return name or "the function's own sources"
