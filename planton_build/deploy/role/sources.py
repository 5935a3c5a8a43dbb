"""What Lambda needs of a function's role to read event sources and to send on what failed.

The actions are those of the Lambda Developer Guide on each source, without what only the console asks.
"""

from __future__ import annotations

from collections.abc import Iterable

from planton_build.deploy.role.statement import Statement, partition_of, statement
from planton_build.settings.event_sources import identity_of
from planton_build.settings.model import EventSource
from planton_build.settings.source_access import SECRETS, WITHOUT_URI

INTERFACES = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
"""What connects to a VPC (AWS managed policy AWSLambdaVPCAccessExecutionRole, version 3)."""
POLLER_INTERFACES = (
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
)
"""What polls a broker in a VPC (AWS managed policy AWSLambdaMSKExecutionRole; "Using Amazon MQ", "Using
self-managed Apache Kafka")."""
_SECRET = ("secretsmanager:GetSecretValue",)

_QUEUE = ("sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage")
_STREAM = (
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
)
_CONSUMER = ("kinesis:SubscribeToShard",)
_TABLE_STREAM = ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator")
_CLUSTER = ("kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers")
_KAFKA = (
    "kafka-cluster:AlterGroup",
    "kafka-cluster:Connect",
    "kafka-cluster:DescribeClusterDynamicConfiguration",
    "kafka-cluster:DescribeGroup",
    "kafka-cluster:DescribeTopic",
    "kafka-cluster:ReadData",
)
_DOCUMENTS = ("rds:DescribeDBClusterParameters", "rds:DescribeDBClusters", "rds:DescribeDBSubnetGroups")

_EVERYTHING = ("*",)
_EC2_REASON = (
    "EC2 knows Describe actions for all resources only, and the interfaces have no names before they are made"
)


def service_of(arn: str) -> str:
    """Return the service in an ARN, "" when it is none."""
    parts = arn.split(":", 5)
    return parts[2] if len(parts) == 6 and parts[0] == "arn" else ""


def reading(sources: Iterable[EventSource], account: str, region: str) -> tuple[list[Statement], list[str]]:
    """Return the statements by which Lambda may read event sources, and what they cannot tell."""
    sources = list(sources)
    by: dict[str, list[EventSource]] = {}
    for source in sources:
        by.setdefault(service_of(source.source), []).append(source)
    found: list[Statement] = []
    if queues := _arns(by.pop("sqs", [])):
        found.append(statement("ReadQueues", "event sources: queues", _QUEUE, queues))
    found += _streams(_arns(by.pop("kinesis", [])))
    if tables := _arns(by.pop("dynamodb", [])):
        found.append(statement("ReadTableStreams", "event sources: streams of tables", _TABLE_STREAM, tables))
        found.append(
            statement(
                "FindTableStreams",
                "event sources: streams of tables; Lambda lists streams, which is about no one of them",
                ("dynamodb:ListStreams",),
                _EVERYTHING,
            )
        )
    own = [one for one in by.get("", []) if one.servers]
    by[""] = [one for one in by.get("", []) if not one.servers]
    found += _brokers(by, own, account, region)
    if secrets := tuple(way.uri for one in sources for way in one.access if way.type in SECRETS):
        found.append(statement("ReadSecrets", "event sources: logging in there", _SECRET, secrets))
    notes = [
        f"what {', '.join(one.topics)} of {one.servers[0]} asks of a role that logs in by {way.type} is not "
        "known here: allow it under `statements`"
        for one in sorted(own, key=identity_of)
        for way in one.access
        if way.type in WITHOUT_URI
    ]
    if other := sorted(one.source or ", ".join(one.topics) for some in by.values() for one in some):
        notes.append(f"what reading {', '.join(other)} needs is not known here: allow it under `statements`")
    return found, notes


def _brokers(
    by: dict[str, list[EventSource]], own: Iterable[EventSource], account: str, region: str
) -> list[Statement]:
    """Return what finds and reaches the brokers and clusters in `by`, which are taken out of it.

    Of Kafka clusters of one's `own`, only those in a VPC need a right of the role to be reached.
    """
    found: list[Statement] = []
    within_vpc = [one for one in own if any(way.type == "VPC_SUBNET" for way in one.access)]
    polled = [*by.get("kafka", []), *by.get("mq", []), *by.get("rds", []), *within_vpc]
    if clusters := by.pop("kafka", []):
        found += _msk(clusters)
    if brokers := _arns(by.pop("mq", [])):
        found.append(statement("ReadBrokers", "event sources: brokers", ("mq:DescribeBroker",), brokers))
    if databases := _arns(by.pop("rds", [])):
        place = f"arn:{partition_of(region)}:rds:{region}:{account}"
        within = (f"{place}:cluster-pg:*", f"{place}:subgrp:*")
        found.append(
            statement("ReadChanges", "event sources: change streams", _DOCUMENTS, (*databases, *within))
        )
    if polled:
        found.append(
            statement(
                "ReachBrokers", f"event sources in a VPC; {_EC2_REASON}", POLLER_INTERFACES, _EVERYTHING
            )
        )
    return found


def sending(
    targets: Iterable[tuple[str, str]],
) -> tuple[list[Statement], list[str]]:
    """Return the statements by which events may be sent to targets, given as (ARN, what it is for)."""
    by: dict[str, dict[str, list[str]]] = {}
    for arn, purpose in targets:
        if arn:
            by.setdefault(service_of(arn), {}).setdefault(arn, []).append(purpose)
    found: list[Statement] = []
    for service, (sid, actions) in _SENT.items():
        if arns := by.pop(service, {}):
            reason = ", ".join(dict.fromkeys(one for some in arns.values() for one in some))
            found += _sent(sid, reason, actions, tuple(arns))
    unknown = sorted(arn for arns in by.values() for arn in arns)
    notes = [f"what sending to {arn} needs is not known here: allow it under `statements`" for arn in unknown]
    return found, notes


_SENT = {
    "sqs": ("SendToQueues", ("sqs:SendMessage",)),
    "sns": ("PublishToTopics", ("sns:Publish",)),
    "lambda": ("InvokeFunctions", ("lambda:InvokeFunction",)),
    "events": ("PutEvents", ("events:PutEvents",)),
    "s3": ("PutObjects", ("s3:PutObject",)),
}
"""Where Lambda sends events to, and the action it needs ("Capturing records of asynchronous invocations")."""


def _sent(sid: str, reason: str, actions: tuple[str, ...], arns: tuple[str, ...]) -> list[Statement]:
    if sid != "PutObjects":
        return [statement(sid, reason, actions, arns)]
    return [
        statement(sid, reason, actions, tuple(f"{arn}/*" for arn in arns)),
        statement(
            "ListBuckets", f"{reason}; Lambda looks whether the bucket is there", ("s3:ListBucket",), arns
        ),
    ]


def _streams(arns: tuple[str, ...]) -> list[Statement]:
    """Return what reads Kinesis: of a consumer with enhanced fan-out, the stream is in its ARN."""
    consumers = tuple(arn for arn in arns if "/consumer/" in arn)
    streams = {arn.partition("/consumer/")[0] for arn in arns}
    found = []
    if streams:
        found.append(statement("ReadStreams", "event sources: streams", _STREAM, tuple(streams)))
    if consumers:
        found.append(
            statement("SubscribeToStreams", "event sources: consumers of streams", _CONSUMER, consumers)
        )
    return found


def _msk(clusters: Iterable[EventSource]) -> list[Statement]:
    """Return what reads MSK. `kafka-cluster` actions count where Lambda logs in by IAM only."""
    listed = list(clusters)
    within: list[str] = []
    for source in listed:
        if source.access:
            continue
        topic = source.source.replace(":cluster/", ":topic/", 1)
        group = source.source.replace(":cluster/", ":group/", 1)
        within += [source.source, *(f"{topic}/{name}" for name in source.topics)]
        # Lambda makes the group's name up (the mapping's UUID) when the configuration has none.
        within.append(f"{group}/{source.consumer_group or '*'}")
    found = [statement("FindClusters", "event sources: Kafka clusters", _CLUSTER, _arns(listed))]
    if within:
        found.append(
            statement("ReadTopics", "event sources: topics of Kafka clusters", _KAFKA, tuple(within))
        )
    return found


def _arns(sources: Iterable[EventSource]) -> tuple[str, ...]:
    return tuple(source.source for source in sources)
