"""The steps of a plan: values that say what is to be done, and in what words it is undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class CreateFunction:
    """Create the function with everything but its reserved concurrency."""


@dataclass(frozen=True, slots=True)
class UpdateConfiguration:
    """Set these fields, and leave all others as they are."""

    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UpdateCode:
    """Point the function to the desired code and architecture."""


@dataclass(frozen=True, slots=True)
class PutConcurrency:
    """Reserve this many concurrent executions; 0 turns the function off."""

    reserved: int


@dataclass(frozen=True, slots=True)
class DeleteConcurrency:
    """Give the reservation back to the account's pool."""


@dataclass(frozen=True, slots=True)
class RequireCode:
    """See that the desired code can be had, before the function that works is deleted."""


@dataclass(frozen=True, slots=True)
class DeleteFunction:
    """Delete the function, with all that belongs to it."""


@dataclass(frozen=True, slots=True)
class WaitGone:
    """Wait until Lambda has deleted the function, so that its name is free."""


@dataclass(frozen=True, slots=True)
class WaitSettled:
    """Wait until the function is neither being created nor updated.

    A failure found then ends the deployment when it is `ours`; an earlier one is what the next step repairs.
    """

    ours: bool = True


@dataclass(frozen=True, slots=True)
class SetAspect:
    """Lead one of the things that hang on the function (`aspects`) from one state to another."""

    name: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class PublishVersion:
    """Make `$LATEST` a version that never changes, and wait until it can be invoked."""


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """Invoke the new version with the configured event; it has to answer without an error."""


@dataclass(frozen=True, slots=True)
class MoveAlias:
    """Let the alias name the new version: for a share of the traffic at first, where `shares` (%) say so."""

    alias: str
    shares: tuple[int, ...] = ()


Step: TypeAlias = (
    CreateFunction
    | UpdateConfiguration
    | UpdateCode
    | PutConcurrency
    | DeleteConcurrency
    | RequireCode
    | DeleteFunction
    | WaitGone
    | WaitSettled
    | SetAspect
    | PublishVersion
    | SmokeTest
    | MoveAlias
)

_LABELS: dict[type, str] = {
    CreateFunction: "create",
    UpdateConfiguration: "configure",
    UpdateCode: "code",
    PutConcurrency: "concurrency",
    DeleteConcurrency: "concurrency",
    RequireCode: "look for code",
    DeleteFunction: "delete",
    WaitGone: "wait",
    WaitSettled: "wait",
    PublishVersion: "publish",
    SmokeTest: "smoke test",
    MoveAlias: "traffic",
}


def label(step: Step) -> str:
    """Return a step's name for a progress line."""
    return step.name.replace("_", " ") if isinstance(step, SetAspect) else _LABELS[type(step)]


def described(step: Step) -> str:
    """Return what a step does, as a plan lists it."""
    match step:
        case UpdateConfiguration(fields=fields):
            return f"configure {', '.join(fields)}"
        case PutConcurrency(reserved=reserved):
            return f"reserve {reserved} concurrent executions"
        case DeleteConcurrency():
            return "release the reserved concurrency"
        case SetAspect(name=name, after=after):
            return f"{'remove' if after is None else 'set'} {name.replace('_', ' ')}"
        case MoveAlias(alias=alias, shares=shares):
            by = f", by {', '.join(f'{share} %' for share in shares)}" if shares else ""
            return f"move the alias {alias} to it{by}"
        case CreateFunction():
            return "create the function"
        case UpdateCode():
            return "send the code"
        case RequireCode():
            return "see that the code is there"
        case DeleteFunction():
            return "delete the function"
        case WaitGone():
            return "wait until it is gone"
        case WaitSettled():
            return "wait until Lambda is ready"
        case PublishVersion():
            return "publish a version"
        case SmokeTest():
            return "invoke that version with the smoke event"


def undone_by(step: Step) -> str | None:
    """Return how a failure later on undoes a step; None for one that changes nothing or stays."""
    match step:
        case UpdateConfiguration():
            return "the former configuration is set again"
        case UpdateCode():
            return "the former code is sent again"
        case PutConcurrency() | DeleteConcurrency():
            return "the former reservation is made again"
        case SetAspect(before=before):
            return "removed again" if before is None else "set as before"
        case MoveAlias():
            return "the alias goes back to the former version"
        case _:
            return None
