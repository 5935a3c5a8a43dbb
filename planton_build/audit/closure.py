"""Is every package that a package requires in the artifact too, or in the runtime?

`Requires-Dist` of the packages' METADATA, with the markers of the target. What a package requires for one of
its extras counts when another package asks for that extra.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from planton_build.archive.member import SYMLINK, Member
from planton_build.audit.findings import AuditFinding
from planton_build.cache import Store, key_of
from planton_build.errors import ArchiveInvalid
from planton_build.runtimes.catalog import runtimes
from planton_build.runtimes.libraries import libraries_of
from planton_build.runtimes.target import Target

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_FORMAT = 1
"""Raised whenever the same metadata may be judged differently, or a record changes its form."""
_METADATA = re.compile(r"(?:python/(?:lib/python3\.\d+/site-packages/)?)?[^/]+\.dist-info/METADATA")
"""At the root, or where a layer has its packages; deeper ones belong to what a package brings for itself."""
_LARGEST = 4 << 20
"""Bytes of METADATA that are read: the longest descriptions have some hundred thousand."""


@dataclass(frozen=True, slots=True)
class PackageMetadata:
    """What METADATA says: `name` is normalised; `requires` are the `Requires-Dist` lines as they are."""

    name: str
    version: str
    requires: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Unmet:
    """A requirement that nothing satisfies: whose, its text, what it names, and the version that is there."""

    package: str
    requirement: str
    name: str
    found: str


def closure_findings(
    members: Sequence[Member],
    versions: Mapping[str, str],
    target: Target,
    *,
    store: Store,
    layer_packages: Collection[str] | None = (),
) -> list[AuditFinding]:
    """Return a finding for every requirement that neither the artifact nor the runtime satisfies.

    What was judged is recorded under all metadata and the target, so that a second run parses nothing.

    Args:
        members: the whole artifact.
        versions: versions by normalised name of packages that are in, for those without METADATA.
        target: whose markers count.
        store: keeps the records.
        layer_packages: normalised names of the packages in attached layers; None when there are layers that
            nobody has looked into.

    Raises:
        ArchiveInvalid: a METADATA is damaged or too large.
        CacheBroken: the store cannot be used.
    """
    files = [member for member in members if member.path.endswith("/METADATA")]
    files = [m for m in files if m.mode != SYMLINK and _METADATA.fullmatch(m.path)]
    row = runtimes().get(target.runtime)
    key = key_of(
        "closure",
        _FORMAT,
        asdict(target),
        row.python if row is not None else None,
        sorted(libraries_of(target).packages),
        sorted(member.sha256 for member in files),
        sorted(versions.items()),
    )
    record = store.record("metadata", key)
    if record is None:
        packages = [_metadata(member, store) for member in files]
        record = [asdict(unmet) for unmet in _unmet(packages, versions, target)]
        store.put_record("metadata", key, record)
    return [_finding(_Unmet(**value), target, layer_packages) for value in record]


def _metadata(member: Member, store: Store) -> PackageMetadata:
    key = key_of("package", _FORMAT, member.sha256)
    record: Any = store.record("metadata", key)
    if record is None:
        record = asdict(_parsed(member))
        store.put_record("metadata", key, record)
    return PackageMetadata(record["name"], record["version"], tuple(record["requires"]))


def _parsed(member: Member) -> PackageMetadata:
    from email.parser import BytesHeaderParser

    from planton_build.archive.contents import read_member

    headers = BytesHeaderParser().parsebytes(read_member(member, limit=_LARGEST))
    name = str(headers.get("Name", "")).strip()
    if not name:
        raise ArchiveInvalid(
            f"{member.path} names no package", hint="build or fetch the package anew", file=member.file
        )
    requires = tuple(" ".join(str(line).split()) for line in headers.get_all("Requires-Dist", []))
    return PackageMetadata(_normalised(name), str(headers.get("Version", "")).strip(), requires)


def _unmet(packages: Sequence[PackageMetadata], versions: Mapping[str, str], target: Target) -> list[_Unmet]:
    """Return what is missing or of a wrong version, sorted."""
    known = {package.name: package for package in packages}
    present = {**versions, **{package.name: package.version for package in packages}}
    provided = libraries_of(target).packages
    active: dict[str, set[str]] = {name: set() for name in known}
    parsed = {name: list(_requirements(package)) for name, package in known.items()}
    waiting = list(known)
    needs: dict[tuple[str, str], _Unmet | None] = {}
    while waiting:
        name = waiting.pop()
        for requirement in _applying(parsed[name], target, active[name]):
            wanted = _normalised(requirement.name)
            needs[name, str(requirement)] = _judged(name, requirement, wanted, present, provided)
            new = {_normalised(extra) for extra in requirement.extras} - active.get(wanted, set())
            if wanted in known and new:
                active[wanted] |= new
                waiting.append(wanted)
    return sorted((unmet for unmet in needs.values() if unmet), key=lambda one: (one.package, one.name))


def _requirements(package: PackageMetadata) -> Iterator[Requirement]:
    from packaging.requirements import InvalidRequirement, Requirement

    for line in package.requires:
        try:
            yield Requirement(line)
        except InvalidRequirement:
            continue  # old metadata in a form that no installer of today follows either


def _applying(
    requirements: Sequence[Requirement], target: Target, extras: Collection[str]
) -> Iterator[Requirement]:
    """Yield the requirements whose markers hold on the target, without extra or with one of `extras`."""
    from packaging.markers import UndefinedComparison

    from planton_build.runtimes.tags import marker_environment

    environment = marker_environment(target)
    for requirement in requirements:
        try:
            if requirement.marker is None or any(
                requirement.marker.evaluate({**environment, "extra": extra})
                for extra in ("", *sorted(extras))
            ):
                yield requirement
        except UndefinedComparison:
            continue  # compares what has no order: pip leaves such a line out as well


def _judged(
    package: str,
    requirement: Requirement,
    wanted: str,
    present: Mapping[str, str],
    provided: Collection[str],
) -> _Unmet | None:
    from packaging.version import InvalidVersion

    text = str(requirement).partition(";")[0].strip()
    if wanted not in present:
        return None if wanted in provided else _Unmet(package, text, wanted, "")
    try:
        fits = not present[wanted] or requirement.specifier.contains(present[wanted], prereleases=True)
    except InvalidVersion:
        fits = True  # nothing can be said about a version that is none
    return None if fits else _Unmet(package, text, wanted, present[wanted])


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _finding(unmet: _Unmet, target: Target, layer_packages: Collection[str] | None) -> AuditFinding:
    text = f"{unmet.package} requires {unmet.requirement}"
    if unmet.found:
        message = f"{text}, and the artifact has {unmet.name} {unmet.found}"
        hint = f"lock anew, so that {unmet.package} and {unmet.name} fit each other"
        return AuditFinding("requirement-version", unmet.name, unmet.package, message, hint)
    if layer_packages is None or unmet.name in layer_packages:
        message = f"{text}, which has to come from one of the layers"
        return AuditFinding("requirement", unmet.name, unmet.package, message, "", "note")
    message = f"{text}, and neither the artifact nor {target.runtime} has it"
    hint = f"add {unmet.name} to the function's requirements and lock anew"
    return AuditFinding("requirement", unmet.name, unmet.package, message, hint)
