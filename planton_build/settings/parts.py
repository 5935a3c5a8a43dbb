"""The tables below `[deploy]`, each read into its value of `model`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from planton_build.settings import arns
from planton_build.settings.model import (
    Alarms,
    AsyncInvocation,
    Cors,
    FileSystem,
    FunctionUrl,
    ImageSettings,
    Logging,
    Permission,
    RoleSettings,
    RuntimeManagement,
)
from planton_build.settings.table import Table
from planton_build.settings.values import (
    LOG_GROUP,
    MAX_NUMBER,
    Check,
    Wrong,
    choice,
    json_text,
    lines_of_at_most,
    list_of,
    matching,
    number,
    or_none,
    shown,
    switch,
    text_of_at_most,
)

_AUTH: tuple[Literal["AWS_IAM", "NONE"], ...] = ("AWS_IAM", "NONE")
_INVOKE_MODES: tuple[Literal["BUFFERED", "RESPONSE_STREAM"], ...] = ("BUFFERED", "RESPONSE_STREAM")
_FORMATS: tuple[Literal["Text", "JSON"], ...] = ("Text", "JSON")
_UPDATES: tuple[Literal["Auto", "FunctionUpdate", "Manual"], ...] = ("Auto", "FunctionUpdate", "Manual")
_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
"""`ApplicationLogLevel`."""
_SYSTEM_LEVELS = ("DEBUG", "INFO", "WARN")
"""`SystemLogLevel`."""
_METHODS = ("*", "GET", "PUT", "HEAD", "POST", "DELETE", "PATCH")
"""`Cors.AllowMethods`: at most six characters each, so there is no OPTIONS; Lambda answers that itself."""
_ORIGIN = re.compile(r"[^\s,]{1,253}")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,1024}")
"""A field name of HTTP (RFC 9110, 5.1); `*` is one too."""
_MOUNT = re.compile(r"/mnt/[a-zA-Z0-9_.-]+")
"""`LocalMountPath`."""
_MAX_DURATION = 900_000
"""Lambda's longest timeout, in milliseconds."""
_ALARM_SPAN = 86_400
_LONG_ALARM_SPAN = 604_800
"""PutMetricAlarm: `Period` times `EvaluationPeriods`, below and from a period of an hour."""
_STATEMENT_ID = re.compile(r"[a-zA-Z0-9_-]{1,92}")
"""`StatementId` has 100 characters, of which planton-deploy's own prefix takes eight."""
_OWN_IDS = frozenset({"url-invoke", "url-invoke-url"})
"""Statements that a function URL brings."""
_ACTION = re.compile(r"lambda:[*]|lambda:[a-zA-Z]+|[*]")
_SERVICE = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?")
_PRINCIPAL = re.compile(
    rf"{_SERVICE.pattern}|\d{{12}}|arn:aws[a-zA-Z-]*:(?:iam|sts)::\d{{12}}:[\x21-\x7e]+|[*]"
)
_ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}")
_MAX_ARGUMENT = 10_000
"""Characters of one argument of an image: a bound of ours, Lambda has one for their number only."""
_ROLE_PATH = re.compile(r"/|/[\x21-\x7e]{1,510}/")
"""`Path` of CreateRole."""
_STATEMENT_KEYS = (
    "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"
)  # fmt: skip
_MAX_POLICY = 10_240
"""Characters of all inline policies of a role (IAM quotas)."""


def url_of(table: Table) -> FunctionUrl:
    """Return a function URL."""
    cors = table.table("cors")
    found = FunctionUrl(
        table.get("auth", choice(_AUTH), "AWS_IAM"),
        table.get("invoke-mode", choice(_INVOKE_MODES), "BUFFERED"),
        None if cors is None else _cors_of(cors),
    )
    table.close()
    return found


def _cors_of(table: Table) -> Cors:
    headers = list_of(matching(_HEADER, "the name of a header or *"), 100, "headers")
    found = Cors(
        allow_origins=table.get(
            "allow-origins", list_of(matching(_ORIGIN, "an origin or *"), 100, "origins"), ()
        ),
        allow_methods=table.get("allow-methods", list_of(choice(_METHODS), 6, "methods"), ()),
        allow_headers=table.get("allow-headers", headers, ()),
        expose_headers=table.get("expose-headers", headers, ()),
        allow_credentials=table.get("allow-credentials", switch, False),
        max_age=table.get("max-age", number(0, 86_400, "seconds"), 0),
    )
    table.close()
    return found


def asynchronous_of(table: Table) -> AsyncInvocation:
    """Return what becomes of asynchronous events (PutFunctionEventInvokeConfig)."""
    found = AsyncInvocation(
        retries=table.get("retries", number(0, 2), 2),
        max_age=table.get("max-age", number(60, 21_600, "seconds"), 21_600),
        on_success=table.get("on-success", arns.success_destination, ""),
        on_failure=table.get("on-failure", arns.failure_destination, ""),
    )
    table.close()
    return found


def logging_of(table: Table) -> Logging:
    """Return a function's `LoggingConfig`."""
    found = Logging(
        table.get("format", choice(_FORMATS), "Text"),
        table.get("level", choice(_LEVELS), ""),
        table.get("system-level", choice(_SYSTEM_LEVELS), ""),
        table.get("group", matching(LOG_GROUP, "the name of a log group: letters, digits and _-/.#"), ""),
    )
    if found.format == "Text":
        for key in ("level", "system-level"):
            if key in table:
                table.fault(key, 'goes with format = "JSON" only', 'set format = "JSON", or leave it out')
    table.close()
    return found


def file_system_of(table: Table) -> FileSystem:
    """Return a file system's access point and where it is mounted."""
    found = FileSystem(
        table.need("arn", arns.access_point, ""),
        table.need("path", matching(_MOUNT, "a folder below /mnt/, such as /mnt/data", 160), ""),
    )
    table.close()
    return found


def image_of(table: Table) -> ImageSettings:
    """Return what overrides an image's own entrypoint, command and working directory."""
    argument = lines_of_at_most(_MAX_ARGUMENT)
    found = ImageSettings(
        table.get("entry-point", list_of(argument, 1500, "texts"), ()),
        table.get("command", list_of(argument, 1500, "texts"), ()),
        table.get("working-directory", text_of_at_most(1000), ""),
    )
    table.close()
    return found


def runtime_management_of(table: Table) -> RuntimeManagement:
    """Return when Lambda patches the runtime (PutRuntimeManagementConfig)."""
    found = RuntimeManagement(
        table.get("update", choice(_UPDATES), "Auto"), table.get("version-arn", arns.runtime_version, "")
    )
    if found.update == "Manual" and "version-arn" not in table:
        table.wrong('has update = "Manual" and no version-arn')
    if found.update != "Manual" and "version-arn" in table:
        table.fault("version-arn", 'goes with update = "Manual" only')
    table.close()
    return found


def permission_of(table: Table) -> Permission:
    """Return one statement of the resource policy (AddPermission)."""
    words = "an id of 1 to 92 letters, digits, - and _"
    found = Permission(
        id=table.need("id", matching(_STATEMENT_ID, words), ""),
        principal=table.need(
            "principal",
            matching(_PRINCIPAL, "a service such as s3.amazonaws.com, an account, an ARN of IAM or *", 2048),
            "",
        ),
        action=table.get(
            "action",
            matching(_ACTION, "an action such as lambda:InvokeFunction", 10_000),
            "lambda:InvokeFunction",
        ),
        source_arn=table.get("source-arn", arns.any_resource, ""),
        source_account=table.get(
            "source-account", matching(re.compile(r"\d{12}", re.ASCII), "twelve digits"), ""
        ),
        organization=table.get(
            "organization", matching(_ORGANIZATION, "an organization such as o-a1b2c3d4e5"), ""
        ),
    )
    if found.id in _OWN_IDS:
        table.fault("id", f"must not be {found.id}, which is what a function URL uses")
    if found.principal == "*" and not (found.organization or found.source_arn or found.source_account):
        table.fault(
            "principal",
            "is * and nothing limits it, so anybody could invoke the function",
            'add organization, source-arn or source-account; a URL for all is [….url] with auth = "NONE"',
        )
    if found.organization and _SERVICE.fullmatch(found.principal):
        table.fault("organization", "does not go with a service, which is in no organization")
    table.close()
    return found


def alarms_of(table: Table) -> Alarms:
    """Return the alarms of a function (PutMetricAlarm)."""
    count: Check[int | None] = or_none(number(1, MAX_NUMBER))
    duration = table.get("duration", or_none(number(1, _MAX_DURATION, "milliseconds")), None)
    if duration is not None and "duration-percent" in table:
        table.fault("duration-percent", "is there beside duration", "write one of the two")
    actions = list_of(arns.alarm_action, 5, "ARNs")
    found = Alarms(
        errors=table.get("errors", count, 1),
        throttles=table.get("throttles", count, 1),
        dead_letters=table.get("dead-letters", count, 1),
        duration=duration,
        duration_percent=table.get(
            "duration-percent", or_none(number(1, 100)), None if "duration" in table else 90
        ),
        period=table.get("period", _period, 60),
        periods=table.get("periods", number(1, _LONG_ALARM_SPAN // 60), 1),
        actions=table.get("actions", actions, ()),
        ok_actions=table.get("ok-actions", actions, ()),
    )
    span = _LONG_ALARM_SPAN if found.period >= 3600 else _ALARM_SPAN
    if found.period * found.periods > span:
        table.wrong(
            f"looks at {found.period * found.periods:,} seconds; CloudWatch looks at {span:,} at most"
        )
    table.close()
    return found


def _period(value: object) -> int:
    found = number(60, _LONG_ALARM_SPAN, "seconds")(value)
    if found % 60:
        raise Wrong(f"must be a multiple of 60 seconds, not {shown(value)}", "Lambda reports by the minute")
    return found


def role_of(table: Table) -> RoleSettings:
    """Return what the execution role may do besides what is derived, and where it stands in IAM."""
    found = RoleSettings(
        table.get("statements", list_of(_statement, 100, "statements"), ()),
        table.get("permissions-boundary", arns.policy, ""),
        table.get("path", matching(_ROLE_PATH, "/ or a path such as /service/", 512), "/"),
    )
    if sum(len(json.dumps(statement)) for statement in found.statements) > _MAX_POLICY:
        table.fault("statements", f"must not be longer than {_MAX_POLICY:,} characters as JSON")
    table.close()
    return found


def _statement(value: object) -> Mapping[str, Any]:
    """Return a statement of a policy of IAM, with IAM's own spelling of its keys."""
    if not isinstance(value, dict):
        raise Wrong(f"must be a statement of a policy, not {shown(value)}")
    for key in value:
        if key not in _STATEMENT_KEYS:
            raise Wrong(f"has the key {shown(key)}", f"statements have {', '.join(_STATEMENT_KEYS)}")
    if value.get("Effect") not in ("Allow", "Deny"):
        raise Wrong('must have Effect = "Allow" or Effect = "Deny"')
    sid = value.get("Sid", "")
    if not isinstance(sid, str) or not re.fullmatch(r"[A-Za-z0-9]*", sid):
        raise Wrong(f"has the Sid {shown(sid)}: letters and digits only")
    for one, other in (("Action", "NotAction"), ("Resource", "NotResource")):
        if (one in value) == (other in value):
            raise Wrong(f"must have either {one} or {other}")
        _one_or_more(value.get(one, value.get(other)), one)
    if not isinstance(value.get("Condition", {}), dict):
        raise Wrong("has a Condition that is no table")
    found: dict[str, Any] = json.loads(json_text(value, _MAX_POLICY))
    return found


def _one_or_more(value: object, key: str) -> None:
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, str) and item for item in items):
        raise Wrong(f"has no text, and no list of texts, as its {key}")
