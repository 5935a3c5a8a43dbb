"""Reading `pylock.toml` (PEP 751) with `packaging.pylock`, which selects what belongs on the target."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.pylock import (
    Package,
    PackageDirectory,
    PackageSdist,
    PackageWheel,
    Pylock,
    PylockSelectError,
    PylockValidationError,
)
from packaging.utils import InvalidWheelFilename

from planton_build.ecosystems.python.lock import LocalProject, Lock, LockedPackage
from planton_build.ecosystems.python.pyproject import load_toml
from planton_build.errors import DependencyInputInvalid, NoFittingWheel
from planton_build.runtimes.tags import marker_environment, wheel_tags
from planton_build.runtimes.target import Target

_AGAIN = "lock again with the tool that wrote the file"


def read_pylock(
    path: Path, target: Target, *, extras: Sequence[str] = (), groups: Sequence[str] = ()
) -> Lock:
    """Read a `pylock.toml` for a target.

    Args:
        path: the file.
        target: what to select for.
        extras: extras to include.
        groups: dependency groups to include besides the file's default groups.

    Raises:
        DependencyInputInvalid: malformed, made for other environments, or with packages that are neither
            files with a SHA-256 on an index nor folders.
        NoFittingWheel: a package has neither a wheel for the target nor sources.
    """
    locked = _load(path)
    _check_offered(path, "extra", extras, locked.extras or ())
    _check_offered(path, "group", groups, locked.dependency_groups or ())
    chosen = locked.select(
        # A plain dict with every key that the TypedDict of `packaging` names.
        environment=marker_environment(target),  # type: ignore[arg-type]
        tags=wheel_tags(target),
        extras=extras,
        dependency_groups=[*(locked.default_groups or ()), *groups],
    )
    packages: list[LockedPackage] = []
    local: list[LocalProject] = []
    try:
        for package, source in chosen:
            if isinstance(source, PackageDirectory):
                local.append(_local(source, path))
            elif isinstance(source, (PackageWheel, PackageSdist)):
                packages.append(_locked(package, path))
            else:
                raise _remote(package, path)
    except PylockSelectError as error:
        kind = NoFittingWheel if "wheel" in str(error) else DependencyInputInvalid
        raise kind(f"{path.name} does not serve {target.name}: {error}", hint=_AGAIN, file=path) from error
    except (InvalidWheelFilename, UndefinedComparison, UndefinedEnvironmentName) as error:
        raise DependencyInputInvalid(f"{path.name}: {error}", hint=_AGAIN, file=path) from error
    return Lock(
        target,
        tuple(sorted(packages, key=lambda package: package.name)),
        tuple(sorted(local, key=lambda project: project.folder)),
        path,
    )


def _remote(package: Package, path: Path) -> DependencyInputInvalid:
    return DependencyInputInvalid(
        f"{path.name}: {package.name} comes from a URL or version control",
        hint="publish it to a package index, or put it into the repository and require it by path",
        file=path,
    )


def _load(path: Path) -> Pylock:
    try:
        return Pylock.from_dict(load_toml(path))
    except PylockValidationError as error:
        raise DependencyInputInvalid(
            f"{path.name} is not a valid pylock file: {error}", hint=_AGAIN, file=path
        ) from error


def _check_offered(path: Path, what: str, asked: Sequence[str], offered: Sequence[str]) -> None:
    if missing := sorted(set(asked) - set(offered)):
        raise DependencyInputInvalid(
            f"{path.name} has no {what} {', '.join(missing)}",
            hint=f"it has: {', '.join(offered)}" if offered else _AGAIN,
            file=path,
        )


def _locked(package: Package, path: Path) -> LockedPackage:
    """Return the pin with the hashes of all its wheels and its sdist."""
    hashes = frozenset(_hashes(package))
    if package.version is None or not hashes:
        raise DependencyInputInvalid(
            f"{path.name}: {package.name} is not pinned to a version with SHA-256 hashes",
            hint=_AGAIN,
            file=path,
        )
    return LockedPackage(package.name, str(package.version), hashes)


def _hashes(package: Package) -> Iterator[str]:
    files: list[PackageWheel | PackageSdist] = [*(package.wheels or ())]
    files += [package.sdist] if package.sdist else []
    for file in files:
        if (digest := file.hashes.get("sha256")) is not None:
            yield digest.lower()


def _local(source: PackageDirectory, path: Path) -> LocalProject:
    if Path(source.path).is_absolute():
        raise DependencyInputInvalid(
            f"{path.name}: {source.path!r} is an absolute path, which other machines do not have", file=path
        )
    folder = Path(os.path.normpath(path.parent / source.path / (source.subdirectory or "")))
    if not folder.is_dir():
        raise DependencyInputInvalid(f"{path.name}: the folder {source.path!r} does not exist", file=path)
    return LocalProject(folder)
