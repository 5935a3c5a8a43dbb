"""Going back: the alias names an earlier version again, which is as it was, configuration included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planton_build.deploy.life.versions import PublishedVersion, find_version, list_versions
from planton_build.deploy.patience import Patience
from planton_build.deploy.rollout import AliasMover, smoke_test
from planton_build.deploy.run import Run
from planton_build.deploy.traffic import ObservedAlias, observe_alias
from planton_build.errors import NotDeployable, VersionUnknown
from planton_build.events import Listener, StepFinished, StepStarted, ignore
from planton_build.publish.aws import Aws


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

    `to` is a version's number, the start of its code's digest, or of the commit it was built from; None is
    the version before the one that serves, or, in the middle of a rollout, the one that had all the traffic.

    Raises NotDeployable without an alias, VersionUnknown, SmokeTestFailed, DeployConflict when somebody else
    moved the alias, and what `Run.send` raises.
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
    run = Run(function, aws, region, listener=listener, patience=patience or Patience())
    changed = (found.version, dict(found.weights)) != (target.number, {})
    if changed:
        listener(StepStarted(function, "roll back"))
        if smoke_event is not None and target.number != found.version:
            smoke_test(run, target.number, smoke_event)
        AliasMover(run, alias, found).point(target.number, {})
        listener(StepFinished(function, "roll back", f"{alias} serves {target.shown}"))
    return RolledBack(function, alias, found.version, target, changed, run.calls)


def _target(versions: Sequence[PublishedVersion], found: ObservedAlias, to: str | None) -> PublishedVersion:
    if to is not None:
        return find_version(versions, to)
    if found.weights:
        return find_version(versions, found.version)
    earlier = [one for one in versions if int(one.number) < int(found.version)]
    if not earlier:
        raise VersionUnknown(
            f"no version came before {found.version}, which {found.name} serves",
            hint="name a version with --to; `planton-deploy versions` lists them",
        )
    return max(earlier, key=lambda one: int(one.number))
