"""The event sources of a function, and which settings each kind of source takes.

Limits and "… only" are those of CreateEventSourceMapping.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Literal

from planton_build.settings import arns
from planton_build.settings.model import EventSource
from planton_build.settings.table import Table
from planton_build.settings.values import (
    Check,
    Wrong,
    choice,
    instant,
    json_text,
    lines_of_at_most,
    list_of,
    matching,
    number,
    shown,
    switch,
    text,
    text_of_at_most,
)

Position = Literal["", "LATEST", "TRIM_HORIZON", "AT_TIMESTAMP"]

_POSITIONS: tuple[Position, ...] = ("LATEST", "TRIM_HORIZON", "AT_TIMESTAMP")
_MAX_BATCH = 10_000
_MAX_FIFO_BATCH = 10
_BATCH_WITHOUT_WINDOW = 10
"""A standard queue gives no more at once without a batching window."""
_MAX_FILTERS = 5
_MAX_PATTERN = 4096
_MAX_AGE = 604_800
_TOPIC = re.compile(r"[^.\s][a-zA-Z0-9_.-]{0,248}")
_CONSUMER_GROUP = re.compile(r"[ a-zA-Z0-9/*:_+=.@-]{1,200}")


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A kind of event source: the form of its ARN, and the settings that not every kind takes."""

    name: str
    arn: re.Pattern[str]
    takes: frozenset[str]
    positions: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


_RETRIED = frozenset(
    {"retries", "max-record-age", "bisect-on-error", "on-failure", "report-batch-item-failures"}
)
_STREAM = _RETRIED | {
    "starting-position", "starting-timestamp", "parallelization", "tumbling-window", "batching-window",
    "filters",
}  # fmt: skip
_KAFKA = _RETRIED | {
    "starting-position", "starting-timestamp", "batching-window", "filters", "topics", "consumer-group"
}  # fmt: skip
_QUEUE = frozenset({"max-concurrency", "report-batch-item-failures", "filters"})


def _arn(service: str, resource: str) -> re.Pattern[str]:
    return re.compile(rf"arn:aws[a-zA-Z0-9-]*:{service}:[a-z0-9-]+:\d{{12}}:{resource}", re.ASCII)


KINDS: tuple[SourceKind, ...] = (
    SourceKind("FIFO queue", _arn("sqs", r"[a-zA-Z0-9_-]{1,75}\.fifo"), _QUEUE),
    SourceKind("SQS queue", _arn("sqs", r"[a-zA-Z0-9_-]{1,80}"), _QUEUE | {"batching-window"}),
    SourceKind(
        "Kinesis stream",
        _arn("kinesis", r"stream/[a-zA-Z0-9_.-]{1,128}(?:/consumer/[a-zA-Z0-9_.-]{1,128}:\d+)?"),
        _STREAM,
        _POSITIONS,
        ("starting-position",),
    ),
    SourceKind(
        "DynamoDB stream",
        _arn("dynamodb", r"table/[a-zA-Z0-9_.-]{3,255}/stream/[0-9T:.-]+"),
        _STREAM - {"starting-timestamp"},
        ("LATEST", "TRIM_HORIZON"),
        ("starting-position",),
    ),
    SourceKind(
        "MSK cluster",
        _arn("kafka", r"(?:cluster|vpc-connection)/[\x21-\x7e]+"),
        _KAFKA,
        _POSITIONS,
        ("topics", "starting-position"),
    ),
    SourceKind(
        "broker of Amazon MQ",
        _arn("mq", r"broker:[\x21-\x7e]+"),
        frozenset({"batching-window", "filters", "queues"}),
        (),
        ("queues",),
    ),
    SourceKind(
        "cluster of DocumentDB",
        _arn("rds", r"cluster:[a-zA-Z0-9-]{1,63}"),
        frozenset({"batching-window", "starting-position", "starting-timestamp"}),
        _POSITIONS,
        ("starting-position",),
    ),
)
"""The first whose ARN fits is the kind. Where a stream is read from is always written, though the model has
it optional for Kafka and DocumentDB: it decides whether events are lost or seen again."""
SELF_MANAGED_KAFKA = SourceKind(
    "Kafka cluster of one's own", re.compile("(?!)"), _KAFKA, _POSITIONS, ("topics", "starting-position")
)
"""It has no ARN: `source` is not written, and `EventSource.source` is its topic."""
_OPTIONAL = frozenset().union(*(kind.takes for kind in KINDS))


def event_source_of(table: Table) -> EventSource:
    """Return an event source mapping, checked against what its kind of source takes."""
    source = table.get("source", _source, "")
    known = "source" not in table or bool(source)
    found = EventSource(
        source=source,
        enabled=table.get("enabled", switch, True),
        batch_size=table.get("batch-size", number(1, _MAX_BATCH), 0),
        batching_window=table.get("batching-window", number(0, 300, "seconds"), 0),
        starting_position=table.get("starting-position", choice(_POSITIONS), ""),
        starting_timestamp=table.get("starting-timestamp", instant, None),
        parallelization=table.get("parallelization", number(1, 10), 0),
        max_concurrency=table.get("max-concurrency", number(2, 1000), 0),
        retries=table.get("retries", number(-1, 10_000), None),
        max_record_age=table.get("max-record-age", _record_age, None),
        bisect_on_error=table.get("bisect-on-error", switch, None),
        tumbling_window=table.get("tumbling-window", number(0, 900, "seconds"), 0),
        report_batch_item_failures=table.get("report-batch-item-failures", switch, False),
        on_failure=table.get("on-failure", arns.record_destination, ""),
        filters=table.get("filters", list_of(_filter, _MAX_FILTERS, "filters"), ()),
        topics=table.get("topics", _one(matching(_TOPIC, "the name of a topic"), "topics"), ()),
        queues=table.get("queues", _one(text_of_at_most(1000), "queues"), ()),
        consumer_group=table.get(
            "consumer-group", matching(_CONSUMER_GROUP, "the id of a consumer group"), ""
        ),
    )
    if known:
        _check(table, found)
    table.close()
    if not found.source and found.topics:  # a Kafka cluster of one's own is known by its topic
        return replace(found, source=found.topics[0], topics=())
    return found


def kind_of(source: str) -> SourceKind | None:
    """Return the kind of a source by its ARN, or None; "" is a Kafka cluster of one's own."""
    if not source:
        return SELF_MANAGED_KAFKA
    return next((kind for kind in KINDS if kind.arn.fullmatch(source)), None)


def _source(value: object) -> str:
    found = text(value)
    if kind_of(found) is not None and len(found) <= _MAX_BATCH:
        return found
    raise Wrong(
        f"must be the ARN of an event source, not {shown(found)}",
        "an SQS queue, a Kinesis stream, the stream of a DynamoDB table, an MSK cluster, a broker of Amazon "
        "MQ or a cluster of DocumentDB; other services need a permission instead",
    )


def _check(table: Table, found: EventSource) -> None:
    kind = kind_of(found.source)
    if kind is None:
        return
    if not found.source and "topics" not in table:
        table.wrong("has no source", "write the ARN of the queue or stream")
        return
    for key in sorted(_OPTIONAL):
        if key in table and key not in kind.takes:
            table.fault(key, f"is nothing for a {kind.name}", _instead(key))
    for key in kind.needs:
        if key not in table:
            table.wrong(f"has no {key}, which a {kind.name} needs")
    _check_position(table, found, kind)
    _check_batches(table, found, kind)


def _check_position(table: Table, found: EventSource, kind: SourceKind) -> None:
    if found.starting_position and kind.positions and found.starting_position not in kind.positions:
        table.fault("starting-position", f"must be {' or '.join(kind.positions)} for a {kind.name}")
    if found.starting_position == "AT_TIMESTAMP" and "starting-timestamp" not in table:
        table.wrong("starts AT_TIMESTAMP and has no starting-timestamp")
    if "starting-timestamp" in table and found.starting_position != "AT_TIMESTAMP":
        table.fault("starting-timestamp", 'goes with starting-position = "AT_TIMESTAMP" only')


def _check_batches(table: Table, found: EventSource, kind: SourceKind) -> None:
    if kind.name == "FIFO queue" and found.batch_size > _MAX_FIFO_BATCH:
        table.fault("batch-size", f"must be at most {_MAX_FIFO_BATCH} for a FIFO queue")
    elif kind.name == "SQS queue" and found.batch_size > _BATCH_WITHOUT_WINDOW and not found.batching_window:
        table.fault(
            "batch-size",
            f"is over {_BATCH_WITHOUT_WINDOW}, for which a queue needs a batching-window",
            "add batching-window = 1, or more seconds",
        )


def _instead(key: str) -> str | None:
    if key in ("retries", "on-failure"):
        return "for a queue this is the redrive policy of the queue itself"
    return "it is for SQS queues only" if key == "max-concurrency" else None


def _record_age(value: object) -> int:
    if value == -1 and not isinstance(value, bool):
        return -1
    try:
        return number(60, _MAX_AGE, "seconds")(value)
    except Wrong as error:
        raise Wrong(f"{error}; -1 is for ever") from error


def _one(check: Check[str], what: str) -> Check[tuple[str, ...]]:
    return list_of(check, 1, what, least=1)


def _filter(value: object) -> str:
    """Return a filter's pattern as JSON text, from such a text or from a table."""
    if isinstance(value, dict):
        return json_text(value, _MAX_PATTERN)
    found = lines_of_at_most(_MAX_PATTERN)(value)
    try:
        pattern = json.loads(found)
    except (ValueError, RecursionError) as error:
        raise Wrong(
            "is not valid JSON", """write it as '{"body": {"kind": ["order"]}}', or as a table"""
        ) from error
    if not isinstance(pattern, dict):
        raise Wrong("must be an object of JSON, which holds a pattern")
    return found
