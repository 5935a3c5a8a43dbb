"""Deleting functions, with what hangs on them. What was not made for the function alone stays.

Lambda deletes versions, aliases, URLs, policies and provisioned concurrency with the function. Event source
mappings stay behind and go on asking for it, alarms go on watching nothing, logs are kept for those who look
for the reason later: the first two are deleted here, logs only when that is asked for. Roles, artifacts,
queues and topics are never touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from planton_build.deploy.desired import log_group_of
from planton_build.deploy.life.logs import has_log_group
from planton_build.deploy.life.status import list_urls
from planton_build.deploy.life.target import READ_JOBS, Target, pages, text
from planton_build.deploy.life.versions import list_aliases, versions_and_latest
from planton_build.deploy.observed import ObservedFunction, observe
from planton_build.deploy.patience import Patience
from planton_build.deploy.run import Run
from planton_build.errors import FunctionUnknown
from planton_build.events import Listener, StepFinished, StepStarted, ignore
from planton_build.parallel import each

ALARM_PREFIX: Final = "planton-deploy/{name}/"
"""How the names of a function's alarms begin, when they are ours (`aspects/alarms.py`)."""
_ALARMS_AT_ONCE: Final = 100
"""Names that one DeleteAlarms takes (CloudWatch API reference)."""
_GONE: Final = frozenset({"ResourceNotFoundException", "ResourceNotFound"})
_JOBS: Final = 4


@dataclass(frozen=True, slots=True)
class EventSourceMapping:
    """A mapping that invokes the function: its UUID, and the ARN of the queue or stream ("" for Kafka)."""

    uuid: str
    source: str


@dataclass(frozen=True, slots=True)
class Doomed:
    """What is deleted with a function. `observed` is None when the function itself is gone already.

    `versions` counts published versions, `log_group` is "" unless the logs are to go.
    """

    target: Target
    observed: ObservedFunction | None
    versions: int = 0
    aliases: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    event_sources: tuple[EventSourceMapping, ...] = ()
    alarms: tuple[str, ...] = ()
    log_group: str = ""

    @property
    def empty(self) -> bool:
        """Tell whether nothing is left to delete."""
        return self.observed is None and not (self.event_sources or self.alarms or self.log_group)


def find_doomed(targets: Sequence[Target], *, logs: bool, jobs: int = READ_JOBS) -> list[Doomed]:
    """Find what would be deleted with functions. Reads AWS, changes nothing.

    Raises AccessDenied, CredentialsMissing, AwsUnreachable, DeployRefused, and SeveralErrors.
    """
    return each(targets, lambda target: _find(target, logs=logs), jobs=jobs)


def _find(target: Target, *, logs: bool) -> Doomed:
    observed = observe(target.name, target.aws, target.region)
    group = observed.logging.group if observed else log_group_of(target.name)
    aliases = [text(alias, "Name") for alias in list_aliases(target)] if observed else []
    return Doomed(
        target,
        observed,
        versions=_count_versions(target) if observed else 0,
        aliases=tuple(sorted(aliases)),
        urls=tuple(list_urls(target).values()) if observed else (),
        event_sources=_event_sources(target, ["", *aliases]),
        alarms=_alarms(target),
        log_group=group if logs and has_log_group(target, group) else "",
    )


def _count_versions(target: Target) -> int:
    try:
        return len(versions_and_latest(target)) - 1
    except FunctionUnknown:
        return 0  # it was deleted in this very moment


def _event_sources(target: Target, qualifiers: Sequence[str]) -> tuple[EventSourceMapping, ...]:
    found: dict[str, EventSourceMapping] = {}
    for qualifier in qualifiers:
        name = f"{target.name}:{qualifier}" if qualifier else target.name
        listed = pages(
            target,
            "listing the event sources of",
            target.client.list_event_source_mappings,
            "EventSourceMappings",
            FunctionName=name,
        )
        for one in listed:
            if text(one, "State") != "Deleting" and (uuid := text(one, "UUID")):
                found[uuid] = EventSourceMapping(uuid, text(one, "EventSourceArn"))
    return tuple(found.values())


def _alarms(target: Target) -> tuple[str, ...]:
    client = target.aws.client("cloudwatch", target.region)
    listed = pages(
        target,
        "looking for the alarms of",
        client.describe_alarms,
        "MetricAlarms",
        marker="NextToken",
        next_marker="NextToken",
        AlarmNamePrefix=(prefix := ALARM_PREFIX.format(name=target.name)),
    )
    # What an answer lists besides is not ours to delete.
    return tuple(sorted(name for one in listed if (name := text(one, "AlarmName")).startswith(prefix)))


@dataclass(frozen=True, slots=True)
class Destroyed:
    """What was deleted of a function; `calls` counts what was sent for it."""

    doomed: Doomed
    calls: int


def destroy_all(
    doomed: Sequence[Doomed],
    listener: Listener = ignore,
    *,
    patience: Patience | None = None,
    jobs: int = _JOBS,
) -> list[Destroyed]:
    """Delete what `find_doomed` has found, and wait until Lambda has let go of each function.

    What is gone already counts as deleted, so an interrupted run may be repeated. Raises AccessDenied,
    CredentialsMissing, AwsUnreachable, DeployRefused, DeployConflict, DeployTimeout, and SeveralErrors.
    """
    return each(doomed, lambda one: _destroy(one, listener, patience or Patience()), jobs=jobs)


def _destroy(doomed: Doomed, listener: Listener, patience: Patience) -> Destroyed:
    target = doomed.target
    run = Run(target.name, target.aws, target.region, listener=listener, patience=patience)
    if not doomed.empty:
        listener(StepStarted(target.name, "delete"))
    client = target.client
    # First what sends events: the function goes on answering until it gets none.
    for mapping in doomed.event_sources:
        _gone(run, "an event source of", client.delete_event_source_mapping, UUID=mapping.uuid)
    if doomed.observed is not None:
        _gone(run, "", client.delete_function, FunctionName=target.name)
        run.wait_gone()
    cloudwatch: Any = target.aws.client("cloudwatch", target.region) if doomed.alarms else None
    for start in range(0, len(doomed.alarms), _ALARMS_AT_ONCE):
        names = list(doomed.alarms[start : start + _ALARMS_AT_ONCE])
        _gone(run, "the alarms of", cloudwatch.delete_alarms, AlarmNames=names)
    if doomed.log_group:
        logs = target.aws.client("logs", target.region)
        _gone(run, "the logs of", logs.delete_log_group, logGroupName=doomed.log_group)
    if not doomed.empty:
        listener(StepFinished(target.name, "delete"))
    return Destroyed(doomed, run.calls)


def _gone(run: Run, what: str, call: Any, **request: Any) -> None:
    """Delete one thing; that it is not there any more is as good."""

    def send() -> Mapping[str, Any]:
        answer = call(**request)
        return answer if isinstance(answer, Mapping) else {}

    run.send(f"deleting {what}".strip(), send, done_codes=_GONE)
