"""The event sources of a function, and which settings each kind of source takes.

Limits and "… only" are those of CreateEventSourceMapping.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from planton_build.settings import arns
from planton_build.settings.model import EventSource
from planton_build.settings.source_access import (
    DOCUMENTDB_ACCESS,
    KAFKA_ACCESS,
    MQ_ACCESS,
    MSK_ACCESS,
    AccessRules,
    access_of,
    virtual_host_of,
)
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
_TOPIC = re.compile(r"[^.\s][a-zA-Z0-9_.-]{1,248}")
"""`Topic`; its pattern wants two characters."""
_CONSUMER_GROUP = re.compile(r"[ a-zA-Z0-9/*:_+=.@-]{1,200}")
_MAX_SERVERS = 10
_MAX_SERVER = 300
_SERVER = re.compile(
    r"(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])\.)*"
    r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9]):[0-9]{1,5}"
)
"""`Endpoint`."""
_DATABASE = re.compile(r'[^ /.$"]{1,63}')
_COLLECTION = re.compile(r"(?!system\.)[_a-zA-Z0-9][^$]{0,56}")
_FULL_DOCUMENTS: tuple[Literal["UpdateLookup", "Default"], ...] = ("UpdateLookup", "Default")
"""`DocumentDBEventSourceConfig`."""


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A kind of event source: the form of its ARN, and the settings that not every kind takes.

    `access` says how Lambda may reach it, None where there is nothing to be said.
    """

    name: str
    arn: re.Pattern[str]
    takes: frozenset[str]
    positions: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    access: AccessRules | None = None


class SourceIdentity(NamedTuple):
    """What tells the event sources of one function apart. Another one of any of these is another mapping.

    Servers count in any order. A `virtual_host` of "" is RabbitMQ's own, `/`.
    """

    source: str
    topics: tuple[str, ...]
    queues: tuple[str, ...]
    servers: tuple[str, ...]
    database: str
    collection: str
    virtual_host: str


_RETRIED = frozenset(
    {"retries", "max-record-age", "bisect-on-error", "on-failure", "report-batch-item-failures"}
)
_STREAM = _RETRIED | {
    "starting-position", "starting-timestamp", "parallelization", "tumbling-window", "batching-window",
    "filters",
}  # fmt: skip
_KAFKA = _RETRIED | {
    "starting-position", "starting-timestamp", "batching-window", "filters", "topics", "consumer-group",
    "access",
}  # fmt: skip
_DOCUMENTS = frozenset(
    {
        "starting-position", "starting-timestamp", "batching-window", "access", "database", "collection",
        "full-document",
    }
)  # fmt: skip
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
        MSK_ACCESS,
    ),
    SourceKind(
        "broker of Amazon MQ",
        _arn("mq", r"broker:[\x21-\x7e]+"),
        frozenset({"batching-window", "filters", "queues", "access"}),
        (),
        ("queues", "access"),
        MQ_ACCESS,
    ),
    SourceKind(
        "cluster of DocumentDB",
        _arn("rds", r"cluster:[a-zA-Z0-9-]{1,63}"),
        _DOCUMENTS,
        _POSITIONS,
        ("database", "starting-position", "access"),
        DOCUMENTDB_ACCESS,
    ),
)
"""The first whose ARN fits is the kind. Where a stream is read from is always written, though the model has
it optional for Kafka and DocumentDB: it decides whether events are lost or seen again."""
SELF_MANAGED_KAFKA = SourceKind(
    "Kafka cluster of one's own",
    re.compile("(?!)"),
    _KAFKA | {"servers"},
    _POSITIONS,
    ("servers", "topics", "starting-position", "access"),
    KAFKA_ACCESS,
)
"""It has no ARN: `source` is not written, and `servers` is."""
_OPTIONAL = frozenset().union(*(kind.takes for kind in KINDS), SELF_MANAGED_KAFKA.takes)


def event_source_of(table: Table) -> EventSource:
    """Return an event source mapping, checked against what its kind of source takes."""
    source = table.get("source", _source, "")
    kind = kind_of(source) if source or "source" not in table else None
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
        topics=table.get(
            "topics", _one(matching(_TOPIC, "the name of a topic, of 2 to 249 characters"), "topics"), ()
        ),
        queues=table.get("queues", _one(text_of_at_most(1000), "queues"), ()),
        consumer_group=table.get(
            "consumer-group", matching(_CONSUMER_GROUP, "the id of a consumer group"), ""
        ),
        servers=table.get("servers", _servers, ()),
        database=table.get("database", matching(_DATABASE, "the name of a database of DocumentDB"), ""),
        collection=table.get(
            "collection", matching(_COLLECTION, "the name of a collection of DocumentDB"), ""
        ),
        full_document=table.get("full-document", choice(_FULL_DOCUMENTS), ""),
        access=access_of(table, kind.name if kind else "", kind.access if kind else None),
    )
    if kind is not None:
        _check(table, found, kind)
    table.close()
    return found


def identity_of(source: EventSource) -> SourceIdentity:
    """Return what an event source is known by among those of its function."""
    return SourceIdentity(
        source.source,
        source.topics,
        source.queues,
        tuple(sorted(source.servers)),
        source.database,
        source.collection,
        virtual_host_of(source.access),
    )


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


def _check(table: Table, found: EventSource, kind: SourceKind) -> None:
    if not found.source and "topics" not in table and "servers" not in table:
        table.wrong("has no source", "write the ARN of the queue or stream")
        return
    for key in sorted(_OPTIONAL):
        if key in table and key not in kind.takes:
            table.fault(key, f"is nothing for a {kind.name}", _instead(key))
    for key in kind.needs:
        if key not in table:
            table.wrong(f"has no {key}, which a {kind.name} needs", _NEEDED.get(key))
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


_NEEDED = {
    "servers": 'write the bootstrap servers: servers = ["kafka-1.example.com:9092"]; or `source`, for MSK',
    "access": 'say how Lambda logs in: access = [{ type = "BASIC_AUTH", uri = "arn:aws:secretsmanager:…" }]',
}


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


def _servers(value: object) -> tuple[str, ...]:
    check = matching(_SERVER, "a server and its port, such as kafka-1.example.com:9092", _MAX_SERVER)
    found = list_of(check, _MAX_SERVERS, "servers")(value)
    if not found:
        raise Wrong("must hold a server")
    if len(set(found)) < len(found):
        raise Wrong("holds a server twice")
    return found


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
