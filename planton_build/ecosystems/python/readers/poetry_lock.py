"""Reading `poetry.lock` of the versions 1.1 (Poetry 1.1 to 1.3), 2.0 (to 1.8) and 2.1 (Poetry 2).

A lock of version 2.1 says of each package to which groups it belongs and under which marker, so selecting is
enough. Older ones need a walk from the pyproject.toml through each package's dependencies (`poetry_walk`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from planton_build.ecosystems.python import pyproject
from planton_build.ecosystems.python.inputs import DependencyInput
from planton_build.ecosystems.python.lock import LocalProject, Lock, LockedPackage
from planton_build.ecosystems.python.readers.markers import applies
from planton_build.ecosystems.python.readers.poetry_constraints import allows
from planton_build.ecosystems.python.readers.poetry_entry import Entry, entries
from planton_build.ecosystems.python.readers.poetry_walk import walk
from planton_build.ecosystems.python.requirement_syntax import normalise
from planton_build.errors import DependencyInputInvalid, LockOutdated, ResolutionFailed
from planton_build.runtimes.tags import marker_environment
from planton_build.runtimes.target import Target

_VERSIONS = ("1.1", "2.0", "2.1")
_SELECTING = "2.1"
"""The first lock version with `groups` and complete `markers` in each package."""

_HASHED_PROJECT = ("requires-python", "dependencies", "optional-dependencies")
_HASHED_LEGACY = ("dependencies", "source", "extras", "dev-dependencies")
"""What Poetry's content hash covers (`poetry/packages/locker.py`, `_get_content_hash`)."""


def read_poetry_lock(dependencies: DependencyInput, target: Target) -> Lock:
    """Read a `poetry.lock` for a target: the main group, and the extras and groups that are asked for.

    Raises:
        DependencyInputInvalid: malformed, or a package comes from a URL, version control or an archive.
        LockOutdated: it was made for another state of its pyproject.toml.
        ResolutionFailed: it does not serve the target's Python.
    """
    path = dependencies.path
    project = dependencies.project or path.with_name("pyproject.toml")
    document, content = pyproject.load_toml(project), pyproject.load_toml(path)
    metadata = pyproject.table(content, "metadata")
    version = str(metadata.get("lock-version"))
    if version not in _VERSIONS:
        raise DependencyInputInvalid(
            f"{path.name} has the lock version {version}; known are {', '.join(_VERSIONS)}",
            hint="lock with a Poetry between 1.1 and 2, or export: poetry export -o requirements.txt",
            file=path,
        )
    _check_fresh(metadata, document, path)
    _check_python(metadata, path, target)
    _check_names(dependencies, document, path)
    known = entries(content, path)
    try:
        if version >= _SELECTING:
            chosen = _selected(known, target, dependencies.extras, dependencies.groups)
        else:
            chosen = walk(document, known, target, dependencies.extras, dependencies.groups)
    except DependencyInputInvalid as error:
        raise DependencyInputInvalid(f"{path.name}: {error.message}", hint=error.hint, file=path) from error
    own = [LocalProject(project.parent, dependencies.extras)] if pyproject.is_package(document) else []
    return _lock(chosen, own, target, path)


def _selected(
    known: Iterable[Entry], target: Target, extras: Collection[str], groups: Collection[str]
) -> dict[Entry, tuple[str, ...]]:
    """Return the packages whose own groups and markers let them in, with no extras: the lock does not say."""

    def included(entry: Entry, group: str) -> bool:
        marker = entry.markers.get(group)
        return not marker or applies(marker, target, extras)

    wanted = {"main", *groups}
    chosen = (entry for entry in known if any(included(entry, group) for group in entry.groups & wanted))
    return dict.fromkeys(chosen, ())


def _lock(
    chosen: Mapping[Entry, tuple[str, ...]], own: list[LocalProject], target: Target, path: Path
) -> Lock:
    packages: dict[str, LockedPackage] = {}
    local = list(own)
    for entry, extras in chosen.items():
        if entry.kind == "directory":
            local.append(_local(entry, extras, path))
            continue
        if entry.kind not in {"", "legacy"}:
            raise DependencyInputInvalid(
                f"{path.name}: {entry.name} comes from a source of the type {entry.kind}",
                hint="publish it to a package index, or put it into the repository and require it by path",
                file=path,
            )
        if not entry.hashes:
            raise DependencyInputInvalid(
                f"{path.name}: {entry.name} has no SHA-256 hashes", hint="run: poetry lock", file=path
            )
        if entry.name in packages:
            raise DependencyInputInvalid(
                f"{path.name}: both {packages[entry.name].version} and {entry.version} of {entry.name} "
                f"apply to {target.name}",
                hint="run: poetry lock",
                file=path,
            )
        packages[entry.name] = LockedPackage(entry.name, entry.version, entry.hashes)
    return Lock(
        target,
        tuple(packages[name] for name in sorted(packages)),
        tuple(sorted(local, key=lambda project: project.folder)),
        path,
    )


def _local(entry: Entry, extras: tuple[str, ...], path: Path) -> LocalProject:
    folder = Path(os.path.normpath(path.parent / entry.url))
    if Path(entry.url).is_absolute() or not folder.is_dir():
        raise DependencyInputInvalid(
            f"{path.name}: the folder {entry.url!r} of {entry.name} is absolute or does not exist",
            hint="require it by a path relative to the pyproject.toml, then run: poetry lock",
            file=path,
        )
    return LocalProject(folder, extras)


def _check_fresh(metadata: Mapping[str, Any], document: Mapping[str, Any], path: Path) -> None:
    if metadata.get("content-hash") not in {
        _content_hash(document, with_groups=True),
        _content_hash(document, with_groups=False),
    }:
        raise LockOutdated(
            f"{path.name} was made for another state of its pyproject.toml",
            hint="run: poetry lock",
            file=path,
        )


def _content_hash(document: Mapping[str, Any], *, with_groups: bool) -> str:
    """Return Poetry's hash of what it locks in a pyproject.toml; Poetry 2.0 left `dependency-groups` out."""
    poetry, own = pyproject.table(document, "tool", "poetry"), pyproject.table(document, "project")
    project = {key: own[key] for key in _HASHED_PROJECT if own.get(key) is not None}
    groups = pyproject.table(document, "dependency-groups") if with_groups else {}
    legacy = {key: poetry.get(key) for key in _HASHED_LEGACY}
    if project or groups:
        legacy = {key: value for key, value in legacy.items() if value is not None}
    if poetry.get("group") is not None:
        legacy["group"] = poetry["group"]
    content: dict[str, Any] = {}
    if project:
        content["project"] = project
    if groups:
        content["dependency-groups"] = groups
    content = content | {"tool": {"poetry": legacy}} if content else legacy
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _check_python(metadata: Mapping[str, Any], path: Path, target: Target) -> None:
    supported = metadata.get("python-versions")
    version = marker_environment(target)["python_full_version"]
    if isinstance(supported, str) and not allows(supported, version):
        raise ResolutionFailed(
            f"{path.name} was made for Python {supported}, but {target.runtime} has {version}",
            hint="widen the Python versions in pyproject.toml and run poetry lock, or choose another runtime",
            file=path,
        )


def _check_names(dependencies: DependencyInput, document: Mapping[str, Any], path: Path) -> None:
    """Refuse extras and groups that the project does not have; Poetry would take them for empty."""
    poetry = pyproject.table(document, "tool", "poetry")
    extras = {
        *pyproject.table(poetry, "extras"),
        *pyproject.table(document, "project", "optional-dependencies"),
    }
    groups = {*pyproject.table(poetry, "group"), *pyproject.table(document, "dependency-groups")}
    groups |= {"dev"} if "dev-dependencies" in poetry else set()
    for what, asked, offered in (
        ("extra", dependencies.extras, extras),
        ("group", dependencies.groups, groups),
    ):
        if missing := set(asked) - {normalise(name) for name in offered}:
            raise DependencyInputInvalid(
                f"the project of {path.name} has no {what} {', '.join(sorted(missing))}",
                hint=f"it has: {', '.join(sorted(offered)) or 'none'}",
                file=path,
            )
