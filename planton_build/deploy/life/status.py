"""How functions are: their state, what serves, and whether that is what their manifests want."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from planton_build.deploy.life.target import READ_JOBS, Target, number, pages, text
from planton_build.deploy.life.versions import list_aliases, shares_of
from planton_build.deploy.observed import ObservedFunction, observe
from planton_build.deploy.plan import Plan
from planton_build.errors import NotDeployable, PlantonError, ReferenceUnresolved
from planton_build.manifest.document import Manifest
from planton_build.parallel import each

Sync: TypeAlias = Literal["in sync", "differs", "not deployed", "unknown"]
PlanOf: TypeAlias = Callable[[Manifest], Plan]
"""Plans one function; reads AWS and changes nothing."""


@dataclass(frozen=True, slots=True)
class Serving:
    """An alias: the versions that it names, with the share (0 to 1) of its traffic that each serves."""

    alias: str
    shares: Mapping[str, float]

    @property
    def shown(self) -> str:
        """Return it as `live: 7 (90 %), 8 (10 %)`."""
        versions = sorted(self.shares.items(), key=lambda item: -item[1])
        if len(versions) == 1:
            return f"{self.alias}: {versions[0][0]}"
        return f"{self.alias}: " + ", ".join(
            f"{version} ({share * 100:.0f} %)" for version, share in versions
        )


@dataclass(frozen=True, slots=True)
class Provisioned:
    """Provisioned concurrency of an alias or a version: how much is asked for, how much is ready."""

    qualifier: str
    requested: int
    ready: int
    status: str


@dataclass(frozen=True, slots=True)
class FunctionStatus:
    """How a function is. Nothing but `name`, `region` and `sync` means something when it is not deployed.

    `state` and `last_update` are Lambda's words, `reason` is what it says of a failure. `urls` maps aliases
    ("" for the function itself) to URLs. `changes` counts what a deployment would change; `note` says why
    it is not known whether the function is as its manifest wants it.
    """

    name: str
    region: str
    sync: Sync
    state: str = ""
    last_update: str = ""
    reason: str = ""
    code_sha256: str | None = None
    last_modified: str = ""
    serving: tuple[Serving, ...] = ()
    urls: Mapping[str, str] | None = None
    provisioned: tuple[Provisioned, ...] = ()
    changes: int | None = None
    note: str = ""


def status_of(targets: Sequence[Target], plan_of: PlanOf, *, jobs: int = READ_JOBS) -> list[FunctionStatus]:
    """Return how every function is, in the order given. Reads AWS, changes nothing.

    A function that cannot be planned, because it was never built or refers to what is not known, is shown
    all the same. Raises AccessDenied, CredentialsMissing, AwsUnreachable, DeployRefused, and SeveralErrors.
    """
    return each(targets, lambda target: _status(target, plan_of), jobs=jobs)


def _status(target: Target, plan_of: PlanOf) -> FunctionStatus:
    plan, note = _planned(target, plan_of)
    observed = plan.observed if plan is not None else observe(target.name, target.aws, target.region)
    if observed is None:
        return FunctionStatus(target.name, target.region, "not deployed", note=note)
    aliases = [Serving(text(alias, "Name"), shares_of(alias)) for alias in list_aliases(target)]
    return FunctionStatus(
        target.name,
        target.region,
        _sync(plan),
        state=observed.state or "",
        last_update=observed.last_update or "",
        reason=_reason(observed),
        code_sha256=observed.code_sha256,
        last_modified=observed.last_modified,
        serving=tuple(sorted(aliases, key=lambda one: one.alias)),
        urls=list_urls(target),
        provisioned=list_provisioned(target),
        changes=None if plan is None else len(plan.changes),
        note=note,
    )


def _planned(target: Target, plan_of: PlanOf) -> tuple[Plan | None, str]:
    if target.manifest is None:
        return None, ""
    try:
        return plan_of(target.manifest), ""
    except (NotDeployable, ReferenceUnresolved) as error:
        return None, _first_message(error)


def _first_message(error: PlantonError) -> str:
    return error.findings[0].message if error.findings else error.message


def _sync(plan: Plan | None) -> Sync:
    if plan is None:
        return "unknown"
    return "in sync" if plan.empty else "differs"


def _reason(observed: ObservedFunction) -> str:
    if not observed.failed:
        return observed.state_reason
    return ": ".join(part for part in observed.failure if part)


def list_urls(target: Target) -> dict[str, str]:
    """Return the URLs of a function by alias, "" for its own. Raises as `status_of`."""
    listed = pages(
        target,
        "listing the URLs of",
        target.client.list_function_url_configs,
        "FunctionUrlConfigs",
        FunctionName=target.name,
    )
    return {qualifier_in(text(one, "FunctionArn")): text(one, "FunctionUrl") for one in listed}


def list_provisioned(target: Target) -> tuple[Provisioned, ...]:
    """Return the provisioned concurrency of a function's aliases and versions. Raises as `status_of`."""
    listed = pages(
        target,
        "listing the provisioned concurrency of",
        target.client.list_provisioned_concurrency_configs,
        "ProvisionedConcurrencyConfigs",
        FunctionName=target.name,
    )
    return tuple(sorted((_provisioned(one) for one in listed), key=lambda one: one.qualifier))


def _provisioned(found: Mapping[str, Any]) -> Provisioned:
    return Provisioned(
        qualifier_in(text(found, "FunctionArn")),
        number(found, "RequestedProvisionedConcurrentExecutions") or 0,
        number(found, "AvailableProvisionedConcurrentExecutions") or 0,
        text(found, "Status"),
    )


def qualifier_in(arn: str) -> str:
    """Return the alias or version at the end of a function's ARN, "" when there is none."""
    parts = arn.split(":")
    return parts[7] if len(parts) > 7 else ""
