"""Carry out a plan: call, wait until Lambda has settled, call again. Safe to kill and to run again."""

from __future__ import annotations

import time
from dataclasses import dataclass

from planton_build.deploy.aspect_steps import lead
from planton_build.deploy.aspects.all import aspect_named
from planton_build.deploy.aspects.aspect import Phase, Scope
from planton_build.deploy.availability import BaseUrlOf, require_code
from planton_build.deploy.desired import DesiredFunction
from planton_build.deploy.failures import replacement_required
from planton_build.deploy.function_steps import configure, create, delete, reserve, update_code
from planton_build.deploy.observed import ObservedFunction
from planton_build.deploy.patience import Patience
from planton_build.deploy.plan import Plan
from planton_build.deploy.rollout import move_alias, publish, smoke_test
from planton_build.deploy.run import Run
from planton_build.deploy.scope import scope_of
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
    label,
)
from planton_build.deploy.undo import Report, undo
from planton_build.errors import PlantonError
from planton_build.events import Listener, StepFinished, StepStarted, ignore
from planton_build.publish.aws import Aws


@dataclass(frozen=True, slots=True)
class Applied:
    """What a deployment did. `calls` counts the calls that change something, refused ones included.

    `observed` is the function as it was last read; `version` is what was published, None when nothing was.
    `moved` tells whether traffic goes to that version.
    """

    function: str
    changed: bool
    calls: int
    observed: ObservedFunction | None
    version: str | None = None
    moved: bool = False


def apply(
    plan: Plan,
    aws: Aws,
    region: str | None,
    listener: Listener = ignore,
    *,
    patience: Patience | None = None,
    replacing: bool = False,
    moving: bool = True,
    base_url_of: BaseUrlOf | None = None,
) -> Applied:
    """Take the steps of a plan, each with a wait where Lambda needs one; a plan without steps calls nothing.

    `region` is the function's; None means the session's. A function is deleted, to be created anew, only when
    `replacing` is set, and when its new code is seen to be there; `base_url_of` is as in `require_code`.
    Without `moving`, a new version is published and tried out, and the traffic stays where it is.

    When a step fails, those before it are undone, and the error says so. Killed in between, the next plan
    goes on from where this one was.

    Raises ReplacementRequired, DeployRefused, DeployConflict (somebody else changed the function since it was
    read), DeployTimeout, FunctionFailed, SmokeTestFailed, RolloutFailed, HashMismatch (Lambda got other bytes
    than the code source's name says), AccessDenied, CredentialsMissing or AwsUnreachable; and what
    `require_code` raises.
    """
    if plan.replaces and not replacing:
        raise replacement_required(plan)
    desired = plan.desired
    run = Run(
        desired.name,
        aws,
        region,
        listener=listener,
        patience=patience or Patience(),
        seen=plan.observed,
        desired=desired,
        hidden=_secrets(plan),
    )
    taker = _Taker(run, plan, scope_of(desired, aws, region), base_url_of)
    begun: list[Step] = []
    try:
        for step in plan.steps:
            if moving or not _brings_traffic(step):
                begun.append(step)
                taker.take(step)
    except PlantonError as error:
        report = undo(run, plan, begun, taker.scope, error, version=taker.version)
        raise _reported(error, report) from error.__cause__
    version = taker.version or None
    return Applied(desired.name, run.changed, run.calls, run.seen, version, plan.moves and moving)


def _secrets(plan: Plan) -> tuple[str, ...]:
    """Return the values that no message may show: those to be set, and those that undoing sets again."""
    before = plan.observed.environment if plan.observed else None
    return (*plan.desired.environment.values(), *(before or {}).values())


def _brings_traffic(step: Step) -> bool:
    if isinstance(step, SetAspect):
        return bool(aspect_named(step.name).phase is Phase.SERVING)
    return isinstance(step, MoveAlias)


def _reported(error: PlantonError, report: Report) -> PlantonError:
    """Return the error with what became of the deployment added to its message."""
    text = str(report)
    if not text or not (report.done or report.undone or report.left):
        return error
    return type(error)(f"{error.message}; {text}", hint=error.hint)


class _Taker:
    """Takes the steps of one plan."""

    def __init__(self, run: Run, plan: Plan, scope: Scope, base_url_of: BaseUrlOf | None) -> None:
        self.scope = scope
        self.published: ObservedFunction | None = None
        self._run = run
        self._plan = plan
        self._base_url_of = base_url_of

    @property
    def version(self) -> str:
        """Return the version that was published, "" when none was."""
        return self.published.version if self.published else ""

    @property
    def _desired(self) -> DesiredFunction:
        return self._plan.desired

    def take(self, step: Step) -> None:
        """Take one step, and tell the listener."""
        run, started = self._run, time.monotonic()
        run.listener(StepStarted(run.name, label(step)))
        if isinstance(step, PublishVersion | SmokeTest | MoveAlias | SetAspect):
            self._beside(step)
        else:
            self._function(step)
        run.listener(StepFinished(run.name, label(step), self._detail(step), time.monotonic() - started))

    def _function(self, step: Step) -> None:
        run, desired = self._run, self._desired
        match step:
            case CreateFunction():
                create(run, desired)
            case UpdateConfiguration(fields=fields):
                configure(run, desired, fields)
            case UpdateCode():
                update_code(run, desired)
            case PutConcurrency(reserved=reserved):
                reserve(run, reserved)
            case DeleteConcurrency():
                reserve(run, None)
            case RequireCode():
                require_code(desired, run.aws, run.region, base_url_of=self._base_url_of)
            case DeleteFunction():
                delete(run)
            case WaitGone():
                run.wait_gone()
            case WaitSettled(ours=ours):
                run.settle(ours=ours)
                run.mind()

    def _beside(self, step: PublishVersion | SmokeTest | MoveAlias | SetAspect) -> None:
        run, desired, version = self._run, self._desired, self.version
        match step:
            case PublishVersion():
                self.published = publish(run, desired)
            case SmokeTest():
                smoke_test(run, version, desired.settings.rollout.smoke_event or b"{}")
            case MoveAlias(alias=alias):
                move_alias(run, desired, alias, version, None if run.deleted else self._plan.alias)
            case SetAspect(name=name, before=before, after=after):
                lead(run, aspect_named(name), self.scope, before, after)

    def _detail(self, step: Step) -> str:
        version = self.version
        match step:
            case UpdateConfiguration(fields=fields):
                return ", ".join(fields)
            case PutConcurrency(reserved=reserved):
                return f"{reserved} reserved"
            case DeleteConcurrency():
                return "no reservation"
            case PublishVersion() | SmokeTest():
                return f"version {version}"
            case MoveAlias(alias=alias):
                return f"{alias} serves version {version}"
            case _:
                return ""
