"""What came of running a function in the runtime's container: for callers, and as the container told it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from planton_build.errors import VerifyFailed

_MAX_REPORT = 8 << 20
Report = TypeVar("Report", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ModuleImport:
    """One imported module: seconds of its `own`, and in `total` with all that it imported in turn."""

    name: str
    own: float
    total: float


@dataclass(frozen=True, slots=True)
class PackageImport:
    """All modules of one top-level package: the sum of their own seconds, and how many there are."""

    name: str
    own: float
    modules: int


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the handler answered to the event, after how many seconds, with its peak memory in bytes.

    The seconds are those of a cold start: with the handler's import.
    """

    payload: bytes
    seconds: float
    peak_memory: int


@dataclass(frozen=True, slots=True)
class Verification:
    """A function that was seen running.

    `import_seconds` is what importing the handler's module took, `modules` how many were imported for it;
    `packages` and `slowest` are the costliest, costliest first. `peak_memory` is that of the process that
    imported, `memory_limit` what the function may use, both in bytes. Times and memory of an `emulated`
    processor say nothing about Lambda's.
    """

    function: str
    target: str
    image: str
    emulated: bool
    import_seconds: float
    modules: int
    packages: tuple[PackageImport, ...]
    slowest: tuple[ModuleImport, ...]
    peak_memory: int
    memory_limit: int
    invocation: Invocation | None
    log: str


class _In(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ModuleIn(_In):
    """A module's times."""

    name: str
    own: float
    total: float


class PackageIn(_In):
    """A package's times."""

    name: str
    own: float
    modules: int


class ImportsIn(_In):
    """What was imported."""

    modules: list[ModuleIn] = Field(default_factory=list)
    packages: list[PackageIn] = Field(default_factory=list)
    count: int = 0


class ErrorIn(_In):
    """An exception; `kinds` are its classes, its own first; frames are (file, line, function, text)."""

    type: str
    kinds: list[str] = Field(default_factory=list)
    message: str = ""
    name: str | None = None
    path: str | None = None
    errno: int | None = None
    filename: str | None = None
    frames: list[tuple[str, int, str, str]] = Field(default_factory=list)


class ImportReport(_In):
    """`report.json` of import_handler.py."""

    stage: Literal["import", "handler", "done"]
    exit_code: int
    peak_memory: int
    seconds: float = 0.0
    imports: ImportsIn = Field(default_factory=ImportsIn)
    errors: list[ErrorIn] = Field(default_factory=list)
    missing: bool = True
    names: list[str] = Field(default_factory=list)


class InvocationReport(_In):
    """`invocation.json` of invoke_emulator.py."""

    failure: Literal["no_emulator", "no_answer"] | None = None
    status: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    requests: list[str] = Field(default_factory=list)


def read_import(folder: Path) -> ImportReport | None:
    """Return what the import left in `folder`, or None. It ran a function's code: it is read with caution.

    Raises:
        VerifyFailed: what it left is no report.
    """
    return _read(folder / "report.json", ImportReport)


def read_invocation(folder: Path) -> InvocationReport | None:
    """Return what the invocation left in `folder`, or None. Raises as `read_import` does."""
    return _read(folder / "invocation.json", InvocationReport)


def _read(path: Path, model: type[Report]) -> Report | None:
    if not path.exists():
        return None
    try:
        if path.stat().st_size > _MAX_REPORT:
            raise ValueError("too large")
        return model.model_validate_json(path.read_bytes())
    except (ValidationError, ValueError) as error:
        raise VerifyFailed(
            f"the container left a {path.name} that is no report",
            hint="the function's own code may have written to the container's /build/out",
        ) from error
