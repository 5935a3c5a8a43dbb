"""Reading requirements that are pinned with hashes already: what pip-compile and `uv export` write."""

from __future__ import annotations

from pathlib import Path

from planton_build.ecosystems.python.lock import LocalProject, Lock, LockedPackage
from planton_build.ecosystems.python.requirement_syntax import Place, normalise
from planton_build.ecosystems.python.requirements import (
    LocalRequirement,
    NamedRequirement,
    Requirements,
    read_requirements,
)
from planton_build.errors import DependencyInputInvalid
from planton_build.runtimes.target import Target


def read_hashed_requirements(path: Path, target: Target) -> Lock:
    """Read a fully hashed requirements file for a target; markers are evaluated for it.

    Raises:
        DependencyInputInvalid: malformed, or something is not pinned with hashes; with file and line.
    """
    return lock_of(read_requirements(path), target)


def lock_of(read: Requirements, target: Target) -> Lock:
    """Return the lock that hashed requirements give for a target.

    Raises:
        DependencyInputInvalid: something is not pinned with hashes, or pinned twice; with file and line.
    """
    packages: dict[str, LockedPackage] = {}
    for requirement in read.named:
        package = _locked(requirement, target)
        if package is None:
            continue
        known = packages.get(package.name, package)
        if known.version != package.version:
            raise Place(requirement.file, requirement.line).error(
                f"{package.name} is pinned to {known.version} and to {package.version} for {target.name}",
                "lock again with the tool that wrote the file",
            )
        packages[package.name] = LockedPackage(package.name, package.version, known.hashes | package.hashes)
    local = {
        requirement.folder: LocalProject(requirement.folder, requirement.extras)
        for requirement in read.local
        if _applies(requirement, target)
    }
    return Lock(
        target,
        tuple(packages[name] for name in sorted(packages)),
        tuple(local[folder] for folder in sorted(local)),
        read.path,
    )


def _locked(written: NamedRequirement, target: Target) -> LockedPackage | None:
    """Return the pin, or None when its marker leaves the target out."""
    from planton_build.runtimes.tags import marker_environment

    requirement = written.requirement()
    if requirement.marker is not None and not requirement.marker.evaluate(dict(marker_environment(target))):
        return None
    if not written.is_pin or not written.hashes:
        raise Place(written.file, written.line).error(
            f"{requirement.name} is not pinned with == and a hash", "lock again with hashes"
        )
    version = next(iter(requirement.specifier)).version
    return LockedPackage(normalise(requirement.name), version, written.hashes)


def _applies(requirement: LocalRequirement, target: Target) -> bool:
    if requirement.marker is None:
        return True
    from packaging.markers import InvalidMarker, Marker

    from planton_build.runtimes.tags import marker_environment

    try:
        return Marker(requirement.marker).evaluate(dict(marker_environment(target)))
    except InvalidMarker as error:
        raise DependencyInputInvalid(
            f"{requirement.file.name}:{requirement.line}: {requirement.marker!r} is not a marker",
            file=requirement.file,
            line=requirement.line,
        ) from error
