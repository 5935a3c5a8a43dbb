from __future__ import annotations

from typing import Any

import pytest

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
FIFO = f"{QUEUE}.fifo"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
MSK = "arn:aws:kafka:eu-west-1:123456789012:cluster/c/1"
MQ = "arn:aws:mq:eu-west-1:123456789012:broker:b:1"
DOCUMENTS = "arn:aws:rds:eu-west-1:123456789012:cluster:docs"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:broker-a1b2c3"
BASIC = {"Type": "BASIC_AUTH", "URI": SECRET}
SCRAM = {"Type": "SASL_SCRAM_512_AUTH", "URI": SECRET}
NETWORK = [
    {"Type": "VPC_SUBNET", "URI": "subnet:subnet-1"},
    {"Type": "VPC_SECURITY_GROUP", "URI": "security_group:sg-1"},
]
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"


def _create(here: Any, source: str = QUEUE, **request: Any) -> Any:
    return here.call(
        "CreateEventSourceMapping", **{"FunctionName": "orders", "EventSourceArn": source, **request}
    )


def _refused(here: Any, source: str = QUEUE, **request: Any) -> Any:
    return here.refused(
        "CreateEventSourceMapping", **{"FunctionName": "orders", "EventSourceArn": source, **request}
    )


def _own(here: Any, *access: dict[str, str], servers: tuple[str, ...] = ("a:1", "b:1"), **more: Any) -> Any:
    """Ask for a mapping of a Kafka cluster of one's own."""
    request = {
        "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": list(servers)}},
        "Topics": ["orders"],
        "StartingPosition": "LATEST",
        "SourceAccessConfigurations": list(access),
    }
    return {"FunctionName": "orders", **request, **more}


def _state(here: Any, uuid: str) -> Any:
    return here.call("GetEventSourceMapping", UUID=uuid)["State"]


def test_a_mapping_is_created_enabled_changed_and_deleted_in_time(here: Any) -> None:
    function = here.add("orders", live="$LATEST")
    here.behaviour.reads = here.behaviour.deletion_reads = 1
    made = _create(here, FunctionName="orders:live")
    uuid = made["UUID"]
    assert made["State"] == "Creating" and made["FunctionArn"] == f"{function.arn}:live"
    assert made["BatchSize"] == 10 and made["EventSourceMappingArn"].endswith(uuid)
    assert not [name for name in made if name.startswith("_")]
    refusal = here.refused("UpdateEventSourceMapping", UUID=uuid, BatchSize=5)
    assert (refusal.code, refusal.status) == ("ResourceInUseException", 400)
    assert [_state(here, uuid) for _ in range(3)] == ["Creating", "Enabled", "Enabled"]
    assert here.call("UpdateEventSourceMapping", UUID=uuid, BatchSize=5)["State"] == "Updating"
    assert [_state(here, uuid) for _ in range(2)] == ["Updating", "Enabled"]
    assert here.call("UpdateEventSourceMapping", UUID=uuid, Enabled=False)["State"] == "Disabling"
    assert [_state(here, uuid) for _ in range(2)] == ["Disabling", "Disabled"]
    assert here.call("GetEventSourceMapping", UUID=uuid)["BatchSize"] == 5
    assert here.call("DeleteEventSourceMapping", UUID=uuid)["State"] == "Deleting"
    assert here.refused("DeleteEventSourceMapping", UUID=uuid).code == "ResourceInUseException"
    assert _state(here, uuid) == "Deleting"
    refusal = here.refused("GetEventSourceMapping", UUID=uuid)
    assert (refusal.status, refusal.message) == (404, "The resource you requested does not exist.")


def test_nothing_takes_time_by_default(here: Any) -> None:
    here.add("orders")
    uuid = _create(here, Enabled=False)["UUID"]
    assert here.call("UpdateEventSourceMapping", UUID=uuid, Enabled=True)["State"] == "Enabling"
    assert _state(here, uuid) == "Enabled"
    here.call("DeleteEventSourceMapping", UUID=uuid)
    assert here.call("ListEventSourceMappings") == {"EventSourceMappings": []}


def test_a_source_feeds_a_function_once(here: Any) -> None:
    here.add("orders", live="$LATEST")
    uuid = _create(here)["UUID"]
    _create(here, FunctionName="orders:live")
    refusal = _refused(here)
    assert (refusal.code, refusal.message) == (
        "ResourceConflictException",
        (
            f'An event source mapping with SQS arn (" {QUEUE} ") and function (" orders ") already exists. '
            f"Please update or delete the existing mapping with UUID {uuid}"
        ),
    )
    _create(here, STREAM, StartingPosition="LATEST")
    assert _refused(here, STREAM, StartingPosition="LATEST").message.startswith(
        f'The event source arn (" {STREAM} ") and function (" orders ") provided mapping already exists.'
    )


def test_the_function_and_what_of_it_is_named_exist(here: Any) -> None:
    here.add("orders")
    assert _refused(here, FunctionName="gone").message == "Function does not exist"
    assert _refused(here, FunctionName="orders:live").status == 404


@pytest.mark.parametrize(
    ("source", "request_", "words"),
    [
        (QUEUE, {"StartingPosition": "LATEST"}, "StartingPosition is not valid for SQS event sources."),
        (QUEUE, {"BatchSize": 11}, "Maximum batch window in seconds must be greater than 0"),
        (FIFO, {"BatchSize": 11}, "less than or equal to 10"),
        (FIFO, {"MaximumBatchingWindowInSeconds": 5}, "Batching window is not supported for FIFO queues"),
        (QUEUE, {"BisectBatchOnFunctionError": True}, "BisectBatchOnFunctionError is not valid"),
        (QUEUE, {"DestinationConfig": {"OnFailure": {"Destination": FIFO}}}, "Unsupported DestinationConfig"),
        (STREAM, {}, "Value null at 'startingPosition'"),
        (STREAM, {"StartingPosition": "AT_TIMESTAMP"}, "StartingPositionTimestamp is required"),
        (TABLE, {"StartingPosition": "AT_TIMESTAMP"}, "Unsupported starting position for arn type"),
        (STREAM, {"StartingPosition": "LATEST", "MaximumRecordAgeInSeconds": 5}, "must be -1 or between"),
        (STREAM, {"StartingPosition": "LATEST", "ScalingConfig": {"MaximumConcurrency": 2}}, "ScalingConfig"),
        (
            STREAM,
            {"StartingPosition": "LATEST", "DestinationConfig": {"OnSuccess": {"Destination": QUEUE}}},
            "Unsupported DestinationConfig",
        ),
        (QUEUE.replace("eu-west-1", "us-east-1"), {}, "same region"),
        ("arn:aws:s3:::bucket", {}, "Unrecognized event source."),
        (QUEUE, {"Topics": ["a"]}, "Topics is not valid"),
        ("arn:aws:kafka:eu-west-1:123456789012:cluster/c/1", {"StartingPosition": "LATEST"}, "'topics'"),
        ("arn:aws:mq:eu-west-1:123456789012:broker:b:1", {}, "'queues'"),
    ],
)
def test_what_a_source_does_not_have_is_refused(
    here: Any, source: str, request_: dict[str, Any], words: str
) -> None:
    here.add("orders")
    refusal = _refused(here, source, **request_)
    assert words in refusal.message
    assert (refusal.code, refusal.status) == ("InvalidParameterValueException", 400)


def test_what_sources_have_is_taken_and_shown(here: Any) -> None:
    here.add("orders")
    wanted = {
        "BatchSize": 10_000,
        "MaximumBatchingWindowInSeconds": 5,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": 2},
    }
    assert _create(here, **wanted).items() >= wanted.items()
    wanted = {
        "StartingPosition": "TRIM_HORIZON",
        "ParallelizationFactor": 2,
        "DestinationConfig": {"OnFailure": {"Destination": QUEUE}},
        "MaximumRetryAttempts": 3,
    }
    made = _create(here, TABLE, **wanted)
    assert made.items() >= wanted.items()
    assert (made["BatchSize"], made["MaximumRecordAgeInSeconds"]) == (100, -1)
    _create(here, FIFO, BatchSize=10)


def test_an_update_is_judged_together_with_what_is_there(here: Any) -> None:
    here.add("orders")
    uuid = _create(here, BatchSize=100, MaximumBatchingWindowInSeconds=5)["UUID"]
    refusal = here.refused("UpdateEventSourceMapping", UUID=uuid, MaximumBatchingWindowInSeconds=0)
    assert "must be greater than 0" in refusal.message
    here.call("UpdateEventSourceMapping", UUID=uuid, BatchSize=10, MaximumBatchingWindowInSeconds=0)
    stream = _create(here, STREAM, StartingPosition="LATEST")["UUID"]
    updated = here.call("UpdateEventSourceMapping", UUID=stream, ParallelizationFactor=4)
    assert (updated["ParallelizationFactor"], updated["StartingPosition"]) == (4, "LATEST")


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ('{"body":{"kind":["order"]}}', True),
        ('{"body":{"total":[{"numeric":[">",5]}]}}', True),
        ('{"$or":[{"a":[1]},{"b":[2]}]}', True),
        ('{"body":"order"}', False),
        ('{"body":[]}', False),
        ("{}", False),
        ("[1]", False),
        ("{", False),
        ("[" * 100_000, False),
        ('{"a":' * 2_000 + "[1]" + "}" * 2_000, False),
    ],
    ids=range(10),
)
def test_filters_are_patterns_of_events(here: Any, pattern: str, fits: bool) -> None:
    here.add("orders")
    criteria = {"Filters": [{"Pattern": pattern}]}
    if fits:
        assert _create(here, FilterCriteria=criteria)["FilterCriteria"] == criteria
    else:
        assert _refused(here, FilterCriteria=criteria).message == "Invalid filter pattern definition."


def test_filters_are_few_and_can_be_removed(here: Any) -> None:
    here.add("orders")
    one = {"Pattern": '{"a":[1]}'}
    assert "no more than 5" in _refused(here, FilterCriteria={"Filters": [one] * 6}).message
    uuid = _create(here, FilterCriteria={"Filters": [one]})["UUID"]
    assert "FilterCriteria" not in here.call("UpdateEventSourceMapping", UUID=uuid, FilterCriteria={})


def test_a_source_exists_in_a_strict_world(here: Any) -> None:
    here.add("orders")
    here.world.there.update(queue=set(), stream=set(), table={TABLE})
    assert "AWS.SimpleQueueService.NonExistentQueue" in _refused(here).message
    assert _refused(here, STREAM, StartingPosition="LATEST").message == f"Stream not found: {STREAM}"
    _create(here, TABLE, StartingPosition="LATEST")
    here.behaviour.strict_world = False
    _create(here)


def test_a_function_is_done_before_its_queue_shows_the_message_again(here: Any) -> None:
    function = here.add("orders")
    function.latest.configuration["Timeout"] = 60
    here.world.visibility[QUEUE] = 30
    assert _refused(here).message == (
        "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds"
    )
    here.world.visibility[QUEUE] = 60
    _create(here)


def test_mappings_are_listed_by_function_and_by_source(here: Any) -> None:
    here.add("orders", live="$LATEST")
    here.add("bills")
    first = _create(here)["UUID"]
    second = _create(here, FunctionName="orders:live")["UUID"]
    third = _create(here, STREAM, FunctionName="bills", StartingPosition="LATEST")["UUID"]

    def listed(**request: Any) -> list[str]:
        found = here.call("ListEventSourceMappings", **request)["EventSourceMappings"]
        return [one["UUID"] for one in found]

    assert listed() == sorted([first, second, third])
    assert listed(FunctionName="orders") == [first]
    assert listed(FunctionName="orders:live") == [second]
    assert listed(EventSourceArn=STREAM) == [third]
    assert listed(EventSourceArn=STREAM, FunctionName="orders") == []


def test_mappings_stay_when_their_function_goes(here: Any) -> None:
    here.add("orders")
    uuid = _create(here)["UUID"]
    del here.region.functions["orders"]
    assert _state(here, uuid) == "Enabled"
    assert (
        here.refused("UpdateEventSourceMapping", UUID=uuid, BatchSize=1).message == "Function does not exist"
    )
    here.call("DeleteEventSourceMapping", UUID=uuid)


BROKER = {"Queues": ["q"], "SourceAccessConfigurations": [BASIC]}
CHANGES = {
    "StartingPosition": "LATEST",
    "DocumentDBEventSourceConfig": {"DatabaseName": "shop"},
    "SourceAccessConfigurations": [BASIC],
}
TOPIC = {"StartingPosition": "LATEST", "Topics": ["orders"]}


def _with(request: dict[str, Any], *access: dict[str, str]) -> dict[str, Any]:
    return {**request, "SourceAccessConfigurations": list(access)}


@pytest.mark.parametrize(
    ("source", "request_", "words"),
    [
        (MQ, {"Queues": ["q"]}, "Required 'sourceAccessConfigurations' parameter is missing."),
        (MQ, _with(BROKER, {"Type": "VIRTUAL_HOST", "URI": "/"}), "BASIC_AUTH is required for MQ"),
        (MQ, _with(BROKER, SCRAM), "type SASL_SCRAM_512_AUTH is not valid for MQ"),
        (MQ, _with(BROKER, BASIC, BASIC), "can be specified once"),
        (MQ, _with(BROKER, {"Type": "BASIC_AUTH"}), "URI is required for BASIC_AUTH"),
        (MQ, _with(BROKER, {"Type": "BASIC_AUTH", "URI": "hunter2"}), "Invalid URI for BASIC_AUTH"),
        (MQ, {**BROKER, **TOPIC, "StartingPosition": None}, "Topics is not valid for MQ"),
        (MQ, {**BROKER, "DocumentDBEventSourceConfig": {"DatabaseName": "a"}}, "DocumentDBEventSourceConfig"),
        (DOCUMENTS, {"StartingPosition": "LATEST"}, "'databaseName'"),
        (DOCUMENTS, _with(CHANGES), "'sourceAccessConfigurations'"),
        (DOCUMENTS, {**CHANGES, "Queues": ["q"]}, "Queues is not valid for DocumentDB"),
        (DOCUMENTS, {**CHANGES, "MaximumRetryAttempts": 1}, "MaximumRetryAttempts is not valid"),
        (MSK, _with(TOPIC, BASIC), "type BASIC_AUTH is not valid for MSK"),
        (
            MSK,
            _with(TOPIC, SCRAM, {"Type": "CLIENT_CERTIFICATE_TLS_AUTH", "URI": SECRET}),
            "Only one of CLIENT_CERTIFICATE_TLS_AUTH, SASL_SCRAM_512_AUTH",
        ),
        (MSK, {**TOPIC, "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"}}, "SelfManagedKafka"),
        (MSK, {**TOPIC, "TumblingWindowInSeconds": 1}, "TumblingWindowInSeconds is not valid"),
        (QUEUE, _with({}, BASIC), "type BASIC_AUTH is not valid for SQS"),
        (QUEUE, _own(None, BASIC), "must not be specified together"),
    ],
)
def test_brokers_and_clusters_are_reached_as_they_want(
    here: Any, source: str, request_: dict[str, Any], words: str
) -> None:
    here.add("orders")
    request = {name: value for name, value in request_.items() if value is not None}
    assert words in _refused(here, source, **request).message


@pytest.mark.parametrize(
    ("access", "words"),
    [
        ((), "'sourceAccessConfigurations'"),
        (NETWORK[:1], "VPC_SUBNET and VPC_SECURITY_GROUP must be specified together"),
        (({"Type": "SERVER_ROOT_CA_CERTIFICATE", "URI": SECRET},), "An authentication method is required"),
        (({"Type": "VIRTUAL_HOST", "URI": "/"},), "VIRTUAL_HOST is not valid for Kafka"),
        (({"Type": "IAM_AUTH", "URI": "a"},), "URI is not valid for IAM_AUTH"),
        (({"Type": "VPC_SUBNET", "URI": "subnet-1"}, NETWORK[1]), "Invalid URI for VPC_SUBNET: subnet-1"),
        (({"Type": "IAM_OAUTHBEARER_AUTH"},), "requires OAUTHBEARER_AUDIENCE"),
        (({"Type": "IAM_AUTH"}, {"Type": "OAUTHBEARER_SCOPE", "URI": "a"}), "requires OAUTHBEARER_AUTH"),
    ],
)
def test_a_kafka_cluster_of_ones_own_is_reached_somehow(here: Any, access: Any, words: str) -> None:
    here.add("orders")
    assert words in here.refused("CreateEventSourceMapping", **_own(here, *access)).message


def test_what_brokers_and_clusters_have_is_taken_and_shown(here: Any) -> None:
    here.add("orders")
    host = {"Type": "VIRTUAL_HOST", "URI": "/shop"}
    made = [
        (MQ, _with(BROKER, BASIC, host)),
        (DOCUMENTS, CHANGES),
        (MSK, {**_with(TOPIC, SCRAM), "MaximumRetryAttempts": 2, "BisectBatchOnFunctionError": True}),
    ]
    for source, wanted in made:
        assert _create(here, source, **wanted).items() >= wanted.items()
    own = _own(here, SCRAM, *NETWORK, FunctionResponseTypes=["ReportBatchItemFailures"])
    shown = here.call("CreateEventSourceMapping", **own)
    assert shown["SelfManagedEventSource"] == own["SelfManagedEventSource"]
    assert len(shown["SourceAccessConfigurations"]) == 3
    here.call(
        "CreateEventSourceMapping",
        **_own(
            here,
            {"Type": "IAM_OAUTHBEARER_AUTH"},
            {"Type": "OAUTHBEARER_AUDIENCE", "URI": "a"},
            Topics=["bills"],
        ),
    )


def test_a_virtual_host_stays_and_cannot_be_sent_again(here: Any) -> None:
    here.add("orders")
    host = {"Type": "VIRTUAL_HOST", "URI": "/shop"}
    uuid = _create(here, MQ, **_with(BROKER, BASIC, host))["UUID"]
    refusal = here.refused("UpdateEventSourceMapping", UUID=uuid, SourceAccessConfigurations=[BASIC, host])
    assert refusal.message == "Invalid parameters: VIRTUAL_HOST"
    other = {"Type": "BASIC_AUTH", "URI": f"{SECRET}-2"}
    changed = here.call("UpdateEventSourceMapping", UUID=uuid, SourceAccessConfigurations=[other])
    assert changed["SourceAccessConfigurations"] == [other, host]
    assert (
        "is required"
        in here.refused("UpdateEventSourceMapping", UUID=uuid, SourceAccessConfigurations=[]).message
    )


def test_one_broker_or_cluster_has_a_mapping_for_each_thing_in_it(here: Any) -> None:
    here.add("orders")
    host = {"Type": "VIRTUAL_HOST", "URI": "/shop"}
    collection = {"DatabaseName": "shop", "CollectionName": "orders"}
    for source, request in [
        (MQ, BROKER),
        (MQ, {**BROKER, "Queues": ["other"]}),
        (MQ, _with(BROKER, BASIC, host)),
        (DOCUMENTS, CHANGES),
        (DOCUMENTS, {**CHANGES, "DocumentDBEventSourceConfig": collection}),
    ]:
        _create(here, source, **request)
        assert _refused(here, source, **request).code == "ResourceConflictException"
    here.call("CreateEventSourceMapping", **_own(here, SCRAM))
    here.call("CreateEventSourceMapping", **_own(here, SCRAM, servers=("c:1",)))
    again = _own(here, SCRAM, servers=("b:1", "a:1"))
    assert here.refused("CreateEventSourceMapping", **again).code == "ResourceConflictException"
