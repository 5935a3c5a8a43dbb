"""From observed to desired: what differs, and the steps that end the difference. Pure; nothing is called.

The order of an update. Lambda changes configuration and code in two calls, so for a moment one of them is
old. Configuration goes first, as in Terraform's provider: what it adds (variables, memory, layers, rights)
does not disturb the old code, the new code finds it when it arrives, and a configuration that Lambda refuses
has not touched the code. A runtime or a handler that changes together with the code fits neither order;
publishing a version and moving an alias would, and no order of these two calls can.

The package type of a function is for life: Lambda has no call that makes a ZIP function an image function or
the other way round. Such a function is deleted and created anew, which `apply` does only when it is told to.
What a manifest does not hold is lost then, so `LOST` says what that may be.

A reservation of 0 turns a function off, so it comes before the update; any other comes after it.

What AWS does not mention is taken as absent, as in Lambda's API. An emulator that ignores a field shows it as
a difference each time: moto 5.2 does so when the KMS key or the architecture of an existing function changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from planton_build.deploy.change import MASK, Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.deploy.observed import ObservedFunction
from planton_build.manifest.code_source import S3Source

LOST = (
    "its versions and aliases, with their provisioned concurrency",
    "its URL",
    "its resource policy, by which triggers may invoke it",
    "its settings for asynchronous invocations",
    "what no manifest holds: tags, tracing, logging, dead letters, file systems, code signing",
)
"""What goes with a function that is deleted. AWS Lambda API, DeleteFunction; CreateFunction for the last."""

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

    @property
    def replaces(self) -> bool:
        """Tell whether the function has to be deleted and created anew."""
        return any(isinstance(step, DeleteFunction) for step in self.steps)


def plan(desired: DesiredFunction, observed: ObservedFunction | None) -> Plan:
    """Compare, and return the steps to take.

    A function that is being deleted counts as none, once it is gone. For a replacement, `observed` must know
    the reserved concurrency.
    """
    if observed is None:
        return _creation(desired)
    if observed.state == "Deleting":
        created = _creation(desired)
        note = f"Lambda is still deleting the function {desired.name}; that is waited for"
        return replace(created, steps=(WaitGone(), *created.steps), notes=(note,))
    if desired.package != observed.package:
        return _replacement(desired, observed)
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


def _replacement(desired: DesiredFunction, observed: ObservedFunction) -> Plan:
    """Delete and create anew. A reservation that the manifest does not manage is made again."""
    steps: list[Step] = [RequireCode(), DeleteFunction(), WaitGone(), CreateFunction(), WaitSettled()]
    changes = [
        Change("package", observed.package, desired.package),
        *(change for name in CONFIGURATION for change in _changes(name, desired, observed)),
        *_code_changes(desired, observed, []),
    ]
    reserved, found = desired.reserved_concurrency, observed.reserved_concurrency
    if _concurrency(desired, observed) is not None:
        changes += _concurrency_changes(desired, observed)
    if (again := found if reserved is None else reserved) is not None and again >= 0:
        steps.append(PutConcurrency(again))
    notes = [
        (
            f"{desired.name} has to be replaced: it is deployed as {observed.package}, the manifest makes it "
            f"{desired.package}, and Lambda cannot change the package type of a function"
        ),
        f"replacing deletes it and creates it anew; until then it does not answer, and with it go {_lost()}",
        "triggers and event source mappings elsewhere go on naming it; see that they work afterwards",
    ]
    if reserved is None and found is not None:
        notes.append(f"its reserved concurrency of {found} is reserved again")
    return Plan(desired, observed, tuple(steps), tuple(changes), tuple(notes))


def _lost() -> str:
    return "; ".join(LOST)


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
    if isinstance(desired.code, S3Source):
        return desired.code_sha256 == observed.code_sha256
    # Lambda fetches an image again when a function was idle: from another repository it is another code.
    uri, found = desired.code.image_uri, observed.image_uri
    same_place = not found or _repository(uri) == _repository(found)
    # An image named by its digest is the same image when it is named the same.
    return uri == found or (same_place and desired.code_sha256 == observed.code_sha256)


def _repository(uri: str) -> str:
    """Return an image's name without tag and digest. A colon before the last `/` is that of a port."""
    place, slash, name = uri.partition("@")[0].rpartition("/")
    return place + slash + name.partition(":")[0]


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
