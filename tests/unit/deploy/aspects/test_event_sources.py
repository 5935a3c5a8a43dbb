from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from planton_build.deploy.aspects.aspect import Scope
from planton_build.deploy.aspects.event_source_fields import in_terms_of, read_mapping, update_request
from planton_build.deploy.aspects.event_sources import TAG, EventSourcesAspect
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.emulator.serve import Emulator
from planton_build.errors import DeployConflict, FunctionFailed
from planton_build.settings.model import EventSource, SourceAccess

SOURCES = EventSourcesAspect()
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:jobs"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
KAFKA = "arn:aws:kafka:eu-west-1:123456789012:cluster/c/1"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:broker-a1b2c3"
BASIC = SourceAccess("BASIC_AUTH", SECRET)
SCRAM = SourceAccess("SASL_SCRAM_512_AUTH", SECRET)
HOST = SourceAccess("VIRTUAL_HOST", "/shop")
NETWORK = (
    SourceAccess("VPC_SUBNET", "subnet:subnet-1"),
    SourceAccess("VPC_SECURITY_GROUP", "security_group:sg-1"),
)
BROKER = EventSource(
    "arn:aws:mq:eu-west-1:123456789012:broker:b:b-1", queues=("orders",), access=(BASIC, HOST)
)
CHANGES = EventSource(
    "arn:aws:rds:eu-west-1:123456789012:cluster:docs",
    starting_position="LATEST",
    database="shop",
    collection="orders",
    full_document="UpdateLookup",
    access=(BASIC,),
)
OWN = EventSource(
    "",
    servers=("b.example.com:9092", "a.example.com:9092"),
    topics=("orders",),
    starting_position="TRIM_HORIZON",
    consumer_group="billing",
    access=(SCRAM, *NETWORK),
)
MANAGED = EventSource(KAFKA, topics=("orders",), starting_position="LATEST", access=(SCRAM,))
FILTERS = ('{"body": {"a": [1], "b": [2]}}', '{"body": {"c": [3]}}')


@pytest.fixture(autouse=True)
def world(emulator: Emulator) -> None:
    emulator.behaviour.strict_world = False


@pytest.fixture
def wanted(desired: Callable[..., DesiredFunction]) -> Callable[..., Any]:
    return lambda *sources, **more: SOURCES.wanted(desired(event_sources=sources, **more))


def by_hand(scope: Scope, **members: Any) -> str:
    request = {"EventSourceArn": QUEUE, "FunctionName": scope.qualified_arn} | members
    return str(scope.aws.lambda_().create_event_source_mapping(**request)["UUID"])


def test_a_mapping_bears_our_tag_and_feeds_the_alias(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    go("event_sources", scope, None, wanted(EventSource(QUEUE)))
    (mapping,) = emulator.region().event_sources.values()
    assert mapping["FunctionArn"].endswith(":render:live")
    assert emulator.region().event_source_tags[mapping["EventSourceMappingArn"]] == {TAG: "render"}


def test_a_mapping_made_by_hand_is_taken_over_and_never_deleted(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    uuid = by_hand(scope, BatchSize=3)
    state = wanted(EventSource(QUEUE))
    assert SOURCES.observe(scope, state) == state
    more = wanted(EventSource(QUEUE, batch_size=4))
    found = SOURCES.observe(scope, more)
    assert SOURCES.changes(found, more) == [Change("event_sources.jobs.batch_size", "3", "4")]
    go("event_sources", scope, found, more)
    assert emulator.region().event_sources[uuid]["BatchSize"] == 4
    assert SOURCES.observe(scope, None) is None
    go("event_sources", scope, more, None)
    assert uuid in emulator.region().event_sources


def test_a_mapping_of_the_function_itself_moves_to_the_alias_and_back(
    emulator: Emulator, scope: Scope, bare: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    uuid = by_hand(bare)
    state = wanted(EventSource(QUEUE))
    found = SOURCES.observe(scope, state)
    assert SOURCES.changes(found, state) == [Change("event_sources.jobs.serves", None, "live")]
    go("event_sources", scope, found, state)
    mapping = emulator.region().event_sources[uuid]
    assert mapping["FunctionArn"].endswith(":live")
    go("event_sources", scope, state, found)
    assert mapping["FunctionArn"].endswith(":render")


def test_mappings_of_another_alias_and_of_other_functions_are_left_alone(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    function = emulator.region().functions["render"]
    function.aliases["beta"] = {**function.aliases["live"], "Name": "beta"}
    theirs = by_hand(scope, FunctionName=f"{scope.arn}:beta", Tags={TAG: "render"})
    state = wanted(EventSource(QUEUE))
    assert SOURCES.observe(scope, state) is None
    go("event_sources", scope, None, state)
    go("event_sources", scope, state, None)
    assert list(emulator.region().event_sources) == [theirs]


def test_a_mapping_of_ours_that_is_not_configured_any_more_is_deleted(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    emulator.behaviour.deletion_reads = 3
    both = wanted(EventSource(QUEUE), EventSource(STREAM, starting_position="LATEST"))
    go("event_sources", scope, None, both)
    one = wanted(EventSource(QUEUE))
    found = SOURCES.observe(scope, one)
    (change,) = SOURCES.changes(found, one)
    assert (change.field, change.after) == ("event_sources.stream/clicks", None)
    go("event_sources", scope, found, one)
    assert [mapping["EventSourceArn"] for mapping in emulator.region().event_sources.values()] == [QUEUE]


def test_what_is_left_to_lambda_is_no_difference(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any]
) -> None:
    by_hand(scope, BatchSize=7, FilterCriteria={"Filters": [{"Pattern": FILTERS[0]}]})
    state = wanted(EventSource(QUEUE))
    assert SOURCES.observe(scope, state) == state


def test_filters_are_compared_as_json_in_any_order(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any]
) -> None:
    spaced = ['{"body":{"c":[3]}}', '{"body":{"b":[2],"a":[1]}}']
    by_hand(scope, FilterCriteria={"Filters": [{"Pattern": pattern} for pattern in spaced]})
    state = wanted(EventSource(QUEUE, filters=FILTERS))
    assert SOURCES.observe(scope, state) == state
    fewer = wanted(EventSource(QUEUE, filters=FILTERS[:1]))
    assert SOURCES.observe(scope, fewer) != fewer


def test_no_retries_are_a_number_and_not_lambdas_choice(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    state = wanted(EventSource(STREAM, starting_position="LATEST", retries=0, bisect_on_error=False))
    go("event_sources", scope, None, state)
    (mapping,) = emulator.region().event_sources.values()
    assert mapping["MaximumRetryAttempts"] == 0
    mapping["MaximumRetryAttempts"] = mapping["BisectBatchOnFunctionError"] = 1
    mapping["BisectBatchOnFunctionError"] = True
    found = SOURCES.observe(scope, state)
    assert [change.field.rpartition(".")[2] for change in SOURCES.changes(found, state)] == [
        "retries",
        "bisect_on_error",
    ]
    go("event_sources", scope, found, state)
    assert SOURCES.observe(scope, state) == state


def test_where_reading_begins_counts_at_creation_only(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    go("event_sources", scope, None, wanted(EventSource(STREAM, starting_position="LATEST")))
    state = wanted(EventSource(STREAM, starting_position="TRIM_HORIZON"))
    assert SOURCES.observe(scope, state) == state


def test_kafka_is_told_apart_by_topic(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    def topic(name: str, **more: Any) -> EventSource:
        return EventSource(KAFKA, topics=(name,), starting_position="LATEST", consumer_group="g", **more)

    go("event_sources", scope, None, wanted(topic("one"), topic("two")))
    made = {mapping["Topics"][0]: mapping for mapping in emulator.region().event_sources.values()}
    assert made["one"]["AmazonManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": "g"}
    state = wanted(topic("one", batch_size=5), topic("two"))
    go("event_sources", scope, SOURCES.observe(scope, state), state)
    assert (made["one"]["BatchSize"], made["two"]["BatchSize"]) == (5, 100)


def test_a_mapping_that_appears_meanwhile_is_changed_instead(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    emulator.faults.before("CreateEventSourceMapping", lambda: _place(emulator))
    state = wanted(EventSource(QUEUE, batch_size=9))
    go("event_sources", scope, None, state)
    (mapping,) = emulator.region().event_sources.values()
    assert (mapping["UUID"], mapping["BatchSize"]) == ("0" * 36, 9)


def _place(emulator: Emulator) -> None:
    arn = "arn:aws:lambda:eu-west-1:123456789012:"
    emulator.region().event_sources["0" * 36] = {
        "UUID": "0" * 36,
        "EventSourceMappingArn": f"{arn}event-source-mapping:{'0' * 36}",
        "EventSourceArn": QUEUE,
        "FunctionArn": f"{arn}function:render:live",
        "State": "Enabled",
        "BatchSize": 10,
        "_after": None,
    }


def test_a_source_that_lambda_cannot_read_ends_the_wait(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any]
) -> None:
    (call,) = SOURCES.calls(scope, None, wanted(EventSource(QUEUE)))
    call.send()
    (mapping,) = emulator.region().event_sources.values()
    mapping |= {"State": "Disabled", "StateTransitionReason": "PROBLEM: access denied", "_after": None}
    assert call.settled is not None
    with pytest.raises(FunctionFailed, match="PROBLEM: access denied"):
        call.settled()


def test_a_mapping_that_somebody_else_changes_meanwhile_is_a_conflict(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any]
) -> None:
    (call,) = SOURCES.calls(scope, None, wanted(EventSource(QUEUE, batch_size=5)))
    call.send()
    (mapping,) = emulator.region().event_sources.values()
    mapping["BatchSize"] = 6
    assert call.settled is not None
    with pytest.raises(DeployConflict, match="somebody else changed the event source"):
        call.settled()


def test_a_queue_has_to_be_there(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    emulator.behaviour.strict_world = True
    state = wanted(EventSource(QUEUE))
    with pytest.raises(ClientError, match="NonExistentQueue"):
        go("event_sources", scope, None, state)
    scope.aws.client("sqs").create_queue(QueueName="jobs")
    go("event_sources", scope, None, state)
    assert SOURCES.observe(scope, state) == state


def test_many_mappings_are_read_page_by_page(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any]
) -> None:
    for number in range(120):
        by_hand(scope, EventSourceArn=f"{QUEUE}-{number:03}")
    state = wanted(*(EventSource(f"{QUEUE}-{number:03}") for number in range(120)))
    assert SOURCES.observe(scope, state) == state


def test_sources_of_one_name_are_called_by_all_of_their_arn(wanted: Callable[..., Any]) -> None:
    other = QUEUE.replace("123456789012", "210987654321")
    changes = SOURCES.changes(None, wanted(EventSource(QUEUE), EventSource(other)))
    assert [change.field for change in changes] == [f"event_sources.{QUEUE}", f"event_sources.{other}"]


def test_only_what_differs_is_sent_and_what_is_empty_is_cleared(wanted: Callable[..., Any]) -> None:
    full = EventSource(STREAM, on_failure=QUEUE, filters=FILTERS, max_concurrency=3, batch_size=5)
    (before,), (after,) = wanted(full), wanted(EventSource(STREAM))
    assert update_request(before, after) == {
        "DestinationConfig": {"OnFailure": {"Destination": ""}},
        "FilterCriteria": {"Filters": []},
        "ScalingConfig": {},
    }


@pytest.mark.parametrize(
    "answer", [{}, {"Topics": "x", "FilterCriteria": [], "ScalingConfig": 3, "Queues": [4]}]
)
def test_an_answer_without_sense_is_read(answer: dict[str, Any], wanted: Callable[..., Any]) -> None:
    found = read_mapping(answer)
    assert found.source.topics == () and found.qualifier == ""
    (state,) = wanted(EventSource(QUEUE))
    assert in_terms_of(found, state) != state


ALL = pytest.mark.parametrize(
    "source", [BROKER, CHANGES, OWN, MANAGED], ids=["mq", "documents", "own", "msk"]
)


@ALL
def test_what_needs_endpoints_or_secrets_is_made_and_read_back_equal(
    scope: Scope, wanted: Callable[..., Any], go: Callable[..., None], source: EventSource
) -> None:
    state = wanted(source)
    assert SOURCES.observe(scope, state) is None
    go("event_sources", scope, None, state, times=2)
    assert SOURCES.observe(scope, state) == state
    (listed,) = scope.aws.lambda_().list_event_source_mappings(FunctionName="render:live")[
        "EventSourceMappings"
    ]
    read = read_mapping(listed).source  # as `adopt` reads it
    assert (read.servers, read.access, read.topics, read.queues) == (
        source.servers,
        source.access,
        source.topics,
        source.queues,
    )
    assert (read.database, read.collection, read.full_document) == (
        source.database,
        source.collection,
        source.full_document,
    )


@ALL
def test_a_secret_is_changed_and_changed_back_and_the_mapping_removed(
    emulator: Emulator,
    scope: Scope,
    wanted: Callable[..., Any],
    go: Callable[..., None],
    source: EventSource,
) -> None:
    old = wanted(source)
    go("event_sources", scope, None, old)
    (uuid,) = emulator.region().event_sources
    access = tuple(replace(one, uri=f"{SECRET}-2") if one.uri == SECRET else one for one in source.access)
    new = wanted(replace(source, access=access))
    found = SOURCES.observe(scope, new)
    (change,) = SOURCES.changes(found, new)
    assert change.field.endswith(".access")
    assert change.before is not None and SECRET in change.before
    assert change.after is not None and f"{SECRET}-2" in change.after
    go("event_sources", scope, found, new)
    assert SOURCES.observe(scope, new) == new
    go("event_sources", scope, new, found)
    assert SOURCES.observe(scope, old) == old
    assert list(emulator.region().event_sources) == [uuid]
    go("event_sources", scope, old, None)
    assert emulator.region().event_sources == {}
    go("event_sources", scope, None, found)
    assert SOURCES.observe(scope, old) == old


def test_access_and_servers_are_compared_in_any_order(
    scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    go("event_sources", scope, None, wanted(OWN))
    turned = wanted(replace(OWN, servers=OWN.servers[::-1], access=OWN.access[::-1]))
    assert SOURCES.observe(scope, turned) == turned


def test_access_that_is_not_written_is_left_as_it_is(
    scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    go("event_sources", scope, None, wanted(MANAGED))
    bare = wanted(replace(MANAGED, access=()))
    assert SOURCES.observe(scope, bare) == bare


def test_access_that_was_added_is_taken_back(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    go("event_sources", scope, None, wanted(replace(MANAGED, access=())))
    state = wanted(MANAGED)
    found = SOURCES.observe(scope, state)
    go("event_sources", scope, found, state)
    assert SOURCES.observe(scope, state) == state
    go("event_sources", scope, state, found)
    (mapping,) = emulator.region().event_sources.values()
    assert "SourceAccessConfigurations" not in mapping


@pytest.mark.parametrize("before", ["", "Default"])
def test_whole_documents_are_asked_for_and_not_any_more(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None], before: Any
) -> None:
    go("event_sources", scope, None, wanted(replace(CHANGES, full_document=before)))
    left = wanted(replace(CHANGES, full_document="Default"))
    assert SOURCES.observe(scope, left) == left
    state = wanted(CHANGES)
    found = SOURCES.observe(scope, state)
    (change,) = SOURCES.changes(found, state)
    assert (change.field, change.after) == ("event_sources.docs.full_document", "UpdateLookup")
    go("event_sources", scope, found, state)
    (mapping,) = emulator.region().event_sources.values()
    config = {"DatabaseName": "shop", "CollectionName": "orders"}
    assert mapping["DocumentDBEventSourceConfig"] == {**config, "FullDocument": "UpdateLookup"}
    go("event_sources", scope, state, found)
    assert mapping["DocumentDBEventSourceConfig"] == {**config, "FullDocument": "Default"}


@pytest.mark.parametrize(
    ("source", "other"),
    [
        (BROKER, replace(BROKER, access=(BASIC,))),
        (CHANGES, replace(CHANGES, collection="")),
        (CHANGES, replace(CHANGES, database="archive")),
        (OWN, replace(OWN, servers=OWN.servers[:1])),
    ],
    ids=["virtual host", "collection", "database", "servers"],
)
def test_what_cannot_be_changed_is_another_mapping(
    emulator: Emulator,
    scope: Scope,
    wanted: Callable[..., Any],
    go: Callable[..., None],
    source: EventSource,
    other: EventSource,
) -> None:
    go("event_sources", scope, None, wanted(source))
    (first,) = emulator.region().event_sources
    state = wanted(other)
    found = SOURCES.observe(scope, state)
    changes = SOURCES.changes(found, state)
    assert sorted((change.before is None, change.after is None) for change in changes) == [
        (False, True),
        (True, False),
    ]
    assert len({change.field for change in changes}) == 2
    go("event_sources", scope, found, state)
    (second,) = emulator.region().event_sources
    assert first != second
    assert SOURCES.observe(scope, state) == state
    go("event_sources", scope, state, found)
    assert SOURCES.observe(scope, wanted(source)) == wanted(source)


def test_a_virtual_host_of_rabbitmqs_own_needs_no_name(
    scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    named = replace(BROKER, access=(BASIC, SourceAccess("VIRTUAL_HOST", "/")))
    go("event_sources", scope, None, wanted(named))
    bare = wanted(replace(BROKER, access=(BASIC,)))
    assert SOURCES.observe(scope, bare) == bare


def test_a_cluster_of_ones_own_is_named_by_topic_and_servers(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any]
) -> None:
    (change,) = SOURCES.changes(None, wanted(OWN))
    assert change.field == "event_sources.orders"
    assert change.after is not None and f"access SASL_SCRAM_512_AUTH {SECRET}" in change.after
    (call,) = SOURCES.calls(scope, None, wanted(OWN))
    call.send()
    (mapping,) = emulator.region().event_sources.values()
    mapping["SourceAccessConfigurations"] = []
    assert call.settled is not None
    with pytest.raises(DeployConflict, match=r"the event source orders of b\.example\.com:9092, a\.example"):
        call.settled()
