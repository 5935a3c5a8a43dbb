"""The JSON contract of `planton-deploy plan`, `apply`, `rollback`, `role` and `invoke` (docs/json.md)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue


class _Out(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChangeOut(_Out):
    """One field that would change; null is absent, and a secret's values are masked."""

    field: str
    before: str | None
    after: str | None
    secret: bool


class PackageChangeOut(_Out):
    """One package whose version differs; null where it is not in that build."""

    name: str
    before: str | None
    after: str | None


class CodeChangeOut(_Out):
    """What differs between the deployed code and the new one; sizes in bytes, negative for less."""

    packages: list[PackageChangeOut]
    size_change: int
    unzipped_size_change: int


class ReferenceOut(_Out):
    """Where the value of a `valueFrom` came from."""

    field: str
    source: str


class StepOut(_Out):
    """One step, in the order in which they are taken."""

    step: str
    description: str
    undone_by: str | None


class PlannedOut(_Out):
    """One function of a plan."""

    function_name: str
    region: str
    action: Literal["create", "update", "replace", "unchanged"]
    changes: list[ChangeOut]
    code: CodeChangeOut | None
    references: list[ReferenceOut]
    steps: list[StepOut]
    notes: list[str]
    warnings: list[str]


class RoleNoteOut(_Out):
    """A remark about an execution role; it is about several functions when it names none."""

    function_name: str | None
    message: str
    level: Literal["info", "warning"]


class PlanOut(_Out):
    """`planton-deploy plan --json`."""

    functions: list[PlannedOut]
    roles: list[RoleNoteOut]


class AppliedOut(PlannedOut):
    """One function that was deployed: what was planned, and what was done."""

    changed: bool
    calls: int
    version: str | None
    moved: bool


class ApplyOut(_Out):
    """`planton-deploy apply --json`."""

    functions: list[AppliedOut]


class RolledBackOut(_Out):
    """Where an alias went; `before` and `version` are version numbers."""

    function_name: str
    alias: str
    before: str
    version: str
    code_sha256: str | None
    changed: bool
    calls: int


class RollbackOut(_Out):
    """`planton-deploy rollback --json`."""

    functions: list[RolledBackOut]


class RolePolicyOut(_Out):
    """The least that a function's role must allow."""

    function_name: str
    account: str
    region: str
    role_name: str
    policy_name: str
    policy: dict[str, JsonValue]
    trust_policy: dict[str, JsonValue]
    reasons: dict[str, str]
    notes: list[str]


class RoleOut(_Out):
    """`planton-deploy role --json`."""

    functions: list[RolePolicyOut]


class CreatedRoleOut(RolePolicyOut):
    """A role that was made, or found."""

    role_arn: str
    action: Literal["created", "updated", "unchanged"]
    calls: int


class RoleCreateOut(_Out):
    """`planton-deploy role --create --json`."""

    functions: list[CreatedRoleOut]


class InvokeOut(_Out):
    """`planton-deploy invoke --json`."""

    function_name: str
    payload: JsonValue
    log: str
    error: str | None


class InvokeLocalOut(InvokeOut):
    """`planton-deploy invoke --local --json`."""

    init_ms: float
    duration_ms: float
    max_memory_bytes: int | None
