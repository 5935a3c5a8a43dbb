"""From observed to desired: what differs, and the steps that end the difference. Pure; nothing is called.

The order of an update. Lambda changes configuration and code in two calls, so for a moment one of them is
old. Configuration goes first, as in Terraform's provider: what it adds (variables, memory, layers, rights)
does not disturb the old code, the new code finds it when it arrives, and a configuration that Lambda refuses
has not touched the code. A runtime or a handler that changes together with the code fits neither order;
publishing a version and moving an alias would, and no order of these two calls can.

A reservation of 0 turns a function off, so it comes before the update; any other comes after it.

What AWS does not mention is taken as absent, as in Lambda's API. An emulator that ignores a field shows it as
a difference each time: moto 5.2 does so when the KMS key or the architecture of an existing function changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from planton_build.deploy.desired import DesiredFunction
from planton_build.deploy.observed import ObservedFunction
from planton_build.errors import DeployRefused
from planton_build.manifest.code_source import S3Source

MASK = "•••"
"""What stands for the value of an environment variable wherever a plan is shown."""

CONFIGURATION = (
    "description",
    "role",
    "runtime",
    "handler",
    "memory_mb",
    "timeout_seconds",
    "environment",
    "subnets",
    "security_groups",
    "layers",
    "kms_key",
)
"""The fields that UpdateFunctionConfiguration sets. Architecture is not one: it goes with the code."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, for people. None stands for absent; a `secret` has its values masked already."""

    field: str
    before: str | None
    after: str | None
    secret: bool = False


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
class WaitSettled:
    """Wait until the function is neither being created nor updated.

    A failure found then ends the deployment when it is `ours`; an earlier one is what the next step repairs.
    """

    ours: bool = True


Step: TypeAlias = (
    CreateFunction | UpdateConfiguration | UpdateCode | PutConcurrency | DeleteConcurrency | WaitSettled
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Ordered steps from observed to desired.

    `changes` is what they change, for display; it is empty exactly when nothing differs. `notes` are remarks
    such as why code is sent that may be there already.
    """

    desired: DesiredFunction
    observed: ObservedFunction | None
    steps: tuple[Step, ...]
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Tell whether the function is as desired."""
        return not self.changes


def plan(desired: DesiredFunction, observed: ObservedFunction | None) -> Plan:
    """Compare, and return the steps to take.

    Raises DeployRefused when the function would have to change its package type, which Lambda cannot do.
    """
    if observed is None:
        return _creation(desired)
    if desired.package != observed.package:
        raise DeployRefused(
            f"{desired.name} is deployed as {observed.package} and the manifest makes it {desired.package}; "
            "Lambda cannot change the package type of a function",
            hint="give the function another name, or delete the deployed one first",
        )
    fields = tuple(name for name in CONFIGURATION if getattr(desired, name) != getattr(observed, name))
    changes = [change for name in fields for change in _changes(name, desired, observed)]
    notes: list[str] = []
    code = _code_changes(desired, observed, notes)
    changes += code
    if observed.failed:
        # What is shown as the configuration of a failed update is what was asked for, not what runs.
        fields, redo = CONFIGURATION, _failure(observed)
        changes.append(redo)
        notes.append("the last deployment failed, so everything is sent again")
    concurrency = _concurrency(desired, observed)
    changes += _concurrency_changes(desired, observed) if concurrency else []
    steps = _steps(fields, concurrency, code=bool(code) or observed.failed)
    if observed.busy:
        steps = (WaitSettled(ours=not steps), *steps)
    return Plan(desired, observed, steps, tuple(changes), tuple(notes))


def _steps(fields: tuple[str, ...], concurrency: Step | None, *, code: bool) -> tuple[Step, ...]:
    steps: list[Step] = []
    if fields:
        steps += [UpdateConfiguration(fields), WaitSettled()]
    if code:
        steps += [UpdateCode(), WaitSettled()]
    if concurrency is None:
        return tuple(steps)
    off = isinstance(concurrency, PutConcurrency) and concurrency.reserved == 0
    return (concurrency, *steps) if off else (*steps, concurrency)


def _creation(desired: DesiredFunction) -> Plan:
    steps: list[Step] = [CreateFunction(), WaitSettled()]
    changes = [Change("function", None, desired.name), Change("code", None, _code_name(desired))]
    changes.append(Change("architecture", None, desired.architecture))
    for name in CONFIGURATION:
        changes += _changes(name, desired, None)
    reserved = desired.reserved_concurrency
    if reserved is not None and reserved >= 0:
        steps.append(PutConcurrency(reserved))
        changes.append(Change("reserved_concurrency", None, str(reserved)))
    return Plan(desired, None, tuple(steps), tuple(changes))


def _changes(name: str, desired: DesiredFunction, observed: ObservedFunction | None) -> list[Change]:
    """Return the differences of one field; the environment has one for each variable."""
    after = getattr(desired, name)
    before = None if observed is None else getattr(observed, name)
    if name != "environment":
        shown = Change(name, _shown(before), _shown(after))
        return [shown] if shown.before != shown.after else []
    if observed is not None and before is None:
        return [Change("environment", "unreadable", MASK, secret=True)]
    old, new = before or {}, after
    return [
        Change(
            f"environment.{key}",
            MASK if key in old else None,
            MASK if key in new else None,
            secret=True,
        )
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _shown(value: object) -> str | None:
    if isinstance(value, tuple):
        return ", ".join(value) or None
    return None if value in (None, "") else str(value)


def _code_changes(desired: DesiredFunction, observed: ObservedFunction, notes: list[str]) -> list[Change]:
    changes = []
    if desired.architecture != observed.architecture:
        changes.append(Change("architecture", observed.architecture, desired.architecture))
    if same_code(desired, observed):
        return changes
    changes.append(Change("code", observed.code_sha256 or observed.image_uri or None, _code_name(desired)))
    if desired.code_sha256 is None:
        notes.append(
            f"{_code_name(desired)} does not say which bytes it holds, so the code is sent again each time"
        )
    return changes


def same_code(desired: DesiredFunction, observed: ObservedFunction) -> bool:
    """Tell whether the desired code is known to be deployed."""
    if desired.code_sha256 is None:
        return False
    if desired.code_sha256 == observed.code_sha256:
        return True
    # An image named by its digest is the same image when it is named the same.
    return not isinstance(desired.code, S3Source) and desired.code.image_uri == observed.image_uri


def _code_name(desired: DesiredFunction) -> str:
    if isinstance(desired.code, S3Source):
        version = f" (version {desired.code.object_version})" if desired.code.object_version else ""
        return desired.code_sha256 or f"s3://{desired.code.bucket}/{desired.code.key}{version}"
    return desired.code.image_uri


def _failure(observed: ObservedFunction) -> Change:
    code, _ = observed.failure
    return Change("state", f"Failed ({code})" if code else "Failed", "Active")


def _concurrency(desired: DesiredFunction, observed: ObservedFunction) -> Step | None:
    wanted, found = desired.reserved_concurrency, observed.reserved_concurrency
    if wanted is None or wanted == found or (wanted < 0 and found is None):
        return None
    return DeleteConcurrency() if wanted < 0 else PutConcurrency(wanted)


def _concurrency_changes(desired: DesiredFunction, observed: ObservedFunction) -> list[Change]:
    found, wanted = observed.reserved_concurrency, desired.reserved_concurrency
    after = None if wanted is None or wanted < 0 else str(wanted)
    return [Change("reserved_concurrency", None if found is None else str(found), after)]
