from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.deploy.desired import DesiredFunction, desired_state
from planton_build.deploy.role.policy import role_policy
from planton_build.deploy.role.statement import partition_of
from planton_build.manifest.code_source import S3Source
from planton_build.manifest.document import Manifest
from planton_build.settings.model import (
    OFF,
    AsyncInvocation,
    DeploySettings,
    EventSource,
    FileSystem,
    Logging,
    RoleSettings,
    SourceAccess,
)

ACCOUNT, REGION = "123456789012", "eu-west-1"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:jobs"
GROUP = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/render"


def statements(manifest: Manifest, **written: Any) -> dict[str, dict[str, Any]]:
    """The statements of a function's policy, by Sid."""
    policy = role_policy(desired_state(manifest, DeploySettings(**written)), ACCOUNT, REGION)
    return {one.sid: dict(one.document) for one in policy.statements}


def test_a_plain_function_may_write_its_own_logs_and_nothing_else(manifest: Callable[..., Manifest]) -> None:
    assert statements(manifest()) == {
        "WriteLogs": {
            "Sid": "WriteLogs",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": f"{GROUP}:*",
        },
        "CreateLogGroup": {
            "Sid": "CreateLogGroup",
            "Effect": "Allow",
            "Action": "logs:CreateLogGroup",
            "Resource": [GROUP, f"{GROUP}:*"],
        },
    }


@pytest.mark.parametrize("retention", [30, OFF])
def test_a_log_group_that_is_made_for_it_needs_no_right_to_make_it(
    manifest: Callable[..., Manifest], retention: object
) -> None:
    assert list(statements(manifest(), log_retention=retention)) == ["WriteLogs"]


def test_logs_go_to_the_group_that_is_configured(manifest: Callable[..., Manifest]) -> None:
    found = statements(manifest(), logging=Logging(group="/acme/shared"))
    assert found["WriteLogs"]["Resource"].endswith(":log-group:/acme/shared:*")


def test_only_a_function_with_subnets_may_make_interfaces(manifest: Callable[..., Manifest]) -> None:
    found = statements(manifest(subnets="[{value: subnet-a}]"))
    assert found["ConnectToVpc"]["Resource"] == "*"
    assert "ec2:CreateNetworkInterface" in found["ConnectToVpc"]["Action"]
    kept = found["KeepCodeFromTheVpc"]
    assert kept["Effect"] == "Deny"
    assert kept["Condition"] == {
        "ArnEquals": {
            "lambda:SourceFunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:render",
        }
    }


def test_what_the_user_allows_the_code_in_ec2_is_not_denied(manifest: Callable[..., Manifest]) -> None:
    own = {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}
    found = statements(manifest(subnets="[{value: subnet-a}]"), role=RoleSettings((own,)))
    assert "ec2:DescribeNetworkInterfaces" not in found["KeepCodeFromTheVpc"]["Action"]
    assert "ec2:DeleteNetworkInterface" in found["KeepCodeFromTheVpc"]["Action"]


@pytest.mark.parametrize(("mode", "traced"), [("Active", True), ("PassThrough", False), (None, False)])
def test_traces_are_sent_only_when_tracing_is_on(
    manifest: Callable[..., Manifest], mode: str | None, traced: bool
) -> None:
    assert ("SendTraces" in statements(manifest(), tracing=mode)) is traced


@pytest.mark.parametrize(
    ("written", "sid", "actions", "resources"),
    [
        ({"dead_letter": QUEUE}, "SendToQueues", "sqs:SendMessage", QUEUE),
        (
            {"dead_letter": "arn:aws:sns:eu-west-1:123456789012:alerts"},
            "PublishToTopics",
            "sns:Publish",
            "arn:aws:sns:eu-west-1:123456789012:alerts",
        ),
        (
            {"asynchronous": AsyncInvocation(on_success="arn:aws:lambda:eu-west-1:123456789012:function:x")},
            "InvokeFunctions",
            "lambda:InvokeFunction",
            "arn:aws:lambda:eu-west-1:123456789012:function:x",
        ),
        (
            {"asynchronous": AsyncInvocation(on_failure="arn:aws:s3:::failed")},
            "PutObjects",
            "s3:PutObject",
            "arn:aws:s3:::failed/*",
        ),
        (
            {"event_sources": (EventSource(QUEUE),)},
            "ReadQueues",
            ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
            QUEUE,
        ),
        (
            {"event_sources": (EventSource("arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"),)},
            "ReadStreams",
            [
                "kinesis:DescribeStream",
                "kinesis:DescribeStreamSummary",
                "kinesis:GetRecords",
                "kinesis:GetShardIterator",
                "kinesis:ListShards",
            ],
            "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
        ),
        (
            {"event_sources": (EventSource("arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2026"),)},
            "ReadTableStreams",
            ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"],
            "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2026",
        ),
        (
            {
                "event_sources": (
                    EventSource("arn:aws:mq:eu-west-1:123456789012:broker:b:b-1", queues=("q",)),
                )
            },
            "ReadBrokers",
            "mq:DescribeBroker",
            "arn:aws:mq:eu-west-1:123456789012:broker:b:b-1",
        ),
    ],
)
def test_a_right_for_one_thing_is_for_that_thing_alone(
    manifest: Callable[..., Manifest], written: dict[str, Any], sid: str, actions: object, resources: object
) -> None:
    found = statements(manifest(), **written)[sid]
    assert (found["Action"], found["Resource"]) == (actions, resources)


def test_a_consumer_of_a_stream_is_subscribed_and_its_stream_read(manifest: Callable[..., Manifest]) -> None:
    stream = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
    found = statements(manifest(), event_sources=(EventSource(f"{stream}/consumer/me:1"),))
    assert found["ReadStreams"]["Resource"] == stream
    assert found["SubscribeToStreams"]["Resource"] == f"{stream}/consumer/me:1"


def test_kafka_topics_and_groups_are_named(manifest: Callable[..., Manifest]) -> None:
    place = "arn:aws:kafka:eu-west-1:123456789012"
    source = EventSource(f"{place}:cluster/c/1", topics=("orders",), consumer_group="billing")
    found = statements(manifest(), event_sources=(source,))
    assert found["ReadTopics"]["Resource"] == [
        f"{place}:cluster/c/1",
        f"{place}:group/c/1/billing",
        f"{place}:topic/c/1/orders",
    ]
    assert found["ReachBrokers"]["Resource"] == "*"


SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:broker-a1b2c3"
SCRAM = SourceAccess("SASL_SCRAM_512_AUTH", SECRET)
NETWORK = (
    SourceAccess("VPC_SUBNET", "subnet:subnet-1"),
    SourceAccess("VPC_SECURITY_GROUP", "security_group:sg-1"),
)


def own(*access: SourceAccess) -> EventSource:
    return EventSource("", servers=("kafka:9092",), topics=("orders",), access=access)


@pytest.mark.parametrize(
    ("source", "sids"),
    [
        (
            EventSource(
                "arn:aws:mq:eu-west-1:123456789012:broker:b:b-1",
                queues=("q",),
                access=(SourceAccess("BASIC_AUTH", SECRET), SourceAccess("VIRTUAL_HOST", "/shop")),
            ),
            ["ReadBrokers", "ReachBrokers", "ReadSecrets"],
        ),
        (
            EventSource(
                "arn:aws:rds:eu-west-1:123456789012:cluster:docs",
                database="shop",
                access=(SourceAccess("BASIC_AUTH", SECRET),),
            ),
            ["ReadChanges", "ReachBrokers", "ReadSecrets"],
        ),
        (
            EventSource(
                "arn:aws:kafka:eu-west-1:123456789012:cluster/c/1", topics=("orders",), access=(SCRAM,)
            ),
            ["FindClusters", "ReachBrokers", "ReadSecrets"],
        ),
        (own(SCRAM), ["ReadSecrets"]),
        (own(*NETWORK), ["ReachBrokers"]),
        (own(SourceAccess("SERVER_ROOT_CA_CERTIFICATE", SECRET), *NETWORK), ["ReachBrokers", "ReadSecrets"]),
    ],
    ids=["mq", "documents", "msk", "own", "own in a vpc", "own in a vpc with a certificate"],
)
def test_a_secret_is_read_and_a_vpc_reached_where_a_source_wants_it(
    manifest: Callable[..., Manifest], source: EventSource, sids: list[str]
) -> None:
    found = statements(manifest(), log_retention=30, event_sources=(source,))
    assert list(found) == ["WriteLogs", *sids]
    if "ReadSecrets" in sids:
        read = found["ReadSecrets"]
        assert (read["Action"], read["Resource"]) == ("secretsmanager:GetSecretValue", SECRET)
    policy = role_policy(desired_state(manifest(), DeploySettings(event_sources=(source,))), ACCOUNT, REGION)
    assert policy.notes == ()


def test_what_a_cluster_asks_of_a_role_that_logs_in_is_not_known(manifest: Callable[..., Manifest]) -> None:
    desired = desired_state(manifest(), DeploySettings(event_sources=(own(SourceAccess("IAM_AUTH")),)))
    (note,) = role_policy(desired, ACCOUNT, REGION).notes
    assert note.startswith("what orders of kafka:9092 asks of a role that logs in by IAM_AUTH is not known")


def test_files_are_mounted_through_their_access_point_only(manifest: Callable[..., Manifest]) -> None:
    point = "arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/fsap-1"
    found = statements(manifest(), file_systems=(FileSystem(point, "/mnt/data"),))["MountFiles"]
    assert found["Resource"] == "arn:aws:elasticfilesystem:eu-west-1:123456789012:file-system/*"
    assert found["Condition"] == {"StringEquals": {"elasticfilesystem:AccessPointArn": point}}


def test_the_key_of_the_environment_may_be_used(manifest: Callable[..., Manifest]) -> None:
    key = "arn:aws:kms:eu-west-1:123456789012:key/1"
    assert statements(manifest(kmsKeyArn=f"{{value: '{key}'}}"))["DecryptEnvironment"]["Resource"] == key


def test_several_purposes_of_one_action_are_one_statement(manifest: Callable[..., Manifest]) -> None:
    other = QUEUE + "-2"
    policy = role_policy(
        desired_state(
            manifest(),
            DeploySettings(dead_letter=other, asynchronous=AsyncInvocation(on_failure=QUEUE)),
        ),
        ACCOUNT,
        REGION,
    )
    found = next(one for one in policy.statements if one.sid == "SendToQueues")
    assert found.resources == (QUEUE, other)
    assert found.reason == "dead letters, asynchronous invocations that fail"


def test_statements_of_the_user_come_last_and_as_they_are(manifest: Callable[..., Manifest]) -> None:
    own = {
        "Sid": "WriteLogs",
        "Effect": "Allow",
        "Action": ["s3:GetObject"],
        "Resource": ["arn:aws:s3:::b/*"],
    }
    nameless = {"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::b"}
    found = statements(manifest(), role=RoleSettings((own, nameless)))
    assert list(found) == ["WriteLogsX", "CreateLogGroup", "WriteLogs", "Configured2"]
    assert found["WriteLogs"] == own
    assert found["Configured2"] == {"Sid": "Configured2", **nameless, "Effect": "Allow"}


def test_what_cannot_be_derived_is_said(manifest: Callable[..., Manifest]) -> None:
    desired = desired_state(
        manifest(),
        DeploySettings(
            event_sources=(EventSource("", topics=("orders",)),),
            dead_letter="arn:aws:new:eu-west-1:123456789012:thing",
            file_systems=(FileSystem("arn:aws:s3files:eu-west-1:123456789012:access-point/x", "/mnt/x"),),
        ),
    )
    notes = role_policy(desired, ACCOUNT, REGION).notes
    assert [word in note for word, note in zip(["s3files", "orders", ":new:"], notes, strict=True)] == [
        True,
        True,
        True,
    ]


def test_only_lambda_may_take_the_role(manifest: Callable[..., Manifest]) -> None:
    trust = role_policy(desired_state(manifest()), ACCOUNT, REGION).trust
    (only,) = trust["Statement"]
    assert only["Principal"] == {"Service": "lambda.amazonaws.com"}


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-west-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("us-isob-east-1", "aws-iso-b"),
    ],
)
def test_arns_are_of_the_regions_partition(
    manifest: Callable[..., Manifest], region: str, partition: str
) -> None:
    found = role_policy(desired_state(manifest()), ACCOUNT, region)
    assert partition_of(region) == partition
    assert found.statements[0].resources[0].startswith(f"arn:{partition}:logs:{region}:")


def test_partitions_are_those_of_botocore() -> None:
    import botocore.session

    session = botocore.session.Session()
    for partition in session.get_available_partitions():
        for region in session.get_available_regions("lambda", partition):
            assert partition_of(region) == partition, region


DESIRED = DesiredFunction(
    "render",
    REGION,
    "Zip",
    S3Source("b", "k", None),
    None,
    "arm64",
    "",
    "",
    "",
    "",
    128,
    3,
    {},
    (),
    (),
    (),
    "",
    None,
)
arns = st.sampled_from(
    [
        QUEUE,
        QUEUE + "-2",
        "arn:aws:kinesis:eu-west-1:123456789012:stream/s/consumer/c:1",
        "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/1",
        "arn:aws:kafka:eu-west-1:123456789012:cluster/c/1",
        "",
        "arn:aws:rds:eu-west-1:123456789012:cluster:docs",
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(arns, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_event_sources_changes_no_byte(sources: list[str], random: Any) -> None:
    shuffled = list(sources)
    random.shuffle(shuffled)
    one, other = (
        role_policy(
            replace(DESIRED, settings=DeploySettings(event_sources=tuple(EventSource(arn) for arn in some))),
            ACCOUNT,
            REGION,
        )
        for some in (sources, shuffled)
    )
    assert one.text == other.text
    assert json.loads(one.text) == one.document
    sids = [statement.sid for statement in one.statements]
    assert len(sids) == len(set(sids))
