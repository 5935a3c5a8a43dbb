"""The JSON contract of the commands for deployed functions, `status` to `destroy` (docs/json.md)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Out(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProvisionedOut(_Out):
    """Provisioned concurrency of an alias or a version."""

    qualifier: str
    requested: int
    ready: int
    status: str


class FunctionStatusOut(_Out):
    """How one function is. Shares are from 0 to 1."""

    function_name: str
    region: str
    manifest: Literal["in sync", "differs", "not deployed", "unknown"]
    state: str | None
    last_update: str | None
    reason: str | None
    code_sha256: str | None
    last_modified: str | None
    aliases: dict[str, dict[str, float]]
    urls: dict[str, str]
    provisioned_concurrency: list[ProvisionedOut]
    changes: int | None
    note: str | None


class StatusOut(_Out):
    """`planton-deploy status --json`."""

    functions: list[FunctionStatusOut]


class BuildRecordOut(_Out):
    """What a version was built from; null is not known."""

    commit: str | None
    dirty: bool
    lock: str | None
    time: str | None
    who: str | None
    note: str | None


class VersionOut(_Out):
    """One published version; its size in bytes, shares from 0 to 1."""

    version: str
    code_sha256: str | None
    description: str
    record: BuildRecordOut | None
    last_modified: str
    aliases: dict[str, float]
    size: int
    runtime: str | None


class FunctionVersionsOut(_Out):
    """The versions of one function, the newest first."""

    function_name: str
    region: str
    deployed: bool
    versions: list[VersionOut]


class VersionsOut(_Out):
    """`planton-deploy versions --json`."""

    functions: list[FunctionVersionsOut]


class DriftChangeOut(_Out):
    """One field that is not as wanted; null is absent."""

    field: str
    now: str | None
    wanted: str | None
    secret: bool
    cause: Literal["aws", "manifest", "both", "unknown"]


class ChangeEventOut(_Out):
    """One change that CloudTrail knows of."""

    event: str
    time: str | None
    who: str


class FunctionDriftOut(_Out):
    """Where one function is not as its manifest and settings want it."""

    function_name: str
    region: str
    deployed: bool
    drift: bool
    changes: list[DriftChangeOut]
    since: str | None
    witness: str | None
    notes: list[str]
    who: list[ChangeEventOut]
    who_note: str | None


class DriftOut(_Out):
    """`planton-deploy drift --json`."""

    functions: list[FunctionDriftOut]


class AdoptedOut(_Out):
    """One function that was written down."""

    function_name: str
    region: str
    folder: str
    deployable: bool
    settings: bool
    secret: bool
    notes: list[str]


class AdoptOut(_Out):
    """`planton-deploy adopt --json`."""

    functions: list[AdoptedOut]


class LogEventOut(_Out):
    """`planton-deploy logs --json`: one line for each event."""

    time: str
    function_name: str
    version: str | None
    stream: str
    message: str


class PrunedVersionOut(_Out):
    """A version that was deleted, or would be."""

    version: str
    code_sha256: str | None
    last_modified: str
    size: int


class KeptVersionOut(_Out):
    """A version that stays, and why."""

    version: str
    why: str


class _PrunedOut(_Out):
    function_name: str
    region: str
    kept: list[KeptVersionOut]


class FunctionPrunedOut(_PrunedOut):
    """What became of the versions of one function."""

    deleted: list[PrunedVersionOut]


class FunctionToPruneOut(_PrunedOut):
    """What would become of the versions of one function."""

    would_delete: list[PrunedVersionOut]


class CodeStorageOut(_Out):
    """Bytes of code that the account keeps, by region; null where that was not asked."""

    before: dict[str, int] | None
    after: dict[str, int] | None


class PruneOut(_Out):
    """`planton-deploy prune --json`."""

    functions: list[FunctionPrunedOut]
    code_storage: CodeStorageOut


class PruneDryRunOut(_Out):
    """`planton-deploy prune --dry-run --json`."""

    functions: list[FunctionToPruneOut]
    code_storage: CodeStorageOut


class EventSourceOut(_Out):
    """An event source mapping that went with a function."""

    uuid: str
    source: str


class DestroyedOut(_Out):
    """What went with one function."""

    function_name: str
    region: str
    deleted: bool
    versions: int
    aliases: list[str]
    urls: list[str]
    event_sources: list[EventSourceOut]
    alarms: list[str]
    log_group: str | None
    calls: int


class DestroyOut(_Out):
    """`planton-deploy destroy --json`."""

    functions: list[DestroyedOut]
