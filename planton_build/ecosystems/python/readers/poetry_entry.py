"""The packages of a `poetry.lock` as values, whatever version of the format wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planton_build.ecosystems.python.pyproject import strings, table
from planton_build.ecosystems.python.requirement_syntax import normalise
from planton_build.errors import DependencyInputInvalid


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One `[[package]]`. `kind` is the type of its source, empty for the default index; `url` its place.

    `markers` is the condition by group; a group without one has no condition. `dependencies` holds for each
    name the alternatives, each a table. `extras` lists requirements by extra, as written.
    """

    name: str
    version: str
    python: str = "*"
    groups: frozenset[str] = frozenset()
    markers: Mapping[str, str] = field(default_factory=dict)
    dependencies: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kind: str = ""
    url: str = ""
    hashes: frozenset[str] = frozenset()


def entries(content: Mapping[str, Any], path: Path) -> list[Entry]:
    """Return the packages of a lock in the order of the file.

    Raises:
        DependencyInputInvalid: an entry lacks its name or version, or is not a table.
    """
    packages = content.get("package", [])
    if not isinstance(packages, list):
        raise DependencyInputInvalid(f"{path.name}: `package` is not an array of tables", file=path)
    files = table(content, "metadata", "files")
    return [_entry(package, files, path) for package in packages]


def alternatives(value: object) -> tuple[Mapping[str, Any], ...]:
    """Return a dependency's alternatives as tables: from a constraint, a table, or an array of both."""
    values = value if isinstance(value, list) else [value]
    return tuple(dict(item) if isinstance(item, Mapping) else {"version": str(item)} for item in values)


def _entry(package: object, files: Mapping[str, Any], path: Path) -> Entry:
    name = package.get("name") if isinstance(package, Mapping) else None
    version = package.get("version") if isinstance(package, Mapping) else None
    if not isinstance(package, Mapping) or not isinstance(name, str) or not isinstance(version, str):
        raise DependencyInputInvalid(
            f"{path.name}: a package has no name or version", hint="run: poetry lock", file=path
        )
    groups = frozenset(normalise(group) for group in strings(package.get("groups")))
    source = table(package, "source")
    own = package.get("files")
    listed = own if isinstance(own, list) else files.get(name, [])
    return Entry(
        normalise(name),
        version,
        str(package.get("python-versions", "*")),
        groups,
        _markers(package.get("markers"), groups),
        {normalise(key): alternatives(value) for key, value in table(package, "dependencies").items()},
        {normalise(key): strings(value) for key, value in table(package, "extras").items()},
        str(source.get("type", "")),
        str(source.get("url", "")),
        frozenset(_hashes(listed, version, filtered=own is None)),
    )


def _markers(value: object, groups: Iterable[str]) -> dict[str, str]:
    """Return the condition by group; one string holds for all groups."""
    if isinstance(value, str):
        return dict.fromkeys(groups, value)
    if isinstance(value, Mapping):
        return {normalise(group): marker for group, marker in value.items() if isinstance(marker, str)}
    return {}


def _hashes(files: object, version: str, *, filtered: bool) -> Iterator[str]:
    """Give the SHA-256 digests. Format 1.1 lists the files of all versions by name: `filtered` sorts them."""
    for file in files if isinstance(files, list) else []:
        written = file.get("hash") if isinstance(file, Mapping) else None
        if not isinstance(written, str) or not written.startswith("sha256:"):
            continue
        if not filtered or _version_of(str(file.get("file"))) in {None, version}:
            yield written.removeprefix("sha256:").lower()


def _version_of(filename: str) -> str | None:
    """Return the version in a file name, or None when it cannot be told."""
    from packaging.utils import (
        InvalidSdistFilename,
        InvalidWheelFilename,
        parse_sdist_filename,
        parse_wheel_filename,
    )

    try:
        if filename.endswith(".whl"):
            return str(parse_wheel_filename(filename)[1])
        return str(parse_sdist_filename(filename)[1])
    except (InvalidSdistFilename, InvalidWheelFilename):
        return None
