"""The protocol of an aspect: wanted, observed, and the calls that lead from one state of it to another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any, ClassVar, Protocol, TypeVar

from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.publish.aws import Aws


class Unmanaged(Enum):
    """The value of an aspect that the configuration does not mention: neither read nor changed."""

    UNMANAGED = "unmanaged"


UNMANAGED = Unmanaged.UNMANAGED


class Phase(IntEnum):
    """When an aspect is changed, in the order of a deployment."""

    PREPARE = 0
    """Before the function is created or updated; it may not exist yet."""
    FUNCTION = 1
    """On the function as a whole, when `$LATEST` is at rest, before a version is published."""
    SERVING = 2
    """On what serves (the alias, or the function without one), after the alias has moved."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an aspect is: a function, its account, and what of it serves.

    `qualifier` is the alias, "" for a function without one. `account` is twelve digits, `region` a region.
    `arn` is the function's unqualified ARN; it is right also before the function exists.
    """

    name: str
    qualifier: str
    arn: str
    account: str
    region: str
    aws: Aws

    @property
    def qualified(self) -> dict[str, Any]:
        """Return `FunctionName`, and `Qualifier` where there is one, for a request."""
        return {"FunctionName": self.name, **({"Qualifier": self.qualifier} if self.qualifier else {})}

    @property
    def qualified_arn(self) -> str:
        """Return the ARN of what serves."""
        return f"{self.arn}:{self.qualifier}" if self.qualifier else self.arn


@dataclass(frozen=True, slots=True)
class Call:
    """One call that changes something.

    `operation` is AWS's name for it, `doing` words that a function's name can follow ("creating the URL of").
    `send` makes the call with boto3 and lets its exceptions through. `done_codes` are error codes that mean
    that it is done already (such as ResourceNotFoundException of a deletion). `settled` is polled after the
    call until it returns True; it raises FunctionFailed when waiting longer is useless. `hidden` are secrets
    that AWS may quote in a refusal.
    """

    operation: str
    doing: str
    send: Callable[[], object]
    done_codes: frozenset[str] = frozenset()
    settled: Callable[[], bool] | None = None
    hidden: tuple[str, ...] = ()


State = TypeVar("State")


class Aspect(Protocol[State]):
    """One thing that hangs on a function. States are immutable and compared by `==`; None is "not there".

    `observe` and what `calls` returns must be safe to use from several threads. All calls must be such that
    making them again after a lost answer does no harm: either AWS takes them again, or the refusal's code is
    in `done_codes`, or the engine finds by `observe` that the state is reached.
    """

    name: ClassVar[str]
    """As in the configuration, such as `url`."""
    phase: ClassVar[Phase]
    at_creation: ClassVar[bool]
    """True when CreateFunction sets it, so that a new function needs no call of its own."""

    def wanted(self, desired: DesiredFunction) -> State | Unmanaged | None:
        """Return the state that is asked for, None for "not there", or UNMANAGED."""

    def observe(self, scope: Scope, wanted: State | None) -> State | None:
        """Read the state from AWS, in the terms of `wanted`: only what is managed counts.

        Raises AccessDenied, AwsUnreachable, CredentialsMissing or DeployRefused (use `explained`). None when
        the thing, or the function or alias it hangs on, does not exist.
        """

    def changes(self, before: State | None, after: State | None) -> list[Change]:
        """Return the differences for people; empty when the states are equal."""

    def calls(self, scope: Scope, before: State | None, after: State | None) -> Sequence[Call]:
        """Return the calls that lead from `before` to `after`, in order. Used backwards to undo."""


Answer = Mapping[str, Any]
