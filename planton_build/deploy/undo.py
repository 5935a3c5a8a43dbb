"""Undoing a deployment that failed: its steps backwards, each only as far as it was taken.

What was created stays: nothing relied on it, and the next deployment goes on from there. A published version
stays too, for a look at why it failed; no alias names it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planton_build.deploy.aspect_steps import lead_back
from planton_build.deploy.aspects.all import aspect_named
from planton_build.deploy.aspects.aspect import Scope
from planton_build.deploy.availability import require_object
from planton_build.deploy.code_location import MAX_DIRECT_BYTES, fetch_code
from planton_build.deploy.differences import fits, repository_of, same_code
from planton_build.deploy.function_steps import reserve_again, restore_code, restore_configuration
from planton_build.deploy.observed import ObservedFunction
from planton_build.deploy.plan import Plan
from planton_build.deploy.rollout import AliasMover
from planton_build.deploy.run import Run
from planton_build.deploy.steps import (
    CreateFunction,
    DeleteConcurrency,
    DeleteFunction,
    MoveAlias,
    PutConcurrency,
    SetAspect,
    Step,
    UpdateCode,
    UpdateConfiguration,
    label,
)
from planton_build.deploy.traffic import observe_alias
from planton_build.errors import DeployConflict, DeployTimeout, PlantonError
from planton_build.manifest.code_source import S3Source
from planton_build.publish.keys import digest_in_key


@dataclass(frozen=True, slots=True)
class Report:
    """What was done, and what became of it: steps undone, and for those that could not be, why."""

    done: tuple[str, ...]
    undone: tuple[str, ...]
    left: tuple[tuple[str, str], ...]
    serving: str = ""
    stays: str = ""

    def __str__(self) -> str:
        """Return it as a sentence for people."""
        parts = []
        if self.undone:
            parts.append(f"undone: {', '.join(self.undone)}")
        parts += [f"not undone: {what} ({why})" for what, why in self.left]
        parts += [part for part in (self.serving, self.stays) if part]
        return "; ".join(parts)


def undo(
    run: Run,
    plan: Plan,
    begun: Sequence[Step],
    scope: Scope,
    error: PlantonError,
    *,
    version: str = "",
) -> Report:
    """Undo the steps that were begun, the last one first. Never raises; the report says what went wrong.

    `version` is what was published. What somebody else has changed since it was set stays as it is.
    """
    done = tuple(dict.fromkeys(label(step) for step in begun[:-1] if label(step) != "wait"))
    if any(isinstance(step, CreateFunction | DeleteFunction) for step in begun):
        return Report(done, (), (), "what was made stays; deploy again to go on")
    if isinstance(error, DeployTimeout):
        why = "Lambda is still busy with it"
        return Report(done, (), tuple((label(step), why) for step in begun if _undoable(step)))
    undone: list[str] = []
    left: list[tuple[str, str]] = []
    run.expected = run.desired = None
    for step in reversed([step for step in begun if _undoable(step)]):
        # A step that failed may have been taken in part, unless it was somebody else who stopped it.
        whole = step is not begun[-1] or isinstance(error, DeployConflict)
        try:
            if _undo(run, plan, step, scope, _Taken(whole, version)):
                undone.append(label(step))
        except PlantonError as failure:
            left.append((label(step), failure.message))
    serving = _serving(plan, left)
    stays = f"version {version} stays for a look at it" if version and serving else ""
    return Report(done, tuple(undone), tuple(left), serving, stays)


def _serving(plan: Plan, left: Sequence[tuple[str, str]]) -> str:
    """Say what serves now, where that is certain."""
    if plan.alias is None or any(what == "traffic" for what, _ in left):
        return ""
    return f"the alias {plan.alias.name} serves {plan.alias.shown}, as before"


def _undoable(step: Step) -> bool:
    return isinstance(
        step, UpdateConfiguration | UpdateCode | PutConcurrency | DeleteConcurrency | SetAspect | MoveAlias
    )


@dataclass(frozen=True, slots=True)
class _Taken:
    """How far a step was taken: as a whole or in part, and with which version."""

    whole: bool
    version: str


def _undo(run: Run, plan: Plan, step: Step, scope: Scope, taken: _Taken) -> bool:
    """Undo one step; tell whether there was anything to undo."""
    before = plan.observed
    match step:
        case SetAspect(name=name, before=was, after=wanted):
            return lead_back(run, aspect_named(name), scope, was, wanted, whole=taken.whole)
        case MoveAlias(alias=alias):
            return _move_back(run, plan, alias, taken.version)
        case UpdateConfiguration(fields=fields) if before is not None:
            _mind(run, plan, before, fields)
            return restore_configuration(run, before, fields)
        case UpdateCode() if before is not None:
            return _restore_code(run, plan, before)
        case PutConcurrency(reserved=reserved) if before is not None:
            return reserve_again(run, before, reserved)
        case DeleteConcurrency() if before is not None:
            return reserve_again(run, before, None)
        case _:
            return False


def _mind(run: Run, plan: Plan, before: ObservedFunction, fields: tuple[str, ...]) -> None:
    """Leave alone what somebody else has set meanwhile."""
    run.settle(ours=False)
    seen = run.seen
    if seen is None:
        return
    others = [
        name
        for name in fields
        if getattr(seen, name) != getattr(before, name) and not fits(name, plan.desired, seen)
    ]
    if others:
        raise DeployConflict(f"somebody else changed {', '.join(others)} meanwhile")


def _move_back(run: Run, plan: Plan, alias: str, version: str) -> bool:
    now = observe_alias(run.name, alias, run.aws, run.region)
    before = plan.alias
    if now is None or (before and (now.version, now.weights) == (before.version, before.weights)):
        return False
    # Lambda itself gives shares to the former version, while it moves an alias that is provisioned.
    ours = {version, before.version} if before else {version}
    if not {now.version, *now.weights} <= ours:
        raise DeployConflict("somebody else moved it meanwhile", hint="look at it in AWS")
    mover = AliasMover(run, alias, now)
    if before is None:
        mover.delete()
    else:
        mover.point(before.version, dict(before.weights), before.description)
    return True


def _restore_code(run: Run, plan: Plan, before: ObservedFunction) -> bool:
    run.settle(ours=False)
    seen = run.seen
    if seen is not None and (seen.code_sha256, seen.architecture) == (
        before.code_sha256,
        before.architecture,
    ):
        return False
    if seen is not None and not _ours(plan, seen):
        raise DeployConflict("somebody else sent other code meanwhile", hint="look at it in AWS")
    return restore_code(run, before, _former_code(run, plan, before))


def _ours(plan: Plan, seen: ObservedFunction) -> bool:
    """Tell whether the code is what this deployment has sent, or may be: some sources do not tell."""
    desired = plan.desired
    if isinstance(desired.code, S3Source):
        return desired.code_sha256 in (None, seen.code_sha256)
    return seen.image_uri in ("", desired.code.image_uri) or same_code(desired, seen)


def _former_code(run: Run, plan: Plan, before: ObservedFunction) -> dict[str, Any]:
    """Return where the former code is. A ZIP lies beside the new one, under its own digest."""
    if before.package == "Image":
        if before.code_sha256 is None:
            raise DeployConflict(f"AWS does not tell which image {run.name} had")
        return {"ImageUri": f"{repository_of(before.image_uri)}@sha256:{before.code_sha256}"}
    try:
        former = _former_object(plan, before)
        require_object(former, run.aws, run.aws.region(run.region))
    except PlantonError:
        if (content := _served_code(run, plan, before)) is None:
            raise
        return {"ZipFile": content}
    return {"S3Bucket": former.bucket, "S3Key": former.key}


def _former_object(plan: Plan, before: ObservedFunction) -> S3Source:
    code = plan.desired.code
    digest = digest_in_key(code.key) if isinstance(code, S3Source) else None
    if not isinstance(code, S3Source) or digest is None or before.code_sha256 is None:
        raise DeployConflict("it is not known where the former code is; deploy the former manifest")
    return S3Source(code.bucket, code.key.replace(digest, before.code_sha256), None)


def _served_code(run: Run, plan: Plan, before: ObservedFunction) -> bytes | None:
    """Return the former ZIP as the version that serves has it, if it is the same and can be sent directly."""
    alias = plan.alias
    if alias is None or alias.serving.code_sha256 != before.code_sha256 or before.code_sha256 is None:
        return None
    with tempfile.TemporaryDirectory(prefix="planton-code-") as folder:
        path = Path(folder) / "code.zip"
        found = fetch_code(run.name, run.aws, run.region, path, qualifier=alias.version)
        if found != before.code_sha256 or path.stat().st_size > MAX_DIRECT_BYTES:
            return None
        return path.read_bytes()
