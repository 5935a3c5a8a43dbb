"""The fields of an event source mapping: from Lambda's answers, into its requests, and compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final, Literal

from planton_build.deploy.aspects.aspect import Answer
from planton_build.deploy.aspects.reading import flag, mapping, mappings, number, text, texts
from planton_build.settings.event_sources import SourceIdentity, identity_of
from planton_build.settings.model import EventSource, SourceAccess
from planton_build.settings.source_access import VIRTUAL_HOST, with_prefix

_ONLY_AT_CREATION: Final = frozenset({"starting_position", "starting_timestamp", "consumer_group"})
"""Where reading begins is done with once it has begun, and UpdateEventSourceMapping takes none of these."""
_IDENTITY: Final = frozenset({"source", "topics", "queues", "servers", "database", "collection"})
_ALWAYS: Final = frozenset({"enabled", "report_batch_item_failures"})
"""Fields whose every value means something, so there is none for "leave it to Lambda"."""
_NUMBERS: Final = {
    "batch_size": "BatchSize",
    "batching_window": "MaximumBatchingWindowInSeconds",
    "parallelization": "ParallelizationFactor",
    "retries": "MaximumRetryAttempts",
    "max_record_age": "MaximumRecordAgeInSeconds",
    "bisect_on_error": "BisectBatchOnFunctionError",
    "tumbling_window": "TumblingWindowInSeconds",
}
_AT_LEAST_ONE: Final = frozenset({"batch_size", "parallelization"})
_DEFAULTS: Final[Mapping[str, Any]] = {field.name: field.default for field in fields(EventSource)}
_CHANGEABLE: Final = tuple(name for name in _DEFAULTS if name not in _IDENTITY | _ONLY_AT_CREATION)
_SERVERS: Final = "KAFKA_BOOTSTRAP_SERVERS"
_KAFKA: Final = ("AmazonManagedKafkaEventSourceConfig", "SelfManagedKafkaEventSourceConfig")
_UNITS: Final = {"batching_window": " s", "max_record_age": " s", "tumbling_window": " s"}


@dataclass(frozen=True, slots=True)
class Mapped:
    """An event source mapping: its fields, and the alias that it invokes, "" for the function itself."""

    source: EventSource
    qualifier: str

    @property
    def key(self) -> SourceIdentity:
        """Return what it is known by."""
        return identity_of(self.source)


def key_of(source: EventSource) -> SourceIdentity:
    """Return what a mapping is known by."""
    return identity_of(source)


def name_of(source: EventSource) -> str:
    """Return what a source is called in messages: its ARN, or the topic and servers of one without."""
    return source.source or f"{', '.join(source.topics)} of {', '.join(source.servers)}"


def read_mapping(answer: Answer) -> Mapped:
    """Turn Lambda's answer about a mapping into its fields, all of them."""
    filters = mappings(mapping(answer, "FilterCriteria"), "Filters")
    numbers = {ours: number(answer, theirs) for ours, theirs in _NUMBERS.items()}
    servers = texts(mapping(mapping(answer, "SelfManagedEventSource"), "Endpoints"), _SERVERS)
    documents = mapping(answer, "DocumentDBEventSourceConfig")
    source = EventSource(
        # A source of neither form is one that we do not know; it is known by its mapping.
        source=text(answer, "EventSourceArn") or ("" if servers else text(answer, "UUID")),
        enabled=text(answer, "State") not in ("Disabled", "Disabling"),
        batch_size=numbers["batch_size"] or 0,
        batching_window=numbers["batching_window"] or 0,
        starting_position=_position(answer),
        starting_timestamp=_timestamp(answer.get("StartingPositionTimestamp")),
        parallelization=numbers["parallelization"] or 0,
        max_concurrency=number(mapping(answer, "ScalingConfig"), "MaximumConcurrency") or 0,
        retries=numbers["retries"],
        max_record_age=numbers["max_record_age"],
        bisect_on_error=flag(answer, "BisectBatchOnFunctionError")
        if "BisectBatchOnFunctionError" in answer
        else None,
        tumbling_window=numbers["tumbling_window"] or 0,
        report_batch_item_failures="ReportBatchItemFailures" in texts(answer, "FunctionResponseTypes"),
        on_failure=text(mapping(mapping(answer, "DestinationConfig"), "OnFailure"), "Destination"),
        filters=tuple(text(one, "Pattern") for one in filters),
        topics=texts(answer, "Topics"),
        queues=texts(answer, "Queues"),
        consumer_group=next(
            (group for key in _KAFKA if (group := text(mapping(answer, key), "ConsumerGroupId"))), ""
        ),
        servers=servers,
        access=tuple(
            with_prefix(SourceAccess(text(one, "Type"), text(one, "URI")))
            for one in mappings(answer, "SourceAccessConfigurations")
        ),
        database=text(documents, "DatabaseName"),
        collection=text(documents, "CollectionName"),
        full_document=_full_document(text(documents, "FullDocument")),
    )
    return Mapped(source, qualifier_in(text(answer, "FunctionArn")))


def qualifier_in(arn: str) -> str:
    """Return the version or alias that a function's ARN ends with; "" for the function itself."""
    parts = arn.split(":")
    return parts[7] if len(parts) > 7 and parts[7] != "$LATEST" else ""


def _full_document(value: str) -> Literal["", "UpdateLookup", "Default"]:
    match value:
        case "UpdateLookup":
            return "UpdateLookup"
        case "Default":
            return "Default"
        case _:
            return ""


def _position(answer: Answer) -> Literal["", "LATEST", "TRIM_HORIZON", "AT_TIMESTAMP"]:
    match text(answer, "StartingPosition"):
        case "LATEST":
            return "LATEST"
        case "TRIM_HORIZON":
            return "TRIM_HORIZON"
        case "AT_TIMESTAMP":
            return "AT_TIMESTAMP"
        case _:
            return ""


def _timestamp(value: object) -> float | None:
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if isinstance(value, int | float) else None


def in_terms_of(found: Mapped, wanted: Mapped, exact: frozenset[str] = frozenset()) -> Mapped:
    """Return what was found with everything that is not managed as in `wanted`, so that `==` compares.

    Not managed is what the configuration leaves to Lambda, unless it is one of the fields in `exact`, and
    what counts at creation only. Filters are compared as JSON, and they and what gives access in any order.
    """
    ours, theirs = wanted.source, found.source
    unmanaged = {
        name: getattr(ours, name)
        for name in _DEFAULTS
        if name not in _CHANGEABLE or (name not in exact and _left(name, getattr(ours, name)))
    }
    if ours.filters and _filters(ours.filters) == _filters(theirs.filters):
        unmanaged["filters"] = ours.filters
    if _accesses(ours.access) == _accesses(theirs.access):
        unmanaged["access"] = ours.access
    if {ours.full_document, theirs.full_document} <= {"", "Default"}:
        unmanaged["full_document"] = ours.full_document
    return replace(found, source=replace(theirs, **unmanaged))


def differing(before: Mapped, after: Mapped) -> frozenset[str]:
    """Return the fields in which two states differ and that can be set to those of `after`."""
    return frozenset(
        name
        for name in _CHANGEABLE
        if (value := getattr(after.source, name)) != getattr(before.source, name)
        and value is not None
        and (value or name not in _AT_LEAST_ONE)
    )


def _left(name: str, value: object) -> bool:
    """Tell whether a value stands for "leave it to Lambda"."""
    return name not in _ALWAYS and value == _DEFAULTS[name]


def _filters(patterns: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_canonical(pattern) for pattern in patterns)


def _accesses(access: tuple[SourceAccess, ...]) -> frozenset[SourceAccess]:
    """Return what gives access without the virtual host, which is part of what a mapping is known by."""
    return frozenset(one for one in access if one.type != VIRTUAL_HOST)


def _canonical(pattern: str) -> str:
    try:
        return json.dumps(json.loads(pattern), sort_keys=True)
    except (ValueError, RecursionError):
        return pattern


def creation_request(wanted: Mapped) -> dict[str, Any]:
    """Return the members of CreateEventSourceMapping, without function and tags."""
    source = wanted.source
    named = {name: value for name in _CHANGEABLE if not _left(name, value := getattr(source, name))}
    request = _members(named)
    if source.source:
        request["EventSourceArn"] = source.source
    if source.servers:
        request["SelfManagedEventSource"] = {"Endpoints": {_SERVERS: list(source.servers)}}
    request |= {"Topics": list(source.topics)} if source.topics else {}
    request |= {"Queues": list(source.queues)} if source.queues else {}
    if source.access:
        request["SourceAccessConfigurations"] = _access(source.access)
    if source.database:
        request["DocumentDBEventSourceConfig"] = _documents(source)
    if source.starting_position:
        request["StartingPosition"] = source.starting_position
    if source.starting_timestamp is not None:
        request["StartingPositionTimestamp"] = source.starting_timestamp
    if source.consumer_group:
        request[_KAFKA[0] if source.source else _KAFKA[1]] = {"ConsumerGroupId": source.consumer_group}
    if not source.report_batch_item_failures:
        del request["FunctionResponseTypes"]
    return request


def update_request(before: Mapped, after: Mapped) -> dict[str, Any]:
    """Return the members of UpdateEventSourceMapping that lead from one state to the other.

    Only what differs is sent, and what is empty in `after` is sent as empty. A number that Lambda chose
    cannot be given back to it, so a size of 0 is not sent.
    """
    named = {name: getattr(after.source, name) for name in differing(before, after)}
    request = _members(named)
    if "access" in named:
        # It takes no virtual host; the mapping keeps its own.
        access = [one for one in after.source.access if one.type != VIRTUAL_HOST]
        request["SourceAccessConfigurations"] = _access(access)
    if "full_document" in named:
        # It replaces the whole, and what had a value is said when it is left to Lambda again.
        full = after.source.full_document or "Default"
        request["DocumentDBEventSourceConfig"] = _documents(after.source) | {"FullDocument": full}
    return request


def _access(access: Iterable[SourceAccess]) -> list[dict[str, str]]:
    return [{"Type": one.type, **({"URI": one.uri} if one.uri else {})} for one in access]


def _documents(source: EventSource) -> dict[str, str]:
    named = {
        "DatabaseName": source.database,
        "CollectionName": source.collection,
        "FullDocument": source.full_document,
    }
    return {name: value for name, value in named.items() if value}


def _members(named: Mapping[str, Any]) -> dict[str, Any]:
    request = {theirs: named[ours] for ours, theirs in _NUMBERS.items() if ours in named}
    if "enabled" in named:
        request["Enabled"] = named["enabled"]
    if "max_concurrency" in named:
        most = named["max_concurrency"]
        request["ScalingConfig"] = {"MaximumConcurrency": most} if most else {}
    if "report_batch_item_failures" in named:
        reports = named["report_batch_item_failures"]
        request["FunctionResponseTypes"] = ["ReportBatchItemFailures"] if reports else []
    if "on_failure" in named:
        request["DestinationConfig"] = {"OnFailure": {"Destination": named["on_failure"]}}
    if "filters" in named:
        request["FilterCriteria"] = {"Filters": [{"Pattern": pattern} for pattern in named["filters"]]}
    return request


def shown_fields(mapped: Mapped | None) -> dict[str, str]:
    """Return the fields that say something, for people."""
    if mapped is None:
        return {}
    source = mapped.source
    shown = {"serves": mapped.qualifier} if mapped.qualifier else {}
    shown["state"] = "enabled" if source.enabled else "disabled"
    for name, default in _DEFAULTS.items():
        value = getattr(source, name)
        if name in _IDENTITY or name == "enabled" or value == default:
            continue
        if name == "access":
            # Secrets are named here, and not told.
            shown[name] = ", ".join(f"{one.type} {one.uri}".strip() for one in source.access)
        elif isinstance(value, tuple):
            shown[name] = ", ".join(value)
        else:
            shown[name] = {True: "yes", False: "no"}.get(value, str(value)) + _UNITS.get(name, "")
    return shown
