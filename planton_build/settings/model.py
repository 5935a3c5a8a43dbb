"""`DeploySettings`: the `[deploy]` tables of one function, as values that keep Lambda's limits.

None stands for "not written": such a thing is left as it is in AWS, not even read. To remove something, it is
written as `false` (or as an empty list or text), which is `OFF` (or an empty value) here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeAlias


class Off(Enum):
    """The one value for what is to be removed."""

    OFF = "off"

    def __repr__(self) -> str:
        """Return the name by which code knows it."""
        return "OFF"


OFF = Off.OFF


@dataclass(frozen=True, slots=True)
class Rollout:
    """How traffic moves to a new version.

    `smoke_event` is the event, as JSON bytes, that a new version must answer before the alias moves. `steps`
    are percentages of traffic, rising, before all of it; `step_seconds` is how long each is watched, and
    `max_errors` how many Errors and Throttles of the new version are borne during one step.
    """

    smoke_event: bytes | None = None
    steps: tuple[int, ...] = ()
    step_seconds: int = 60
    max_errors: int = 0


@dataclass(frozen=True, slots=True)
class Cors:
    """`Cors` of CreateFunctionUrlConfig; `max_age` is in seconds."""

    allow_origins: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    allow_credentials: bool = False
    max_age: int = 0


@dataclass(frozen=True, slots=True)
class FunctionUrl:
    """A function URL, with the two permissions that its callers need."""

    auth: Literal["AWS_IAM", "NONE"] = "AWS_IAM"
    invoke_mode: Literal["BUFFERED", "RESPONSE_STREAM"] = "BUFFERED"
    cors: Cors | None = None


@dataclass(frozen=True, slots=True)
class AsyncInvocation:
    """What becomes of asynchronous events; `max_age` is in seconds, destinations are ARNs or ""."""

    retries: int = 2
    max_age: int = 21_600
    on_success: str = ""
    on_failure: str = ""


@dataclass(frozen=True, slots=True)
class FileSystem:
    """An EFS access point (ARN), and the folder below `/mnt/` where the function sees it."""

    arn: str
    path: str


@dataclass(frozen=True, slots=True)
class Logging:
    """`LoggingConfig`. "" leaves a level or the group to Lambda; levels go with the format JSON only."""

    format: Literal["Text", "JSON"] = "Text"
    level: str = ""
    system_level: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """`ImageConfig`: what overrides an image's own; empty means the image's."""

    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""


@dataclass(frozen=True, slots=True)
class RuntimeManagement:
    """When Lambda moves to a new patch of the runtime; `version_arn` goes with Manual only."""

    update: Literal["Auto", "FunctionUpdate", "Manual"] = "Auto"
    version_arn: str = ""


@dataclass(frozen=True, slots=True)
class Permission:
    """One statement of the function's resource policy. `id` is unique in a function; AddPermission."""

    id: str
    principal: str
    action: str = "lambda:InvokeFunction"
    source_arn: str = ""
    source_account: str = ""
    organization: str = ""


@dataclass(frozen=True, slots=True)
class SourceAccess:
    """One of `SourceAccessConfigurations`: how Lambda reaches a source, or logs in there.

    `type` is one of `SourceAccessType`. `uri` is the ARN of a secret, `subnet:ID`, `security_group:ID` or a
    name, and "" for the types that have none.
    """

    type: str
    uri: str = ""


@dataclass(frozen=True, slots=True)
class EventSource:
    """An event source mapping. `source` is an ARN, or "" for Kafka servers of one's own (`servers`).

    Zero, "" and () leave a property to Lambda. `batching_window`, `max_record_age` are in seconds;
    `filters` are JSON texts. `database`, `collection` ("" for all) and `full_document` are of DocumentDB.
    """

    source: str
    enabled: bool = True
    batch_size: int = 0
    batching_window: int = 0
    starting_position: Literal["", "LATEST", "TRIM_HORIZON", "AT_TIMESTAMP"] = ""
    starting_timestamp: float | None = None
    parallelization: int = 0
    max_concurrency: int = 0
    retries: int | None = None
    max_record_age: int | None = None
    bisect_on_error: bool | None = None
    tumbling_window: int = 0
    report_batch_item_failures: bool = False
    on_failure: str = ""
    filters: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    consumer_group: str = ""
    servers: tuple[str, ...] = ()
    access: tuple[SourceAccess, ...] = ()
    database: str = ""
    collection: str = ""
    full_document: Literal["", "UpdateLookup", "Default"] = ""


@dataclass(frozen=True, slots=True)
class Alarms:
    """CloudWatch alarms on a function. None leaves one out.

    `errors`, `throttles` and `dead_letters` are counts within a period at which the alarm goes off;
    `duration` is milliseconds (p99), `duration_percent` the same as a share of the timeout. `period` is in
    seconds. `actions` are ARNs told on alarm, `ok_actions` on its end.
    """

    errors: int | None = 1
    throttles: int | None = 1
    dead_letters: int | None = 1
    duration: int | None = None
    duration_percent: int | None = 90
    period: int = 60
    periods: int = 1
    actions: tuple[str, ...] = ()
    ok_actions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RoleSettings:
    """The execution role that `planton-deploy role` makes: what it may do besides what is derived."""

    statements: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    permissions_boundary: str = ""
    path: str = "/"


@dataclass(frozen=True, slots=True)
class ReferenceSource:
    """One place where `valueFrom` is looked up, in the order they are written.

    `type` is one of `manifests`, `outputs`, `cloudformation`, `ssm`, `terraform`, `pulumi`. `options` are
    that type's own, checked when read. `kinds`, `env` limit it to references of these kinds, this
    environment; empty means all.
    """

    type: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    kinds: tuple[str, ...] = ()
    env: str = ""
    origin: str = ""


TracingMode: TypeAlias = Literal["Active", "PassThrough"]


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """Everything of the `[deploy]` tables of one function; see the module's docstring for None and OFF.

    `alias` is the alias that serves; with it every change is published as a version. `log_retention` is in
    days, OFF keeps logs for ever. `ephemeral_storage` is in MB. `dead_letter` is the ARN of a queue or topic.
    `files` are the files it was read from, nearest first.
    """

    alias: str | None = None
    rollout: Rollout = Rollout()
    provisioned_concurrency: int | Off | None = None
    url: FunctionUrl | Off | None = None
    asynchronous: AsyncInvocation | Off | None = None
    dead_letter: str | Off | None = None
    tracing: TracingMode | None = None
    logging: Logging | None = None
    log_retention: int | Off | None = None
    ephemeral_storage: int | None = None
    file_systems: tuple[FileSystem, ...] | None = None
    snap_start: bool | None = None
    image: ImageSettings | None = None
    code_signing: str | Off | None = None
    tags: Mapping[str, str] | None = field(default=None, hash=False)
    permissions: tuple[Permission, ...] | None = None
    event_sources: tuple[EventSource, ...] | None = None
    alarms: Alarms | Off | None = None
    recursion: Literal["Allow", "Terminate"] | None = None
    runtime_management: RuntimeManagement | None = None
    role: RoleSettings = RoleSettings()
    references: tuple[ReferenceSource, ...] = ()
    files: tuple[Path, ...] = ()


NO_SETTINGS = DeploySettings()
