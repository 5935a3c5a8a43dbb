"""From observed to desired: what differs, and the steps that end the difference. Pure; nothing is called.

The order of an update. What serves is an alias, where the settings name one: then `$LATEST` is changed,
published, tried out, and only then does the alias move; what brings traffic (URL, triggers) comes after that.
Without an alias `$LATEST` itself serves, and configuration and code change in two calls, so for a moment one
of them is old. Configuration goes first, as in Terraform's provider: what it adds (variables, memory, layers,
rights) does not disturb the old code, the new code finds it when it arrives, and a configuration that Lambda
refuses has not touched the code.

The package type of a function is for life: Lambda has no call that makes a ZIP function an image function or
the other way round. Such a function is deleted and created anew, which `apply` does only when it is told to.
What a manifest does not hold is lost then, so `LOST` says what that may be.

A reservation of 0 turns a function off, so it comes before the update; any other comes after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from planton_build.deploy.aspects.all import ASPECTS
from planton_build.deploy.aspects.aspect import UNMANAGED, Aspect, Phase
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.deploy.differences import (
    CONFIGURATION,
    code_changes,
    code_name,
    configuration_changes,
    differing,
    serves,
)
from planton_build.deploy.observed import ObservedFunction
from planton_build.deploy.steps import (
    CreateFunction,
    DeleteConcurrency,
    DeleteFunction,
    MoveAlias,
    PublishVersion,
    PutConcurrency,
    RequireCode,
    SetAspect,
    SmokeTest,
    Step,
    UpdateCode,
    UpdateConfiguration,
    WaitGone,
    WaitSettled,
)
from planton_build.deploy.traffic import LATEST, ObservedAlias

LOST = (
    "its versions and aliases, with their provisioned concurrency",
    "its URL",
    "its resource policy, by which triggers may invoke it",
    "its settings for asynchronous invocations",
    "what neither manifest nor settings hold: tags, tracing, logging, dead letters, file systems, signing",
)
"""What goes with a function that is deleted. AWS Lambda API, DeleteFunction; CreateFunction for the last."""

NEW_VERSION = "a new version"
_OUTLIVING = frozenset({"log_group", "alarms", "event_sources"})
"""The aspects that do not go with a function that is deleted: they belong to themselves."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Ordered steps from observed to desired.

    `changes` is what they change, for display; it is empty exactly when nothing differs. `notes` are remarks
    such as why code is sent that may be there already, `warnings` are dangers. `alias` is what served when
    the plan was made, `aspects` what else was found, by the aspects' names.
    """

    desired: DesiredFunction
    observed: ObservedFunction | None
    steps: tuple[Step, ...]
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()
    alias: ObservedAlias | None = None
    aspects: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Tell whether the function is as desired."""
        return not self.changes

    @property
    def replaces(self) -> bool:
        """Tell whether the function has to be deleted and created anew."""
        return any(isinstance(step, DeleteFunction) for step in self.steps)

    @property
    def moves(self) -> bool:
        """Tell whether an alias is to serve another version."""
        return any(isinstance(step, MoveAlias) for step in self.steps)


def plan(
    desired: DesiredFunction,
    observed: ObservedFunction | None,
    alias: ObservedAlias | None = None,
    aspects: Mapping[str, object] | None = None,
) -> Plan:
    """Compare, and return the steps to take.

    `aspects` are the observed states of what is managed besides the function, None or missing where there is
    nothing. A function that is being deleted counts as none, once it is gone. For a replacement, `observed`
    must know the reserved concurrency.
    """
    found = dict(aspects or {})
    if observed is None:
        return _creation(desired, found)
    if observed.state == "Deleting":
        created = _creation(desired, _outliving(found))
        note = f"Lambda is still deleting the function {desired.name}; that is waited for"
        return replace(created, steps=(WaitGone(), *created.steps), notes=(note, *created.notes))
    if desired.package != observed.package:
        return _replacement(desired, observed, _outliving(found))
    return _update(desired, observed, alias, found)


def _update(
    desired: DesiredFunction,
    observed: ObservedFunction,
    alias: ObservedAlias | None,
    aspects: dict[str, object],
) -> Plan:
    fields = differing(desired, observed)
    changes = [change for name in fields for change in configuration_changes(name, desired, observed)]
    notes: list[str] = []
    code = code_changes(desired, observed, notes)
    changes += code
    if observed.failed:
        # What is shown as the configuration of a failed update is what was asked for, not what runs.
        fields, redo = _managed(desired), _failure(observed)
        changes.append(redo)
        notes.append("the last deployment failed, so everything is sent again")
    concurrency = _concurrency(desired, observed)
    changes += _concurrency_changes(desired, observed) if concurrency else []
    hanging = _hanging(desired, aspects)
    changes += hanging.changes
    moved = bool(set(fields) - {"description"} or code or observed.failed)
    traffic = _traffic(desired, alias, moved=moved, changes=changes, notes=notes)
    steps = _steps(fields, concurrency, hanging, traffic, code=bool(code) or observed.failed)
    if observed.busy:
        steps = (WaitSettled(ours=not steps), *steps)
    warnings = _dangers(alias) if steps else ()
    return Plan(desired, observed, steps, tuple(changes), tuple(notes), alias, aspects, warnings)


def _dangers(alias: ObservedAlias | None) -> tuple[str, ...]:
    if alias is None or alias.version != LATEST:
        return ()
    danger = f"the alias {alias.name} names {LATEST}, so what is changed now serves at once, tried out or not"
    return (f"{danger}; from then on it names versions",)


def _outliving(aspects: dict[str, object]) -> dict[str, object]:
    return {name: state for name, state in aspects.items() if name in _OUTLIVING}


def _managed(desired: DesiredFunction) -> tuple[str, ...]:
    return tuple(name for name in CONFIGURATION if getattr(desired, name) is not None)


@dataclass(frozen=True, slots=True)
class _Hanging:
    """The steps of aspects, by phase, and what they change."""

    steps: Mapping[Phase, tuple[Step, ...]]
    changes: tuple[Change, ...]


def _hanging(desired: DesiredFunction, found: Mapping[str, object], *, creating: bool = False) -> _Hanging:
    steps: dict[Phase, list[Step]] = {phase: [] for phase in Phase}
    changes: list[Change] = []
    for aspect in ASPECTS:
        after = aspect.wanted(desired)
        before = found.get(aspect.name)
        if after is UNMANAGED or after == before:
            continue
        changes += _shown(aspect, before, after)
        if not (creating and aspect.at_creation):
            steps[aspect.phase].append(SetAspect(aspect.name, before, after))
    return _Hanging({phase: tuple(some) for phase, some in steps.items()}, tuple(changes))


def _shown(aspect: Aspect[Any], before: object, after: object) -> list[Change]:
    """Return an aspect's changes; there is one at least, because something is called for it."""
    return aspect.changes(before, after) or [Change(aspect.name, "as it is", "as configured")]


def _steps(
    fields: tuple[str, ...],
    concurrency: Step | None,
    hanging: _Hanging,
    traffic: tuple[Step, ...],
    *,
    code: bool,
) -> tuple[Step, ...]:
    steps: list[Step] = []
    if fields:
        steps += [UpdateConfiguration(fields), WaitSettled()]
    if code:
        steps += [UpdateCode(), WaitSettled()]
    if concurrency is not None:
        off = isinstance(concurrency, PutConcurrency) and concurrency.reserved == 0
        steps = [concurrency, *steps] if off else [*steps, concurrency]
    before = (*hanging.steps[Phase.PREPARE], *hanging.steps[Phase.FUNCTION])
    return (*before, *steps, *traffic, *hanging.steps[Phase.SERVING])


def _traffic(
    desired: DesiredFunction,
    alias: ObservedAlias | None,
    *,
    moved: bool,
    changes: list[Change],
    notes: list[str],
) -> tuple[Step, ...]:
    """Return the steps that bring traffic to what is desired, and add what they change."""
    name, rollout = desired.settings.alias, desired.settings.rollout
    if name is None:
        return ()
    floating = alias is not None and alias.version == LATEST
    if alias is not None and not (moved or floating or alias.weights) and serves(desired, alias.serving):
        return ()
    changes.append(Change(f"alias.{name}", alias.shown if alias else None, NEW_VERSION))
    if alias is not None and not (moved or floating):
        notes.append(
            f"the alias {name} does not serve what is deployed: a deployment was stopped or rolled back"
        )
    steps: list[Step] = [PublishVersion()]
    if rollout.smoke_event is not None and desired.reserved_concurrency == 0:
        notes.append("no smoke test: with a reserved concurrency of 0 the function cannot be invoked")
    elif rollout.smoke_event is not None:
        steps.append(SmokeTest())
    return (*steps, MoveAlias(name, rollout.steps if alias is not None and not floating else ()))


def _creation(desired: DesiredFunction, aspects: dict[str, object]) -> Plan:
    hanging = _hanging(desired, aspects, creating=True)
    changes = [Change("function", None, desired.name), Change("code", None, code_name(desired))]
    changes.append(Change("architecture", None, desired.architecture))
    for name in CONFIGURATION:
        changes += configuration_changes(name, desired, None)
    steps: list[Step] = [*hanging.steps[Phase.PREPARE], CreateFunction(), WaitSettled()]
    reserved = desired.reserved_concurrency
    if reserved is not None and reserved >= 0:
        steps.append(PutConcurrency(reserved))
        changes.append(Change("reserved_concurrency", None, str(reserved)))
    changes += hanging.changes
    notes: list[str] = []
    traffic = _traffic(desired, None, moved=True, changes=changes, notes=notes)
    steps += [*hanging.steps[Phase.FUNCTION], *traffic, *hanging.steps[Phase.SERVING]]
    return Plan(desired, None, tuple(steps), tuple(changes), tuple(notes), aspects=aspects)


def _replacement(desired: DesiredFunction, observed: ObservedFunction, aspects: dict[str, object]) -> Plan:
    """Delete and create anew. A reservation that the manifest does not manage is made again."""
    created = _creation(desired, aspects)
    steps: list[Step] = [step for step in created.steps if not isinstance(step, PutConcurrency)]
    place = next(number for number, step in enumerate(steps) if isinstance(step, WaitSettled)) + 1
    changes = [
        Change("package", observed.package, desired.package),
        *(change for name in CONFIGURATION for change in configuration_changes(name, desired, observed)),
        *code_changes(desired, observed, []),
    ]
    reserved, found = desired.reserved_concurrency, observed.reserved_concurrency
    if _concurrency(desired, observed) is not None:
        changes += _concurrency_changes(desired, observed)
    if (again := found if reserved is None else reserved) is not None and again >= 0:
        steps.insert(place, PutConcurrency(again))
    changes += _hanging(desired, aspects, creating=True).changes
    if desired.settings.alias is not None:
        changes.append(Change(f"alias.{desired.settings.alias}", None, NEW_VERSION))
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
    steps = [RequireCode(), DeleteFunction(), WaitGone(), *steps]
    return Plan(desired, observed, tuple(steps), tuple(changes), tuple(notes), aspects=aspects)


def _lost() -> str:
    return "; ".join(LOST)


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
