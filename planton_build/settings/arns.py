"""Amazon Resource Names in settings: which resources each setting takes."""

from __future__ import annotations

import re

from planton_build.settings.values import Wrong, matching, shown, text

_PARTITION = r"arn:(?:aws[a-zA-Z-]*)"
_REGION = r"(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d"
_ANY = re.compile(rf"arn:aws[a-zA-Z0-9-]*:[a-zA-Z0-9-]+:(?:{_REGION})?:(?:\d{{12}})?:\S+")
"""`Arn` of Lambda's model, without spaces."""
_QUEUE = re.compile(rf"{_PARTITION}:sqs:{_REGION}:\d{{12}}:[a-zA-Z0-9_-]{{1,80}}")
_TOPIC = re.compile(rf"{_PARTITION}:sns:{_REGION}:\d{{12}}:[a-zA-Z0-9_-]{{1,256}}")
_FUNCTION = re.compile(
    rf"{_PARTITION}:lambda:{_REGION}:\d{{12}}:function:[a-zA-Z0-9_-]{{1,64}}(?::(?:\$LATEST|[a-zA-Z0-9_-]{{1,128}}))?"
)
_EVENT_BUS = re.compile(rf"{_PARTITION}:events:{_REGION}:\d{{12}}:event-bus/[/.a-zA-Z0-9_-]{{1,256}}")
_BUCKET = re.compile(rf"{_PARTITION}:s3:::[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9]")
_KAFKA_TOPIC = re.compile(r"kafka://[^.\s][a-zA-Z0-9_.-]{0,248}")
_MAX_DESTINATION = 350
"""`DestinationArn`."""
_FIFO_HINT = "Lambda sends to standard queues and topics only, not to FIFO ones"

access_point = matching(
    re.compile(
        rf"arn:aws[a-zA-Z-]*:elasticfilesystem:{_REGION}:\d{{12}}:access-point/fsap-[a-f0-9]{{17}}"
        r"|arn:aws[-a-z]*:s3files:[0-9a-z:-]+:file-system/fs-[0-9a-f]{17,40}/access-point/fsap-[0-9a-f]{17,40}"
    ),
    "the ARN of an access point of EFS",
    256,
)
"""`FileSystemConfig.Arn`."""
code_signing_config = matching(
    re.compile(rf"{_PARTITION}:lambda:{_REGION}:\d{{12}}:code-signing-config:csc-[a-z0-9]{{17}}"),
    "the ARN of a code signing configuration",
    200,
)
"""`CodeSigningConfigArn`."""
runtime_version = matching(
    re.compile(
        rf"{_PARTITION}:lambda:{_REGION}::runtime:\S+"
        rf"|{_PARTITION}:lambda:{_REGION}:\d{{12}}:runtime/[A-Za-z0-9_.-]{{1,128}}/version/[A-Za-z0-9_.-]{{1,128}}"
    ),
    "the ARN of a version of a runtime",
    2048,
)
"""`RuntimeVersionArn`."""
policy = matching(
    re.compile(rf"{_PARTITION}:iam::(?:\d{{12}}|aws):policy/[\x21-\x7e]+"), "the ARN of an IAM policy", 2048
)
"""`PermissionsBoundary` of CreateRole."""
any_resource = matching(_ANY, "an ARN", 10_000)
"""`Arn`, as in AddPermission's `SourceArn`."""
alarm_action = matching(_ANY, "the ARN of what is told, such as an SNS topic", 1024)
"""`AlarmActions` and `OKActions` of PutMetricAlarm."""


def dead_letter(value: object) -> str:
    """Return the ARN of a standard queue or topic (`DeadLetterConfig.TargetArn`)."""
    found = text(value)
    if _QUEUE.fullmatch(found) or _TOPIC.fullmatch(found):
        return found
    raise Wrong(f"must be the ARN of an SQS queue or an SNS topic, not {shown(found)}", _hint(found))


def success_destination(value: object) -> str:
    """Return the ARN of what gets the results of asynchronous events; "" for nothing."""
    return _destination(value, "a queue, topic, function or event bus", _QUEUE, _TOPIC, _FUNCTION, _EVENT_BUS)


def failure_destination(value: object) -> str:
    """Return the ARN of what gets asynchronous events that failed; "" for nothing. Only here S3 is taken."""
    return _destination(
        value, "a queue, topic, function, event bus or bucket", _QUEUE, _TOPIC, _FUNCTION, _EVENT_BUS, _BUCKET
    )


def record_destination(value: object) -> str:
    """Return the ARN of what gets records of a stream that failed, or `kafka://TOPIC`; "" for nothing."""
    return _destination(
        value, "a queue, topic or bucket, or kafka://TOPIC", _QUEUE, _TOPIC, _BUCKET, _KAFKA_TOPIC
    )


def _destination(value: object, words: str, *patterns: re.Pattern[str]) -> str:
    if value in ("", False):
        return ""
    found = text(value)
    if len(found) <= _MAX_DESTINATION and any(pattern.fullmatch(found) for pattern in patterns):
        return found
    raise Wrong(f"must be the ARN of {words}, not {shown(found)}", _hint(found))


def _hint(found: str) -> str | None:
    return _FIFO_HINT if found.endswith(".fifo") else None


def region_of(arn: str) -> str:
    """Return the region in an ARN, "" where it has none."""
    return (arn.split(":", 4) + [""] * 4)[3]
