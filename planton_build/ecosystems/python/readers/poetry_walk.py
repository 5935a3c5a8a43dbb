"""The walk through a `poetry.lock` before version 2.1: from the project's dependencies to all that they need.

Such a lock does not say which package belongs to which group, or under which condition; where it holds
several versions of a package, the constraints of all that need it decide, and the newest that satisfies them
is taken.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from packaging.version import InvalidVersion, Version

from planton_build.ecosystems.python.pyproject import strings, table
from planton_build.ecosystems.python.readers.markers import applies
from planton_build.ecosystems.python.readers.poetry_constraints import allows
from planton_build.ecosystems.python.readers.poetry_entry import Entry, alternatives
from planton_build.ecosystems.python.requirement_syntax import normalise
from planton_build.errors import DependencyInputInvalid
from planton_build.runtimes.tags import marker_environment
from planton_build.runtimes.target import Target

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[([^\]]*)\])?")
_MAX_ROUNDS = 50


def walk(
    document: Mapping[str, Any],
    known: Iterable[Entry],
    target: Target,
    extras: Collection[str],
    groups: Collection[str],
) -> dict[Entry, tuple[str, ...]]:
    """Return the packages that a project needs on a target, each with the extras asked of it.

    Raises:
        DependencyInputInvalid: a needed package or version is not in the lock, or a condition is malformed.
    """
    by_name: dict[str, list[Entry]] = {}
    for entry in known:
        by_name.setdefault(entry.name, []).append(entry)
    python = marker_environment(target)["python_full_version"]
    lock = _Lock(by_name, target, python)
    roots = list(_roots(document, target, extras, groups, python))
    for _ in range(_MAX_ROUNDS):
        chosen = lock.reach(roots)
        if chosen is not None:
            return {entry: tuple(sorted(asked)) for entry, asked in chosen.items()}
    raise DependencyInputInvalid("the constraints of the lock contradict each other", hint="run: poetry lock")


@dataclass(frozen=True, slots=True)
class _Need:
    """One package that something needs."""

    name: str
    constraint: str
    extras: frozenset[str]


@dataclass(slots=True)
class _Lock:
    """The locked packages, and the constraints met so far; they only grow, so that the walk ends."""

    by_name: Mapping[str, list[Entry]]
    target: Target
    python: str
    constraints: dict[str, set[str]] = field(default_factory=dict)

    def reach(self, roots: Iterable[_Need]) -> dict[Entry, set[str]] | None:
        """Return all that the roots need, or None when a constraint met late makes a choice wrong."""
        chosen: dict[str, Entry] = {}
        asked: dict[Entry, set[str]] = {}
        pending = list(roots)
        while pending:
            need = pending.pop()
            self.constraints.setdefault(need.name, set()).add(need.constraint)
            entry = self._choose(need.name)
            if chosen.setdefault(need.name, entry) is not entry:
                return None
            known = asked.get(entry)
            if known is not None and known >= need.extras:
                continue
            asked[entry] = (known or set()) | need.extras
            pending += self._needs(entry, asked[entry])
        return asked

    def _choose(self, name: str) -> Entry:
        candidates = self.by_name.get(name, [])
        if len(candidates) == 1:
            return candidates[0]
        fitting = [
            entry
            for entry in candidates
            if allows(entry.python, self.python)
            and all(allows(constraint, entry.version) for constraint in self.constraints[name])
        ]
        if not fitting:
            wanted = ", ".join(sorted(self.constraints[name]))
            raise DependencyInputInvalid(
                f"the lock holds no {name} ({wanted}) for {self.target.name}", hint="run: poetry lock"
            )
        try:
            return max(fitting, key=lambda entry: Version(entry.version))
        except InvalidVersion as error:
            raise DependencyInputInvalid(f"a version of {name} in the lock is malformed") from error

    def _needs(self, entry: Entry, extras: set[str]) -> Iterator[_Need]:
        """Give what a package needs with some of its extras."""
        extras = _with_nested(entry, extras)
        optional = {name for extra in extras for name, _ in _requirements(entry.extras.get(extra, ()))}
        for name, found in entry.dependencies.items():
            for dependency in found:
                if dependency.get("optional") is True and name not in optional:
                    continue
                if _holds(dependency, self.target, extras, self.python):
                    yield _need(name, dependency)


def _roots(
    document: Mapping[str, Any],
    target: Target,
    extras: Collection[str],
    groups: Collection[str],
    python: str,
) -> Iterator[_Need]:
    """Give the project's own dependencies: the main ones, those of its groups and of its extras."""
    poetry = table(document, "tool", "poetry")
    tables = [table(poetry, "dependencies")]
    for name, group in table(poetry, "group").items():
        if normalise(name) in groups:
            tables.append(table(group, "dependencies"))
    if "dev" in groups:
        tables.append(table(poetry, "dev-dependencies"))
    declared = {normalise(name): strings(value) for name, value in table(poetry, "extras").items()}
    optional = {name for extra in extras for name, _ in _requirements(declared.get(extra, ()))}
    for dependencies in tables:
        for written, value in dependencies.items():
            name = normalise(written)
            if name == "python":
                continue
            for dependency in alternatives(value):
                if dependency.get("optional") is True and name not in optional:
                    continue
                if _holds(dependency, target, set(extras), python):
                    yield _need(name, dependency)


def _need(name: str, dependency: Mapping[str, Any]) -> _Need:
    extras = frozenset(normalise(extra) for extra in strings(dependency.get("extras")))
    return _Need(name, str(dependency.get("version", "*")), extras)


def _holds(dependency: Mapping[str, Any], target: Target, extras: set[str], python: str) -> bool:
    """Tell whether a dependency's conditions hold: its marker, Python versions and platform."""
    marker, versions, platform = (dependency.get(key) for key in ("markers", "python", "platform"))
    return (
        (not isinstance(marker, str) or not marker or applies(marker, target, extras))
        and (not isinstance(versions, str) or allows(versions, python))
        and (not isinstance(platform, str) or platform == marker_environment(target)["sys_platform"])
    )


def _with_nested(entry: Entry, extras: set[str]) -> set[str]:
    """Return the extras with those they name of the same package (`all = ["name[a,b]"]`)."""
    found: set[str] = set()
    pending = list(extras)
    while pending:
        extra = pending.pop()
        if extra in found:
            continue
        found.add(extra)
        for name, nested in _requirements(entry.extras.get(extra, ())):
            if name == entry.name:
                pending += nested
    return found


def _requirements(written: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give names and extras of requirements as Poetry writes them: `name[extra] (>=1) ; marker`."""
    for text in written:
        if match := _REQUIREMENT.match(text):
            extras = tuple(normalise(extra.strip()) for extra in (match[2] or "").split(",") if extra.strip())
            yield normalise(match[1]), extras
