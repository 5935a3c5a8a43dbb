"""Many functions at once: plan them all, then apply them all, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from planton_build.deploy.apply import Applied, apply
from planton_build.deploy.aspects.all import observe_aspects
from planton_build.deploy.availability import BaseUrlOf
from planton_build.deploy.desired import DesiredFunction, desired_state
from planton_build.deploy.failures import replacement_required
from planton_build.deploy.observed import ObservedFunction, observe
from planton_build.deploy.patience import Patience
from planton_build.deploy.plan import Plan, plan
from planton_build.deploy.scope import scope_of
from planton_build.deploy.steps import PublishVersion
from planton_build.deploy.traffic import ObservedAlias, observe_alias
from planton_build.errors import NotDeployable, SeveralErrors
from planton_build.events import Listener, ignore
from planton_build.manifest.code_source import S3Source
from planton_build.manifest.document import Manifest
from planton_build.parallel import each
from planton_build.publish.aws import Aws
from planton_build.publish.s3 import stored_digest
from planton_build.settings.model import NO_SETTINGS, DeploySettings

if TYPE_CHECKING:
    from planton_build.deploy.references.resolver import References

PLAN_JOBS = 12
"""Functions read at once. Lambda allows 100 GetFunction calls a second in a region."""
APPLY_JOBS = 16
"""Functions changed at once: most of the time each waits for Lambda. `publish.pace` bounds their calls."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A planned function: its manifest, the AWS it goes to, and what is to be done there."""

    manifest: Manifest = field(repr=False)  # which holds the environment
    aws: Aws
    plan: Plan

    @property
    def region(self) -> str:
        """Return the function's region."""
        return self.plan.desired.region


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a plan is made of besides manifests. The defaults know manifests alone.

    `settings_of` gives what the `[deploy]` tables say of a function, `record_of` what its next version is
    described with, `references_of` what finds the values of its `valueFrom`.
    """

    settings_of: Callable[[Manifest], DeploySettings] = lambda _: NO_SETTINGS
    record_of: Callable[[Manifest], str] = lambda _: ""
    references_of: Callable[[Manifest], References | None] = lambda _: None


def plan_all(
    manifests: Sequence[Manifest],
    aws_of: Callable[[Manifest], Aws],
    inputs: Inputs | None = None,
    *,
    jobs: int = PLAN_JOBS,
) -> list[Deployment]:
    """Plan every function, in the order of the manifests. Reads AWS, changes nothing.

    `aws_of` gives the AWS of a function. Its region is the manifest's, or else that of the session. The
    manifests are read in full before AWS is asked for anything.

    Raises what `desired_state`, `observe` and `plan` raise, CredentialsMissing when no region is known,
    NotDeployable when two manifests name one function, and SeveralErrors.
    """
    given = inputs or Inputs()

    def want(manifest: Manifest) -> tuple[Manifest, Aws, DesiredFunction]:
        desired = desired_state(manifest, given.settings_of(manifest), given.references_of(manifest))
        aws = aws_of(manifest)
        region = aws.region(desired.region or None)
        return manifest, aws, replace(desired, region=region)

    wanted = each(manifests, want, jobs=1)
    _check_distinct(wanted)

    def planned(one: tuple[Manifest, Aws, DesiredFunction]) -> Deployment:
        manifest, aws, desired = one
        found = _plan(desired, aws)
        if any(isinstance(step, PublishVersion) for step in found.steps):
            # Only where a version is made: git is asked for it.
            found = replace(found, desired=replace(found.desired, record=given.record_of(manifest)))
        return Deployment(manifest, aws, found)

    return each(wanted, planned, jobs=jobs)


def apply_all(
    deployments: Sequence[Deployment],
    listener: Listener = ignore,
    *,
    jobs: int = APPLY_JOBS,
    patience: Patience | None = None,
    replacing: bool = False,
    moving: bool = True,
    base_url_of: BaseUrlOf | None = None,
) -> list[Applied]:
    """Apply what `plan_all` planned, in its order. A function that fails does not stop the others.

    Without `replacing`, a function that would have to be deleted stops all of them, before anything changes.
    `moving` is as in `apply`.

    Raises what `apply` raises, and SeveralErrors.
    """
    refused = [replacement_required(one.plan) for one in deployments if one.plan.replaces and not replacing]
    if refused:
        raise refused[0] if len(refused) == 1 else SeveralErrors(refused)

    def run(one: Deployment) -> Applied:
        return apply(
            one.plan,
            one.aws,
            one.region,
            listener,
            patience=patience,
            replacing=replacing,
            moving=moving,
            base_url_of=base_url_of,
        )

    return each(deployments, run, jobs=jobs)


def _plan(desired: DesiredFunction, aws: Aws) -> Plan:
    managed = desired.reserved_concurrency is not None
    name, alias = desired.name, desired.settings.alias
    observed, traffic, aspects = _together(
        lambda: observe(name, aws, desired.region, concurrency=managed),
        lambda: observe_alias(name, alias, aws, desired.region) if alias else None,
        lambda: observe_aspects(scope_of(desired, aws, desired.region), desired),
    )
    if not managed and observed is not None and plan(desired, observed).replaces:
        # To be created anew: a reservation that is not the manifest's is to be made again.
        observed = observe(name, aws, desired.region, concurrency=True)
    return plan(_with_digest(desired, observed, aws), observed, traffic, aspects)


def _together(
    function: Callable[[], ObservedFunction | None],
    alias: Callable[[], ObservedAlias | None],
    aspects: Callable[[], dict[str, object]],
) -> tuple[ObservedFunction | None, ObservedAlias | None, dict[str, object]]:
    """Read the three side by side."""
    found: list[Any] = each([function, alias, aspects], lambda read: read(), jobs=3)
    return found[0], found[1], found[2]


def _with_digest(desired: DesiredFunction, observed: ObservedFunction | None, aws: Aws) -> DesiredFunction:
    """Ask S3 for the digest of an object whose name does not tell it, where there is code to compare with."""
    if observed is None or desired.code_sha256 is not None or not isinstance(desired.code, S3Source):
        return desired
    return replace(desired, code_sha256=stored_digest(desired.code, region=desired.region, aws=aws))


def _check_distinct(wanted: Sequence[tuple[Manifest, Aws, DesiredFunction]]) -> None:
    first: dict[tuple[int, str, str], DesiredFunction] = {}
    for manifest, aws, desired in wanted:
        known = first.setdefault((id(aws), desired.region, desired.name), desired)
        if known is not desired:
            position = manifest.position("spec", "function_name")
            raise NotDeployable(
                f"two manifests describe the function {desired.name} in {desired.region}: {known.origin} and "
                f"{desired.origin}",
                hint="deploy one of them, or give them different names or regions",
                file=manifest.path,
                line=position.line if position else None,
            )
