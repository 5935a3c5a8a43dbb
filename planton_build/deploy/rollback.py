"""Going back: the alias names an earlier version again, which is as it was, configuration included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planton_build.deploy.life.versions import PublishedVersion, find_version, list_versions
from planton_build.deploy.observed import observe
from planton_build.deploy.patience import Patience
from planton_build.deploy.rollout import AliasMover, settled, smoke_test
from planton_build.deploy.run import Run
from planton_build.deploy.traffic import ObservedAlias, before_mark, observe_alias
from planton_build.errors import NotDeployable, VersionUnknown
from planton_build.events import Listener, Note, StepFinished, StepStarted, ignore
from planton_build.publish.aws import Aws

_INACTIVE = "version {version} has been idle, so its first invocations may fail until Lambda has restored it"


@dataclass(frozen=True, slots=True)
class RolledBack:
    """Where an alias went: `before` and `after` are version numbers; `calls` counts changing calls."""

    function: str
    alias: str
    before: str
    after: PublishedVersion
    changed: bool
    calls: int


def rollback(
    function: str,
    alias: str | None,
    aws: Aws,
    region: str | None,
    *,
    to: str | None = None,
    smoke_event: bytes | None = None,
    listener: Listener = ignore,
    patience: Patience | None = None,
) -> RolledBack:
    """Let the alias serve an earlier version, at once, after it has passed its smoke test where there is one.

    `to` is a version's number, the start of its code's digest, or of the commit it was built from. None is
    the version that served before, as the last deployment has noted in the alias's description, or else the
    one with the next lower number; in the middle of a rollout it is the one that had all the traffic.

    Raises NotDeployable without an alias, VersionUnknown, FunctionFailed, SmokeTestFailed, DeployConflict
    when somebody else moved the alias, and what `Run.send` raises.
    """
    if alias is None:
        raise NotDeployable(
            f"{function} has no alias, so nothing but its newest code can serve",
            hint='set `alias = "live"` under [deploy], deploy once, and the next deployment can be undone',
        )
    found = observe_alias(function, alias, aws, region)
    if found is None:
        raise VersionUnknown(
            f"{function} has no alias {alias} in AWS", hint="deploy it first: `planton-deploy` creates it"
        )
    target = _target(list_versions(function, aws, region), found, to)
    changed = (found.version, dict(found.weights)) != (target.number, {})
    seen = observe(function, aws, region, qualifier=target.number) if changed else None
    hidden = (seen.environment or {}).values() if seen else ()
    run = Run(function, aws, region, listener=listener, patience=patience or Patience(), hidden=hidden)
    if changed:
        listener(StepStarted(function, "roll back"))
        if settled(run, target.number).state == "Inactive":
            listener(Note(function, _INACTIVE.format(version=target.number), "warning"))
        if smoke_event is not None and target.number != found.version:
            smoke_test(run, target.number, smoke_event)
        # What it served before cannot be told by the next rollback any more: it is what failed here.
        described = None if before_mark(found, target.number) is None else ""
        AliasMover(run, alias, found).point(target.number, {}, described)
        listener(StepFinished(function, "roll back", f"{alias} serves {target.shown}"))
    return RolledBack(function, alias, found.version, target, changed, run.calls)


def _target(versions: Sequence[PublishedVersion], found: ObservedAlias, to: str | None) -> PublishedVersion:
    if to is not None:
        return find_version(versions, to)
    if found.weights:
        return find_version(versions, found.version)
    if any(one.number == found.former for one in versions):
        return find_version(versions, found.former)
    serving = _order(found.version)
    numbered = {number: one for one in versions if (number := _order(one.number)) is not None}
    earlier = [number for number in numbered if serving is None or number < serving]
    if not earlier:
        raise VersionUnknown(
            f"no version came before {found.version}, which {found.name} serves",
            hint="name a version with --to; `planton-deploy versions` lists them",
        )
    return numbered[max(earlier)]


def _order(version: str) -> int | None:
    """Return a version's number; None for `$LATEST`, which comes after all of them."""
    return int(version) if version.isascii() and version.isdecimal() else None
