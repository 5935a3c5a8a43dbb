"""Event source mappings: what feeds a function with the events of a queue or a stream."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from planton_build.emulator.answers import page, shown, waiting
from planton_build.emulator.event_source_access import check_update, kept, virtual_host
from planton_build.emulator.event_source_rules import (
    FIFO,
    QUEUE,
    SourceKind,
    check_mapping,
    defaults,
    source_kind,
)
from planton_build.emulator.lookup import Address, address, find_function, qualified_arn, version_at
from planton_build.emulator.operations import Document, operation
from planton_build.emulator.refusal import Refusal, conflict, invalid, not_found
from planton_build.emulator.state import Function, Region
from planton_build.emulator.tagging import check_tags

_MAPPINGS_IN_A_PAGE = 100
_NOT_KEPT = ("Enabled", "FunctionName", "Tags", "UUID")
"""Members of requests that mappings show in other words."""
_GONE_WHEN_EMPTY = (
    "KMSKeyArn",
    "ScalingConfig",
    "MetricsConfig",
    "ProvisionedPollerConfig",
    "LoggingConfig",
    "SourceAccessConfigurations",
)


@operation("CreateEventSourceMapping")
def create_event_source_mapping(region: Region, request: Document) -> Document:
    """Make a mapping. It is being created for a while, and enabled or disabled then."""
    kind = source_kind(request)
    where, function = _function(region, request)
    check_mapping(region, kind, request, function)
    _check_unique(region, kind, request, where)
    tags = dict(request.get("Tags") or {})
    check_tags({}, tags)
    identifier = str(uuid.uuid4())
    arn = f"arn:{region.partition}:lambda:{region.region}:{region.account}:event-source-mapping:{identifier}"
    mapping = {
        **defaults(kind),
        **{name: value for name, value in request.items() if name not in _NOT_KEPT},
        "UUID": identifier,
        "EventSourceMappingArn": arn,
        "FunctionArn": qualified_arn(region, where),
        "StateTransitionReason": "USER_INITIATED" if kind in (QUEUE, FIFO) else "User action",
    }
    _without_empty(mapping)
    region.event_sources[identifier] = mapping
    if tags:
        region.event_source_tags[arn] = tags
    return _change(region, mapping, "Creating", "Enabled" if request.get("Enabled", True) else "Disabled")


@operation("GetEventSourceMapping")
def get_event_source_mapping(region: Region, request: Document) -> Document:
    """Show a mapping. Each call counts as one read of its state."""
    return shown(_existing(region, request))


@operation("UpdateEventSourceMapping")
def update_event_source_mapping(region: Region, request: Document) -> Document:
    """Change what the request has of a mapping that is at rest."""
    mapping = _at_rest(region, request, "update")
    kind = source_kind(mapping)
    where, function = _function(region, request if request.get("FunctionName") else _named(mapping))
    check_update(request)
    given = {name: value for name, value in request.items() if name not in _NOT_KEPT}
    if "SourceAccessConfigurations" in given:
        before = mapping.get("SourceAccessConfigurations") or []
        given["SourceAccessConfigurations"] = kept(before, given["SourceAccessConfigurations"])
    check_mapping(region, kind, {**mapping, **given}, function)
    mapping.update(given)
    mapping["FunctionArn"] = qualified_arn(region, where)
    _without_empty(mapping)
    before = mapping["State"]
    after = before
    if "Enabled" in request:
        after = "Enabled" if request["Enabled"] else "Disabled"
    between = "Updating" if after == before else after.replace("ed", "ing")
    return _change(region, mapping, between, after)


@operation("DeleteEventSourceMapping")
def delete_event_source_mapping(region: Region, request: Document) -> Document:
    """Delete a mapping that is at rest. It shows that it is being deleted for a while."""
    mapping = _at_rest(region, request, "delete")
    region.event_source_tags.pop(mapping["EventSourceMappingArn"], None)
    answer = _change(region, mapping, "Deleting", "")
    mapping["_waiting"] = waiting(region.behaviour, region.behaviour.deletion_reads)
    return answer


@operation("ListEventSourceMappings")
def list_event_source_mappings(region: Region, request: Document) -> Document:
    """List the mappings, of one source or one function when asked so. It counts as a read of each."""
    source, name = request.get("EventSourceArn"), request.get("FunctionName")
    wanted = qualified_arn(region, address(region, request)) if name else ""
    for identifier in list(region.event_sources):
        _settled(region, identifier)
    found, marker = page(
        [
            mapping
            for mapping in region.event_sources.values()
            if (not source or mapping.get("EventSourceArn") == source)
            and (not name or mapping["FunctionArn"] == wanted)
        ],
        lambda mapping: str(mapping["UUID"]),
        request,
        _MAPPINGS_IN_A_PAGE,
    )
    return {"EventSourceMappings": [shown(mapping) for mapping in found], **marker}


def _function(region: Region, request: Document) -> tuple[Address, Function]:
    """Return the function, version or alias that events are to go to."""
    where = address(region, request)
    function = find_function(region, where.name)
    if function is None:
        raise invalid("Function does not exist")
    version_at(function, where.qualifier)
    return where, function


def _named(mapping: dict[str, Any]) -> Document:
    return {"FunctionName": mapping["FunctionArn"]}


def _check_unique(region: Region, kind: SourceKind, request: Document, where: Address) -> None:
    """Refuse a second mapping of the same source to the same function.

    The same is also a topic, a queue in its virtual host, or a collection.
    """
    arn = qualified_arn(region, where)
    for mapping in region.event_sources.values():
        same = (
            mapping["FunctionArn"] == arn
            and mapping.get("EventSourceArn") == request.get("EventSourceArn")
            and all(mapping.get(name) == request.get(name) for name in ("Topics", "Queues"))
            and _servers(mapping) == _servers(request)
            and _collection(mapping) == _collection(request)
            and virtual_host(mapping) == virtual_host(request)
        )
        if not same:
            continue
        source = request.get("EventSourceArn", "")
        advice = f"Please update or delete the existing mapping with UUID {mapping['UUID']}"
        if kind in (QUEUE, FIFO):
            raise conflict(
                f'An event source mapping with SQS arn (" {source} ") and function (" {where.name} ") '
                f"already exists. {advice}"
            )
        raise conflict(
            f'The event source arn (" {source} ") and function (" {where.name} ") provided mapping '
            f"already exists. {advice}"
        )


def _servers(document: Document) -> list[str]:
    endpoints = (document.get("SelfManagedEventSource") or {}).get("Endpoints") or {}
    return sorted(endpoints.get("KAFKA_BOOTSTRAP_SERVERS") or [])


def _collection(document: Document) -> tuple[str, str]:
    config = document.get("DocumentDBEventSourceConfig") or {}
    return str(config.get("DatabaseName") or ""), str(config.get("CollectionName") or "")


def _without_empty(mapping: dict[str, Any]) -> None:
    """Remove what a request has emptied: filters, and members that are "" or {}."""
    if not (mapping.get("FilterCriteria") or {}).get("Filters"):
        mapping.pop("FilterCriteria", None)
    for name in _GONE_WHEN_EMPTY:
        if not mapping.get(name):
            mapping.pop(name, None)


def _change(region: Region, mapping: dict[str, Any], between: str, after: str) -> Document:
    """Begin a change of state, and return the answer of the call that began it."""
    mapping["State"] = between
    mapping["LastModified"] = datetime.now(UTC)
    mapping["_after"] = after
    mapping["_waiting"] = waiting(region.behaviour)
    return shown(mapping)


def _settled(region: Region, identifier: str) -> dict[str, Any] | None:
    """Return a mapping after one more read of it, None when there is none or its deletion is over."""
    mapping = region.event_sources.get(identifier)
    if mapping is None or mapping["_after"] is None or not mapping["_waiting"].over(region.behaviour):
        return mapping
    if not mapping["_after"]:
        del region.event_sources[identifier]
        return None
    mapping["State"], mapping["_after"] = mapping["_after"], None
    return mapping


def _existing(region: Region, request: Document) -> dict[str, Any]:
    mapping = _settled(region, str(request["UUID"]))
    if mapping is None:
        raise not_found("The resource you requested does not exist.")
    return mapping


def _at_rest(region: Region, request: Document, doing: str) -> dict[str, Any]:
    """Return a mapping that may be changed. Raises Refusal while a change is under way."""
    mapping = region.event_sources.get(str(request["UUID"]))
    if mapping is not None and mapping["_after"] is not None and mapping["_waiting"].reads == 0:
        mapping = _settled(region, str(request["UUID"]))
    if mapping is None:
        raise not_found("The resource you requested does not exist.")
    if mapping["_after"] is not None:
        raise Refusal(
            "ResourceInUseException",
            400,
            f"Cannot {doing} the event source mapping because it is in use.",
            {"Type": "User"},
        )
    return mapping
