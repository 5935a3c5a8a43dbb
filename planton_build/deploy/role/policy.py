"""The least that a function's role must allow, derived from its configuration. Pure.

Where a name in AWS is known, the right is for that name alone. What the function's own code does in AWS is in
no manifest: that is what `[deploy.role] statements` is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planton_build.deploy.desired import DesiredFunction, log_group_of
from planton_build.deploy.role.matching import action_matches
from planton_build.deploy.role.sources import INTERFACES, reading, sending, service_of
from planton_build.deploy.role.statement import (
    RolePolicy,
    Statement,
    partition_of,
    statement,
    texts,
    trust_policy,
)
from planton_build.settings.model import AsyncInvocation

_TRACES = ("xray:PutTelemetryRecords", "xray:PutTraceSegments")
"""What Lambda needs to send traces (Lambda Developer Guide, "Using AWS X-Ray")."""
_MOUNT = ("elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite")
"""What a file system needs, to read and write (Lambda Developer Guide, "Configuring file system access")."""
_CODE_CALLS = tuple(sorted({*INTERFACES, "ec2:DetachNetworkInterface"} - {"ec2:DescribeSubnets"}))
"""What only Lambda itself should call with the role (Lambda Developer Guide, "Attaching to a VPC")."""


def role_policy(desired: DesiredFunction, account: str, region: str) -> RolePolicy:
    """Return what the role of a function must allow, and the policy by which Lambda takes the role.

    `account` is twelve digits, `region` the function's. The same configuration gives the same policy, byte by
    byte, in whatever order it was written.
    """
    place = _Place(desired, account, region)
    found: list[Statement] = [*_logs(place)]
    if desired.subnets:
        found += _network(place)
    if desired.tracing == "Active":
        found.append(
            statement("SendTraces", "tracing is on; X-Ray has no names of resources", _TRACES, ("*",))
        )
    if desired.kms_key:
        found.append(
            statement(
                "DecryptEnvironment", "the key of the environment", ("kms:Decrypt",), (desired.kms_key,)
            )
        )
    files, unknown = _files(place)
    read, unread = reading(desired.settings.event_sources or (), account, region)
    sent, unsent = sending(_targets(desired))
    found += [*files, *read, *sent]
    own = _own(desired.settings.role.statements)
    statements = (*_distinct(found, {one.sid for one in own}), *own)
    return RolePolicy(statements, trust_policy(), (*unknown, *unread, *unsent))


class _Place:
    """Where a function is, to write ARNs of what belongs to it."""

    def __init__(self, desired: DesiredFunction, account: str, region: str) -> None:
        self.desired = desired
        self.account = account
        self.region = region

    def arn(self, service: str, rest: str) -> str:
        return f"arn:{partition_of(self.region)}:{service}:{self.region}:{self.account}:{rest}"


def _logs(place: _Place) -> list[Statement]:
    """Return what writes the function's own logs. Who makes the log group needs no right of the role."""
    settings = place.desired.settings
    group = (settings.logging.group if settings.logging else "") or log_group_of(place.desired.name)
    arn = place.arn("logs", f"log-group:{group}")
    found = [
        statement(
            "WriteLogs",
            f"its own log group {group}",
            ("logs:CreateLogStream", "logs:PutLogEvents"),
            # As the console writes it. A group's name has no colon, so this is this group and its streams.
            (f"{arn}:*",),
        )
    ]
    if settings.log_retention is None:
        found.append(
            statement(
                "CreateLogGroup",
                "`log-retention` is not set, so Lambda makes the log group at the first invocation",
                ("logs:CreateLogGroup",),
                # Documented without, and refused in practice with, a `:` behind it.
                (arn, f"{arn}:*"),
            )
        )
    return found


def _network(place: _Place) -> list[Statement]:
    """Return what connects the function to its VPC, and what keeps its code from using that.

    Lambda documents that DescribeNetworkInterfaces works for all resources only, and that
    DeleteNetworkInterface on less may leave the function without its VPC. It makes these calls itself, with
    the role; its code makes calls with `lambda:SourceFunctionArn` in the request, and is refused.
    """
    kept = [
        action
        for action in _CODE_CALLS
        if not any(_matches(action, own) for own in place.desired.settings.role.statements)
    ]
    found = [
        statement(
            "ConnectToVpc",
            "subnets; EC2 describes interfaces for all resources only, and they have no names before they "
            "are made",
            INTERFACES,
            ("*",),
        )
    ]
    if kept:
        found.append(
            statement(
                "KeepCodeFromTheVpc",
                "Lambda itself makes network interfaces; the function's code must not",
                tuple(kept),
                ("*",),
                condition={
                    "ArnEquals": {
                        "lambda:SourceFunctionArn": place.arn("lambda", f"function:{place.desired.name}")
                    }
                },
                effect="Deny",
            )
        )
    return found


def _matches(action: str, own: Mapping[str, Any]) -> bool:
    return any(action_matches(pattern, action) for pattern in texts(own.get("Action")))


def _files(place: _Place) -> tuple[list[Statement], list[str]]:
    """Return what mounts file systems. IAM knows the file system; the access point is a condition on it."""
    points, notes = [], []
    for one in place.desired.file_systems or ():
        if service_of(one.arn) == "elasticfilesystem":
            points.append(one.arn)
        else:
            notes.append(f"what mounting {one.arn} needs is not known here: allow it under `statements`")
    if not points:
        return [], notes
    found = statement(
        "MountFiles",
        "file systems, through their access points only",
        _MOUNT,
        tuple(_file_systems(point) for point in points),
        condition={"StringEquals": {"elasticfilesystem:AccessPointArn": _one_or_list(points)}},
    )
    return [found], notes


def _file_systems(point: str) -> str:
    """Return the ARN of all file systems of an access point's account, for its own does not tell which."""
    return point.rpartition(":")[0] + ":file-system/*"


def _one_or_list(values: Sequence[str]) -> str | list[str]:
    found = sorted(set(values))
    return found[0] if len(found) == 1 else found


def _targets(desired: DesiredFunction) -> list[tuple[str, str]]:
    found = [(desired.dead_letter or "", "dead letters")]
    if isinstance(asynchronous := desired.settings.asynchronous, AsyncInvocation):
        found.append((asynchronous.on_success, "asynchronous invocations that succeed"))
        found.append((asynchronous.on_failure, "asynchronous invocations that fail"))
    found += [(one.on_failure, "records that fail") for one in desired.settings.event_sources or ()]
    return found


def _own(statements: Sequence[Mapping[str, Any]]) -> list[Statement]:
    """Return the user's statements, in their order, each with a Sid."""
    taken = {str(one["Sid"]) for one in statements if one.get("Sid")}
    found: list[Statement] = []
    for number, one in enumerate(statements, start=1):
        sid = str(one.get("Sid") or _free(f"Configured{number}", taken))
        document = {"Sid": sid, **{key: value for key, value in one.items() if key != "Sid"}}
        document.setdefault("Effect", "Allow")
        found.append(Statement(sid, "configured under `[deploy.role]`", document, derived=False))
    return found


def _distinct(statements: Sequence[Statement], taken: set[str]) -> list[Statement]:
    """Return derived statements under names that no statement of the user has; IAM wants them distinct."""
    found = []
    for one in statements:
        sid = _free(one.sid, taken)
        found.append(one if sid == one.sid else Statement(sid, one.reason, {**one.document, "Sid": sid}))
    return found


def _free(sid: str, taken: set[str]) -> str:
    while sid in taken:
        sid += "X"
    taken.add(sid)
    return sid
