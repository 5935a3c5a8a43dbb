"""Where AWS is not as manifests and settings want it, and what can be known of how it came to that.

The witness is the version that serves (or the newest published one): it was `$LATEST` when it was published,
and never changes. What `$LATEST` has otherwise than the witness was changed in AWS since; what the manifest
wants otherwise than the witness was changed there. Without a published version, Lambda has no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from planton_build.deploy.change import Change
from planton_build.deploy.differences import CONFIGURATION, fits, same_code
from planton_build.deploy.functions import Deployment
from planton_build.deploy.life.target import READ_JOBS, Target
from planton_build.deploy.life.trail import Trail, changes_of
from planton_build.deploy.life.versions import PublishedVersion, list_versions
from planton_build.deploy.observed import ObservedFunction, observe
from planton_build.deploy.plan import Plan
from planton_build.errors import FunctionUnknown
from planton_build.parallel import each

Cause: TypeAlias = Literal["aws", "manifest", "both", "unknown"]
"""Where a difference comes from: AWS was changed, the manifest was, both were, or nobody can tell."""

_CODE_FIELDS = frozenset({"code", "architecture"})
_NO_TRAIL = Trail()


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: `change` leads from AWS to what is wanted, `cause` says where it comes from."""

    change: Change
    cause: Cause


@dataclass(frozen=True, slots=True)
class Drift:
    """The differences of one function. `deployed` is False when there is no such function.

    `witness` names the version that causes were found by, "" when there was none. `since` is Lambda's own
    time of the function's last change. `notes` say what is known of the code, and what is not known.
    """

    name: str
    region: str
    deployed: bool
    differences: tuple[Difference, ...] = ()
    witness: str = ""
    since: str = ""
    notes: tuple[str, ...] = ()
    trail: Trail = _NO_TRAIL

    @property
    def empty(self) -> bool:
        """Tell whether the function is as wanted."""
        return self.deployed and not self.differences


def drift_of(deployments: Sequence[Deployment], *, who: bool = False, jobs: int = READ_JOBS) -> list[Drift]:
    """Look at every plan from the other side. Reads AWS, and CloudTrail for `who`; changes nothing.

    Raises AccessDenied, CredentialsMissing, AwsUnreachable, DeployRefused, and SeveralErrors.
    """
    return each(deployments, lambda one: _drift(one, who=who), jobs=jobs)


def _drift(deployment: Deployment, *, who: bool) -> Drift:
    plan = deployment.plan
    target = Target(plan.desired.name, deployment.region, deployment.aws, deployment.manifest)
    observed = plan.observed
    if observed is None or observed.state == "Deleting":
        note = "it was deleted, or never deployed" if observed is None else "Lambda is deleting it"
        trail = changes_of(target, "") if who else _NO_TRAIL
        return Drift(target.name, target.region, deployed=False, notes=(note,), trail=trail)
    if plan.empty:
        return Drift(target.name, target.region, deployed=True, since=observed.last_modified)
    versions = _versions(target)
    witness = _witness(plan, target, versions)
    differences = tuple(
        Difference(change, _cause(change.field, plan, observed, witness)) for change in _told(plan)
    )
    return Drift(
        target.name,
        target.region,
        deployed=True,
        differences=differences,
        witness=witness.version if witness else "",
        since=observed.last_modified,
        notes=tuple(_notes(plan, observed, witness, versions)),
        trail=changes_of(target, observed.arn) if who else _NO_TRAIL,
    )


def _told(plan: Plan) -> list[Change]:
    """Return the changes of a plan, without a move of the alias that is only what comes of the others."""
    others = [change for change in plan.changes if not change.field.startswith("alias.")]
    published = _CODE_FIELDS.union(CONFIGURATION)
    moved = any(change.field.partition(".")[0] in published for change in others)
    return others if moved else list(plan.changes)


def _versions(target: Target) -> list[PublishedVersion]:
    try:
        return list_versions(target.name, target.aws, target.region)
    except FunctionUnknown:
        return []  # it was deleted in this very moment


def _witness(plan: Plan, target: Target, versions: Sequence[PublishedVersion]) -> ObservedFunction | None:
    if plan.alias is not None:
        return plan.alias.serving
    if not versions:
        return None
    return observe(target.name, target.aws, target.region, qualifier=versions[0].number)


def _cause(field: str, plan: Plan, observed: ObservedFunction, witness: ObservedFunction | None) -> Cause:
    """Return where a difference of one field comes from, by comparing three states of it."""
    if witness is None:
        return "unknown"
    name = field.partition(".")[0]
    if name in _CODE_FIELDS:
        in_aws = witness.code_sha256 != observed.code_sha256 or witness.architecture != observed.architecture
        in_manifest = not (
            same_code(plan.desired, witness) and plan.desired.architecture == witness.architecture
        )
    elif name in CONFIGURATION and name != "description":
        # The description of a version is its build record.
        in_aws, in_manifest = _field_moved(field, plan, observed, witness)
    else:
        return "unknown"
    if in_aws:
        return "both" if in_manifest else "aws"
    return "manifest" if in_manifest else "unknown"


def _field_moved(
    field: str, plan: Plan, observed: ObservedFunction, witness: ObservedFunction
) -> tuple[bool, bool]:
    """Tell whether a field was changed in AWS, and whether in the manifest, since the witness."""
    name, _, variable = field.partition(".")
    if variable and witness.environment is not None and observed.environment is not None:
        then, now = witness.environment.get(variable), observed.environment.get(variable)
        return then != now, plan.desired.environment.get(variable) != then
    return getattr(witness, name) != getattr(observed, name), not fits(name, plan.desired, witness)


def _notes(
    plan: Plan,
    observed: ObservedFunction,
    witness: ObservedFunction | None,
    versions: Sequence[PublishedVersion],
) -> list[str]:
    notes = []
    if witness is None:
        notes.append(
            "no version was ever published, so AWS does not tell whether it was changed, or the manifest"
        )
    if any(change.field == "code" for change in plan.changes):
        notes.append(_code_note(plan, observed, versions))
    return [*notes, *plan.notes]


def _code_note(plan: Plan, observed: ObservedFunction, versions: Sequence[PublishedVersion]) -> str:
    """Say what is known of the deployed code: which version it is, and what that was built from."""
    wanted, found = plan.desired.code_sha256, observed.code_sha256
    deployed = _with_code(versions, found)
    former = _with_code(versions, wanted)
    if deployed is None:
        if not versions:
            return "the deployed code is not the manifest's; no version was published that could tell whose"
        return (
            "the deployed code is none of the published versions: it was sent by something else, or by a "
            "deployment that did not end"
        )
    if former is not None and int(former.number) > int(deployed.number):
        return (
            f"the deployed code is that of {deployed.shown}; the manifest's is {former.shown}, which is newer"
        )
    if former is not None:
        return f"the deployed code is that of {deployed.shown}; the manifest's is the older {former.shown}"
    return (
        f"the deployed code is that of {deployed.shown}; the manifest's was never published, so it is newer"
    )


def _with_code(versions: Sequence[PublishedVersion], digest: str | None) -> PublishedVersion | None:
    """Return the newest version with this code."""
    return next((one for one in versions if digest is not None and one.code_sha256 == digest), None)
