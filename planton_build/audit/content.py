"""The audit of what is in an artifact, or in any ZIP: native code, and the packages that packages require."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from planton_build.archive.member import Member
from planton_build.audit.binaries import NativeFile, native_files
from planton_build.audit.closure import closure_findings
from planton_build.audit.findings import AuditFinding, AuditReport, check_exceptions, report_of
from planton_build.audit.native import machines_of, native_findings
from planton_build.cache import Store
from planton_build.runtimes.target import Target

_NOTHING: Mapping[str, str] = {}
_SHOWN = 3
"""Paths named for each machine."""


def audit(
    members: Sequence[Member],
    versions: Mapping[str, str],
    target: Target | None,
    *,
    store: Store,
    allow: Mapping[str, str] = _NOTHING,
    layer_libraries: Collection[str] | None = (),
    layer_packages: Collection[str] | None = (),
    own_system: bool = False,
    jobs: int = 2,
) -> AuditReport:
    """Audit an artifact by its members.

    Args:
        members: all files of the artifact.
        versions: versions of the packages by normalised name, "" where unknown.
        target: where the artifact has to load. None when that is not known: then all native code must be of
            one machine, and no more is judged.
        store: keeps what was found, for each package under its contents.
        allow: reasons by the file, library or package (or a shell pattern) that may stay.
        layer_libraries: base names of the libraries in attached layers; None when there are layers that
            nobody has looked into, so that they may have everything.
        layer_packages: the same for Python packages, by normalised name.
        own_system: the artifact is an image that brings a system of its own, against which `audit.image`
            holds its native code; here only packages are judged.
        jobs: threads that inflate.

    Raises:
        ConfigInvalid: an exception has no reason.
        ArchiveInvalid: a member cannot be read.
        CacheBroken: the store cannot be used.
    """
    check_exceptions(allow)
    natives = native_files(members, store, jobs=jobs)
    machines = machines_of(natives)
    if target is None:
        found = _mixed(machines)
    else:
        found = []
        if not own_system:
            found += native_findings(members, natives, target, layer_libraries=layer_libraries)
        if target.family == "python":
            found += closure_findings(members, versions, target, store=store, layer_packages=layer_packages)
    return report_of(found, allow, {machine: len(paths) for machine, paths in machines.items()})


def libraries_in(natives: Sequence[NativeFile]) -> frozenset[str]:
    """Return the names under which a layer's native files are found: what `layer_libraries` takes."""
    names = {native.member.path.rpartition("/")[2] for native in natives if native.elf is not None}
    return frozenset(names | {native.elf.soname for native in natives if native.elf and native.elf.soname})


def _mixed(machines: Mapping[str, Sequence[str]]) -> list[AuditFinding]:
    """Return the finding that native code is of several machines: no function could load all of it."""
    if len(machines) < 2:
        return []
    parts = [
        f"{len(paths)} for {machine} ({', '.join(paths[:_SHOWN])}{', …' if len(paths) > _SHOWN else ''})"
        for machine, paths in machines.items()
    ]
    files = tuple(path for paths in machines.values() for path in paths)
    message = f"the native files are for several machines: {', '.join(parts)}"
    hint = "build the whole artifact for one architecture"
    return [AuditFinding("architecture", files[0], "", message, hint, "failure", files)]
