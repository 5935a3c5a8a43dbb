"""Deleting old versions: only such as nothing names, and never in a hurry."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from planton_build.deploy.life.status import list_provisioned
from planton_build.deploy.life.target import Target, pages, read, text
from planton_build.deploy.life.versions import (
    LATEST,
    PublishedVersion,
    list_aliases,
    list_versions,
    modified_at,
    shares_of,
)
from planton_build.errors import DeployRefused, PlantonError
from planton_build.events import Listener, StepAdvanced, StepFinished, StepStarted, ignore
from planton_build.publish.aws_errors import error_code, explained

IN_USE = "Lambda says that it is in use"
GONE = "somebody else deleted it"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is kept: the `keep` newest versions, and everything that is younger than `cool_down`."""

    keep: int
    cool_down: timedelta


@dataclass(frozen=True, slots=True)
class Kept:
    """A version that stays, and why."""

    version: PublishedVersion
    why: str


@dataclass(frozen=True, slots=True)
class Pruning:
    """What becomes of the versions of one function: `doomed` oldest first, `kept` newest first."""

    target: Target
    doomed: tuple[PublishedVersion, ...]
    kept: tuple[Kept, ...]

    @property
    def size(self) -> int:
        """Return what the doomed versions hold, in bytes."""
        return sum(version.size for version in self.doomed)


def plan_pruning(target: Target, policy: Policy, now: datetime) -> Pruning:
    """Decide which versions of a function go. Reads AWS, changes nothing; `now` is in UTC.

    Raises FunctionUnknown, AccessDenied, CredentialsMissing, AwsUnreachable or DeployRefused.
    """
    versions = list_versions(target.name, target.aws, target.region)
    provisioned = {one.qualifier for one in list_provisioned(target)}
    return decide(target, versions, policy, now, provisioned)


def decide(
    target: Target,
    versions: Sequence[PublishedVersion],
    policy: Policy,
    now: datetime,
    provisioned: Collection[str] = (),
) -> Pruning:
    """Divide versions (the newest first) into those that go and those that stay. Pure.

    `provisioned` are the qualifiers with provisioned concurrency.
    """
    doomed: list[PublishedVersion] = []
    kept: list[Kept] = []
    for place, version in enumerate(versions):
        why = _reason(version, place, policy, now, provisioned)
        if why:
            kept.append(Kept(version, why))
        else:
            doomed.append(version)
    return Pruning(target, tuple(reversed(doomed)), tuple(kept))


def _reason(
    version: PublishedVersion, place: int, policy: Policy, now: datetime, provisioned: Collection[str]
) -> str:
    """Return why a version stays, "" when it may go."""
    if version.number == LATEST or not version.number.isdigit():
        return "it is not a published version"
    if version.aliases:
        return f"served by {', '.join(sorted(version.aliases))}"
    if version.number in provisioned:
        return "has provisioned concurrency"
    if place < policy.keep:
        return f"one of the {policy.keep} newest" if policy.keep > 1 else "the newest"
    age = modified_at(version.last_modified)
    if age is None:
        return "AWS does not tell its age"
    return "too young" if now - age < policy.cool_down else ""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What became of the versions that were to go."""

    target: Target
    deleted: tuple[PublishedVersion, ...]
    spared: tuple[Kept, ...]

    @property
    def size(self) -> int:
        """Return what the deleted versions held, in bytes."""
        return sum(version.size for version in self.deleted)


def prune(pruning: Pruning, listener: Listener = ignore) -> Pruned:
    """Delete the doomed versions, one after another, looking right before each whether something names it.

    A version that came into use meanwhile, or that others may invoke by its number, is spared.
    Raises AccessDenied, CredentialsMissing, AwsUnreachable or DeployRefused.
    """
    target, deleted, spared = pruning.target, [], []
    if pruning.doomed:
        listener(StepStarted(target.name, "prune", len(pruning.doomed)))
    for version in pruning.doomed:
        why = named_by(target, version.number) or _delete(target, version.number)
        if why:
            spared.append(Kept(version, why))
        else:
            deleted.append(version)
        listener(StepAdvanced(target.name, "prune", 1))
    if pruning.doomed:
        listener(StepFinished(target.name, "prune", f"{len(deleted)} versions deleted"))
    return Pruned(target, tuple(deleted), tuple(spared))


def named_by(target: Target, version: str) -> str:
    """Return what names a version in AWS at this moment, "" for nothing. Raises as `prune`."""
    aliases = [text(alias, "Name") for alias in list_aliases(target) if version in shares_of(alias)]
    if aliases:
        return f"served by {', '.join(sorted(aliases))} by now"
    if any(one.qualifier == version for one in list_provisioned(target)):
        return "has provisioned concurrency by now"
    client = target.client
    policy = read(
        target, "reading the policy of", client.get_policy, FunctionName=target.name, Qualifier=version
    )
    if policy is not None and text(policy, "Policy"):
        return "a policy lets others invoke it by its number"
    sources = pages(
        target,
        "listing the event sources of",
        client.list_event_source_mappings,
        "EventSourceMappings",
        FunctionName=f"{target.name}:{version}",
    )
    return "an event source invokes it" if any(True for _ in sources) else ""


def _delete(target: Target, version: str) -> str:
    """Delete a version; return why it stayed, "" when it is gone."""
    from botocore.exceptions import ClientError

    doing = f"deleting version {version} of {target.name}"
    with explained(doing, otherwise=DeployRefused, resource=f"{target.name}:{version}"):
        try:
            target.client.delete_function(FunctionName=target.name, Qualifier=version)
        except ClientError as error:
            code = error_code(error)
            if code == "ResourceConflictException":
                return IN_USE
            if code == "ResourceNotFoundException":
                return GONE
            raise
    return ""


def code_storage(target: Target) -> int | None:
    """Return how much code the account keeps in the region, in bytes; None when AWS does not tell."""
    try:
        settings = read(target, "reading the account of", target.client.get_account_settings)
    except PlantonError:
        return None  # a figure to show, nothing that depends on it
    usage: Any = (settings or {}).get("AccountUsage")
    size = usage.get("TotalCodeSize") if isinstance(usage, Mapping) else None
    return size if isinstance(size, int) else None
