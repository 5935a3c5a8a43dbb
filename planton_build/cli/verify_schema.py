"""The JSON contract of `planton-build verify --json`, as pydantic models (docs/json.md)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue


class _Out(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PackageImportOut(_Out):
    """What the modules of one top-level package take in sum, without what they import."""

    name: str
    seconds: float
    modules: int


class ModuleImportOut(_Out):
    """One module: by itself, and with all that it imports."""

    name: str
    seconds: float
    total_seconds: float


class InvocationOut(_Out):
    """The answer to the event: JSON, or text where it is none; `seconds` is a cold start's."""

    payload: JsonValue
    seconds: float
    peak_memory: int


class VerificationOut(_Out):
    """One function that was seen running; memory in bytes."""

    manifest: str
    function_name: str
    runtime: str
    architecture: Literal["arm64", "x86_64"]
    sha256: str
    image: str
    emulated: bool
    import_seconds: float
    modules: int
    packages: list[PackageImportOut]
    slowest: list[ModuleImportOut]
    peak_memory: int
    memory_limit: int
    invocation: InvocationOut | None
    log: str


class VerifyOut(_Out):
    """`planton-build verify --json`."""

    functions: list[VerificationOut]
