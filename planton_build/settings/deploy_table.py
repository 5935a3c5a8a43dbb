"""One `[deploy]` table, read into the settings that it has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from planton_build.settings import arns, parts
from planton_build.settings.event_sources import SourceIdentity, event_source_of, identity_of
from planton_build.settings.model import OFF, EventSource, Permission, ReferenceSource, Rollout, TracingMode
from planton_build.settings.rollouts import rollout_of
from planton_build.settings.table import Table
from planton_build.settings.values import (
    ALIAS,
    MAX_NUMBER,
    Check,
    choice,
    list_of,
    log_retention,
    matching,
    number,
    or_none,
    or_off,
    switch,
    tags,
    text_of_at_most,
)

REFERENCE_TYPES = ("manifests", "outputs", "cloudformation", "ssm", "terraform", "pulumi")
_TRACING: tuple[TracingMode, ...] = ("Active", "PassThrough")
_RECURSION: tuple[Literal["Allow", "Terminate"], ...] = ("Allow", "Terminate")
_MAX_LISTED = 1000
"""A bound for lists that Lambda bounds by their size as a whole only."""

_VALUES: dict[str, Check[Any]] = {
    "alias": or_none(matching(ALIAS, "1 to 128 letters, digits, - and _, not digits alone")),
    "provisioned-concurrency": or_off(number(1, MAX_NUMBER)),
    "tracing": choice(_TRACING),
    "dead-letter": or_off(arns.dead_letter),
    "log-retention": log_retention,
    "ephemeral-storage": number(512, 10_240, "MB"),
    "snap-start": switch,
    "code-signing": or_off(arns.code_signing_config),
    "recursion": choice(_RECURSION),
    "tags": tags,
}
_TABLES: dict[str, Callable[[Table], object]] = {
    "url": parts.url_of,
    "async": parts.asynchronous_of,
    "logging": parts.logging_of,
    "image": parts.image_of,
    "alarms": parts.alarms_of,
    "runtime-management": parts.runtime_management_of,
    "role": parts.role_of,
}
_OFF_TABLES = frozenset({"url", "async", "alarms"})
_FIELDS = {"async": "asynchronous"}
"""Settings whose field in `DeploySettings` has another name: this one is a word of Python."""


def field_of(key: str) -> str:
    """Return the field of `DeploySettings` for a key."""
    return _FIELDS.get(key, key.replace("-", "_"))


def read_deploy(table: Table, folder: Path, origin: Callable[[int], str]) -> dict[str, tuple[str, object]]:
    """Return what a table says: for each key, its spelling in the file and its value.

    Relative paths are relative to `folder`; `origin` says where a source of references stands, by its
    index. What is wrong is noted in the table.
    """
    found: dict[str, object] = {key: table.get(key, check, None) for key, check in _VALUES.items()}
    for key, read in _TABLES.items():
        found[key] = _part(table, key, read, OFF if key in _OFF_TABLES else None)
    found["rollout"] = _part(table, "rollout", lambda part: rollout_of(part, folder), Rollout())
    found["file-systems"] = _file_systems(table)
    found["permissions"] = _permissions(table)
    found["event-sources"] = _event_sources(table)
    found["references"] = _references(table, folder, origin)
    table.close()
    return {key: (table.written(key), value) for key, value in found.items() if key in table}


def _part(table: Table, key: str, read: Callable[[Table], object], off: object) -> object:
    if off is not None and table.is_off(key):
        table.get(key, switch, False)
        return off
    inner = table.table(key, or_false=off is not None)
    return None if inner is None else read(inner)


def _file_systems(table: Table) -> tuple[object, ...]:
    found = [parts.file_system_of(item) for item in table.tables("file-systems") or ()]
    if len(found) > 1:
        table.fault("file-systems", "must hold one file system at most")
    return tuple(found)


def _permissions(table: Table) -> tuple[Permission, ...]:
    seen: dict[str, Permission] = {}
    for item in _bounded(table, "permissions"):
        permission = parts.permission_of(item)
        if permission.id and permission.id in seen:
            item.fault("id", f"is {permission.id}, as that of a permission before it")
        seen.setdefault(permission.id, permission)
    return tuple(seen.values())


def _event_sources(table: Table) -> tuple[EventSource, ...]:
    """Read event sources. Both are told of two that are one mapping, each in its line."""
    found: dict[SourceIdentity, EventSource] = {}
    first: dict[SourceIdentity, Table] = {}
    told: set[SourceIdentity] = set()
    for item in _bounded(table, "event-sources"):
        source = event_source_of(item)
        identity = identity_of(source)
        if identity in first and any(identity):
            before = first[identity]
            if identity not in told:
                told.add(identity)
                before.wrong(f"is written again as event-sources[{item.path[-1]}]", _SAME_SOURCE)
            item.wrong(f"is the same event source as event-sources[{before.path[-1]}]", _SAME_SOURCE)
        found.setdefault(identity, source)
        first.setdefault(identity, item)
    return tuple(found.values())


_SAME_SOURCE = "a function has one mapping for a source; put what they say together"


def _references(table: Table, folder: Path, origin: Callable[[int], str]) -> tuple[ReferenceSource, ...]:
    names = list_of(text_of_at_most(256), _MAX_LISTED, "kinds")
    found = []
    for index, item in enumerate(_bounded(table, "references")):
        kind = item.need("type", choice(REFERENCE_TYPES), "")
        kinds, env = item.get("kinds", names, ()), item.get("env", text_of_at_most(256), "")
        if "folder" in item:
            item.fault("folder", "is not an option of a source", "write a path in the option that takes one")
        options = {**item.rest(), "folder": folder}
        found.append(ReferenceSource(kind, options, kinds, env, origin(index)))
    return tuple(found)


def _bounded(table: Table, key: str) -> list[Table]:
    found = table.tables(key) or []
    if len(found) > _MAX_LISTED:
        table.fault(key, f"must not hold more than {_MAX_LISTED:,}")
    return found[:_MAX_LISTED]
