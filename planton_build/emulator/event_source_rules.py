"""What may be set on an event source mapping depends on what the events come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from planton_build.emulator.destinations import missing
from planton_build.emulator.event_source_access import check_access
from planton_build.emulator.refusal import invalid
from planton_build.emulator.state import Function, Region

FILTERS = 5
"""How many patterns a mapping may have, by the default quota."""
_STREAM_DEFAULTS: Mapping[str, Any] = {
    "BisectBatchOnFunctionError": False,
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "TumblingWindowInSeconds": 0,
    "FunctionResponseTypes": [],
    "LastProcessingResult": "No records processed",
}
_OF_RECORDS = ("BisectBatchOnFunctionError", "MaximumRecordAgeInSeconds", "MaximumRetryAttempts")
"""What streams and Kafka have."""
_OF_STREAMS = ("ParallelizationFactor", "TumblingWindowInSeconds")


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A kind of event source: its name in messages, batch sizes, and what it has.

    `batch` is the default batch size and `most` the greatest. `stream` is Kinesis or DynamoDB, `kafka` MSK or
    a cluster of one's own; `position` tells that reading starts at a position. `own` are members that no
    other kind has.
    """

    name: str
    batch: int
    most: int
    position: bool = False
    stream: bool = False
    kafka: bool = False
    own: frozenset[str] = frozenset()


QUEUE = SourceKind("SQS", 10, 10_000)
FIFO = SourceKind("SQS", 10, 10)
KINESIS = SourceKind("Kinesis", 100, 10_000, position=True, stream=True)
DYNAMODB = SourceKind("DynamoDB", 100, 10_000, position=True, stream=True)
MSK = SourceKind(
    "MSK", 100, 10_000, position=True, kafka=True, own=frozenset({"AmazonManagedKafkaEventSourceConfig"})
)
KAFKA = SourceKind(
    "Kafka", 100, 10_000, position=True, kafka=True, own=frozenset({"SelfManagedKafkaEventSourceConfig"})
)
MQ = SourceKind("MQ", 100, 10_000, own=frozenset({"Queues"}))
DOCUMENTDB = SourceKind(
    "DocumentDB", 100, 10_000, position=True, own=frozenset({"DocumentDBEventSourceConfig"})
)
_OF_ONE_KIND = frozenset({"Topics"}).union(MSK.own, KAFKA.own, MQ.own, DOCUMENTDB.own)
_BY_SERVICE = {"kinesis": KINESIS, "dynamodb": DYNAMODB, "kafka": MSK, "mq": MQ, "rds": DOCUMENTDB}


@runtime_checkable
class KnowsQueues(Protocol):
    """A World that knows the settings of queues."""

    def visibility_timeout(self, account: str, region: str, queue: str) -> int | None:
        """Return the visibility timeout of a queue (its ARN) in seconds; None when unknown."""


def source_kind(document: Mapping[str, Any]) -> SourceKind:
    """Return the kind of source that a request or a mapping has. Raises Refusal when there is none."""
    arn = str(document.get("EventSourceArn") or "")
    if document.get("SelfManagedEventSource"):
        if arn:
            raise invalid("EventSourceArn and SelfManagedEventSource must not be specified together.")
        return KAFKA
    service = (arn.split(":") + [""] * 3)[2]
    if service == "sqs":
        return FIFO if arn.endswith(".fifo") else QUEUE
    if service not in _BY_SERVICE:
        raise invalid("Unrecognized event source.")
    return _BY_SERVICE[service]


def defaults(kind: SourceKind) -> dict[str, Any]:
    """Return the members that AWS fills in for a kind of source."""
    common: dict[str, Any] = {"BatchSize": kind.batch, "MaximumBatchingWindowInSeconds": 0}
    if kind.stream:
        return {**common, **_STREAM_DEFAULTS, "DestinationConfig": {"OnFailure": {}}}
    if kind in (QUEUE, FIFO):
        return {**common, "FunctionResponseTypes": []}
    return {**common, "LastProcessingResult": "No records processed"}


def check_mapping(region: Region, kind: SourceKind, wanted: Mapping[str, Any], function: Function) -> None:
    """Raise Refusal for settings of a mapping that AWS does not take from this kind of source.

    `wanted` has what the request has, on top of what the mapping has when it is changed.
    """
    _check_position(kind, wanted)
    _check_batch(kind, wanted)
    _check_members(kind, wanted)
    check_access(kind.name, wanted)
    _check_filters(wanted.get("FilterCriteria") or {})
    _check_source(region, kind, str(wanted.get("EventSourceArn") or ""), function)


def _check_position(kind: SourceKind, wanted: Mapping[str, Any]) -> None:
    position, moment = wanted.get("StartingPosition"), wanted.get("StartingPositionTimestamp")
    if not kind.position:
        if position:
            raise invalid(f"StartingPosition is not valid for {kind.name} event sources.")
        return
    if not position:
        raise invalid(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
            "Member must not be null."
        )
    if position == "AT_TIMESTAMP":
        if kind is DYNAMODB:
            raise invalid(f"Unsupported starting position for arn type: {wanted.get('EventSourceArn')}")
        if moment is None:
            raise invalid("StartingPositionTimestamp is required when StartingPosition is AT_TIMESTAMP.")


def _check_batch(kind: SourceKind, wanted: Mapping[str, Any]) -> None:
    size = int(wanted.get("BatchSize") or kind.batch)
    window = int(wanted.get("MaximumBatchingWindowInSeconds") or 0)
    if kind is FIFO and window:
        raise invalid("Batching window is not supported for FIFO queues")
    if size > kind.most:
        raise invalid(f"BatchSize must be less than or equal to {kind.most} for this event source.")
    if kind is QUEUE and size > 10 and not window:
        raise invalid(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        )


def _check_members(kind: SourceKind, wanted: Mapping[str, Any]) -> None:
    """Refuse members that this kind of source does not have. Most of the texts are ours."""
    others = [] if kind.stream else [*_OF_STREAMS] if kind.kafka else [*_OF_STREAMS, *_OF_RECORDS]
    for name in others:
        if wanted.get(name) is not None:
            raise invalid(f"{name} is not valid for {kind.name} event sources.")
    destination = wanted.get("DestinationConfig") or {}
    if destination.get("OnSuccess") or (destination and not (kind.stream or kind.kafka)):
        raise invalid("Unsupported DestinationConfig parameter for given event source mapping type.")
    age = wanted.get("MaximumRecordAgeInSeconds")
    if age is not None and -1 < int(age) < 60:
        raise invalid("MaximumRecordAgeInSeconds must be -1 or between 60 and 604800.")
    if wanted.get("ScalingConfig") and kind not in (QUEUE, FIFO):
        raise invalid(f"ScalingConfig is not valid for {kind.name} event sources.")
    if wanted.get("FunctionResponseTypes") and not (kind.stream or kind.kafka or kind in (QUEUE, FIFO)):
        raise invalid(f"FunctionResponseTypes is not valid for {kind.name} event sources.")
    own = kind.own | ({"Topics"} if kind.kafka else set())
    for name in ("Topics", "Queues"):
        if name in own and not wanted.get(name):
            raise invalid(f"Required '{name.lower()}' parameter is missing.")
    for name in sorted(_OF_ONE_KIND - own):
        if wanted.get(name):
            raise invalid(f"{name} is not valid for {kind.name} event sources.")
    if kind is DOCUMENTDB and not (wanted.get("DocumentDBEventSourceConfig") or {}).get("DatabaseName"):
        raise invalid("Required 'databaseName' parameter is missing.")


def _check_filters(criteria: Mapping[str, Any]) -> None:
    filters = criteria.get("Filters") or []
    if len(filters) > FILTERS:
        raise invalid(f"FilterCriteria must have no more than {FILTERS} filters.")
    for one in filters:
        try:
            pattern = json.loads(one.get("Pattern") or "")
        except (ValueError, RecursionError) as error:
            raise invalid("Invalid filter pattern definition.") from error
        if not isinstance(pattern, dict) or not pattern or not _is_pattern(pattern):
            raise invalid("Invalid filter pattern definition.")


def _is_pattern(value: object, depth: int = 0) -> bool:
    """Tell whether a value is a pattern of events: objects whose leaves are lists that are not empty."""
    if isinstance(value, dict) and depth < 100:
        return all(
            _is_pattern(one, depth + 1) or (name == "$or" and isinstance(one, list) and len(one) > 1)
            for name, one in value.items()
        )
    return isinstance(value, list) and bool(value) and not any(isinstance(one, list) for one in value)


def _check_source(region: Region, kind: SourceKind, arn: str, function: Function) -> None:
    """Refuse a source that is not there, and a queue that shows messages again while they are worked on."""
    if not arn:
        return
    if arn.split(":")[3] not in ("", region.region):
        raise invalid(f"The event source must be in the same region as the function: {arn}")
    if kind in (QUEUE, FIFO):
        if missing(region, "queue", arn):
            raise invalid(
                "Error occurred while ReceiveMessage. SQS Error Code: "
                "AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue does "
                "not exist for this wsdl version."
            )
        _check_visibility(region, arn, function)
    elif kind.stream and missing(region, "table" if kind is DYNAMODB else "stream", arn):
        raise invalid(f"Stream not found: {arn}")


def _check_visibility(region: Region, arn: str, function: Function) -> None:
    world = region.world
    if not isinstance(world, KnowsQueues):
        return
    visible = world.visibility_timeout(region.account, region.region, arn)
    timeout = int(function.latest.configuration.get("Timeout") or 3)
    if visible is not None and visible < timeout:
        raise invalid(
            f"Queue visibility timeout: {visible} seconds is less than Function timeout: {timeout} seconds"
        )
