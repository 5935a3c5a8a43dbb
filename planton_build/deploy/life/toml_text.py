"""Settings as TOML: the `[deploy]` table that `settings.read` reads back as the same values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from planton_build.settings.model import (
    OFF,
    Alarms,
    AsyncInvocation,
    Cors,
    DeploySettings,
    EventSource,
    FileSystem,
    FunctionUrl,
    ImageSettings,
    Logging,
    Permission,
    RuntimeManagement,
    SourceAccess,
)

Pairs: TypeAlias = list[tuple[str, Any]]
"""Keys and values of a table, in their order. A value of None is left out."""


def toml_of(settings: DeploySettings) -> str:
    """Return the `[deploy]` table of settings, "" when nothing is set.

    Rollouts, roles and references are not written: AWS knows nothing of them.
    """
    plain: Pairs = [
        ("alias", settings.alias),
        ("provisioned-concurrency", settings.provisioned_concurrency),
        ("tracing", settings.tracing),
        ("dead-letter", settings.dead_letter),
        ("ephemeral-storage", settings.ephemeral_storage),
        ("snap-start", settings.snap_start),
        ("code-signing", settings.code_signing),
        ("recursion", settings.recursion),
        ("log-retention", settings.log_retention),
        ("file-systems", [] if settings.file_systems == () else None),
        ("permissions", [] if settings.permissions == () else None),
        ("event-sources", [] if settings.event_sources == () else None),
    ]
    off = (("url", settings.url), ("async", settings.asynchronous), ("alarms", settings.alarms))
    plain += [(key, False) for key, value in off if value is OFF]
    tables = [_table("deploy", plain)]
    if settings.tags:
        tables.append(_table("deploy.tags", list(settings.tags.items())))
    if isinstance(settings.url, FunctionUrl):
        tables.append(
            _table("deploy.url", [("auth", settings.url.auth), ("invoke-mode", settings.url.invoke_mode)])
        )
        if settings.url.cors is not None:
            tables.append(_table("deploy.url.cors", _cors(settings.url.cors)))
    if isinstance(settings.asynchronous, AsyncInvocation):
        tables.append(_table("deploy.async", _asynchronous(settings.asynchronous)))
    if settings.logging is not None:
        tables.append(_table("deploy.logging", _logging(settings.logging)))
    if settings.image is not None:
        tables.append(_table("deploy.image", _image(settings.image)))
    if settings.runtime_management is not None:
        tables.append(_table("deploy.runtime-management", _runtime(settings.runtime_management)))
    if isinstance(settings.alarms, Alarms):
        tables.append(_table("deploy.alarms", _alarms(settings.alarms)))
    tables += _lists(settings)
    return "\n".join(table for table in tables if table)


def _lists(settings: DeploySettings) -> Iterable[str]:
    for mount in settings.file_systems or ():
        yield _table("deploy.file-systems", _file_system(mount), listed=True)
    for permission in settings.permissions or ():
        yield _table("deploy.permissions", _permission(permission), listed=True)
    for source in settings.event_sources or ():
        yield _table("deploy.event-sources", _event_source(source), listed=True)


def _cors(cors: Cors) -> Pairs:
    return [
        ("allow-origins", cors.allow_origins or None),
        ("allow-methods", cors.allow_methods or None),
        ("allow-headers", cors.allow_headers or None),
        ("expose-headers", cors.expose_headers or None),
        ("allow-credentials", cors.allow_credentials or None),
        ("max-age", cors.max_age or None),
    ]


def _asynchronous(value: AsyncInvocation) -> Pairs:
    return [
        ("retries", value.retries),
        ("max-age", value.max_age),
        ("on-success", value.on_success or None),
        ("on-failure", value.on_failure or None),
    ]


def _logging(value: Logging) -> Pairs:
    return [
        ("format", value.format),
        ("level", value.level or None),
        ("system-level", value.system_level or None),
        ("group", value.group or None),
    ]


def _image(value: ImageSettings) -> Pairs:
    return [
        ("entry-point", value.entry_point or None),
        ("command", value.command or None),
        ("working-directory", value.working_directory or None),
    ]


def _runtime(value: RuntimeManagement) -> Pairs:
    return [("update", value.update), ("version-arn", value.version_arn or None)]


def _alarms(value: Alarms) -> Pairs:
    counts = [
        ("errors", value.errors),
        ("throttles", value.throttles),
        ("dead-letters", value.dead_letters),
        (
            "duration" if value.duration is not None else "duration-percent",
            value.duration or value.duration_percent,
        ),
    ]
    written: Pairs = [(key, False if count is None else count) for key, count in counts]
    return [
        *written,
        ("period", value.period),
        ("periods", value.periods),
        ("actions", value.actions or None),
        ("ok-actions", value.ok_actions or None),
    ]


def _file_system(value: FileSystem) -> Pairs:
    return [("arn", value.arn), ("path", value.path)]


def _permission(value: Permission) -> Pairs:
    return [
        ("id", value.id),
        ("principal", value.principal),
        ("action", value.action if value.action != "lambda:InvokeFunction" else None),
        ("source-arn", value.source_arn or None),
        ("source-account", value.source_account or None),
        ("organization", value.organization or None),
    ]


def _event_source(value: EventSource) -> Pairs:
    return [
        ("source", value.source or None),
        ("enabled", None if value.enabled else False),
        ("batch-size", value.batch_size or None),
        ("batching-window", value.batching_window or None),
        ("starting-position", value.starting_position or None),
        ("starting-timestamp", value.starting_timestamp),
        ("parallelization", value.parallelization or None),
        ("max-concurrency", value.max_concurrency or None),
        ("retries", value.retries),
        ("max-record-age", value.max_record_age),
        ("bisect-on-error", value.bisect_on_error),
        ("tumbling-window", value.tumbling_window or None),
        ("report-batch-item-failures", value.report_batch_item_failures or None),
        ("on-failure", value.on_failure or None),
        ("filters", value.filters or None),
        ("topics", value.topics or None),
        ("queues", value.queues or None),
        ("consumer-group", value.consumer_group or None),
        ("servers", value.servers or None),
        ("access", [_access(one) for one in value.access] or None),
        ("database", value.database or None),
        ("collection", value.collection or None),
        ("full-document", value.full_document or None),
    ]


def _access(value: SourceAccess) -> dict[str, str]:
    return {"type": value.type, **({"uri": value.uri} if value.uri else {})}


def _table(name: str, pairs: Pairs, *, listed: bool = False) -> str:
    """Return a table with its head; "" when it says nothing and its head alone would not either."""
    lines = [f"{_key(key)} = {_value(value)}\n" for key, value in pairs if value is not None]
    if not lines and name == "deploy":
        return ""
    return f"{f'[[{name}]]' if listed else f'[{name}]'}\n" + "".join(lines)


def _key(key: str) -> str:
    plain = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if plain else _text(key)


def _value(value: object) -> str:
    if value is OFF or value is False:
        return "false"
    if value is True:
        return "true"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(str(key))} = {_value(item)}" for key, item in value.items()) + " }"
    items: Iterable[object] = value if isinstance(value, list | tuple) else ()
    return "[" + ", ".join(_value(item) for item in items) + "]"


def _text(value: str) -> str:
    """Return a string: a literal one where quotes and backslashes would hide what it says."""
    if ('"' in value or "\\" in value) and "'" not in value and value.isprintable():
        return f"'{value}'"
    # JSON's escapes are TOML's; DEL alone is allowed there and not here.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
