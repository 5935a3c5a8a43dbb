"""Who changed a function, as far as CloudTrail tells: management events of the last 90 days."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from planton_build.deploy.life.target import Target, text
from planton_build.errors import AccessDenied, DeployRefused, PlantonError
from planton_build.publish.aws_errors import clean, explained

_MOST_EVENTS: Final = 50
"""Events of one page: the most that LookupEvents gives (CloudTrail API reference)."""
_API_VERSION = re.compile(r"\d{8}(v\d+)?$")
"""What Lambda adds to the names of its events, as in `UpdateFunctionCode20150331v2`."""


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """One changing call that CloudTrail has seen: Lambda's name of it, when (UTC), and by whom."""

    event: str
    time: datetime | None
    who: str


@dataclass(frozen=True, slots=True)
class Trail:
    """The changes of a function, the newest first; `note` says why there are none where AWS did not tell."""

    events: tuple[ChangeEvent, ...] = ()
    note: str = ""


def changes_of(target: Target, arn: str) -> Trail:
    """Ask CloudTrail who changed a function. What it may not tell is a note, never an error.

    `arn` is the function's; events name functions by it or by the bare name, by the kind of call. CloudTrail
    takes some minutes to know of a call.
    """
    try:
        found = [event for name in (target.name, arn) if name for event in _lookup(target, name)]
    except AccessDenied:
        return Trail(note="who did it is not known: the caller is not allowed cloudtrail:LookupEvents")
    except PlantonError as error:
        return Trail(note=f"who did it is not known: {error.message}")
    distinct = dict.fromkeys(found)
    oldest = datetime.min.replace(tzinfo=UTC)
    events = sorted(distinct, key=lambda event: event.time or oldest, reverse=True)
    return Trail(tuple(events), "" if events else "CloudTrail knows of no change in the last 90 days")


def _lookup(target: Target, name: str) -> list[ChangeEvent]:
    client = target.aws.client("cloudtrail", target.region)
    with explained(f"asking CloudTrail about {target.name}", otherwise=DeployRefused, resource=target.name):
        answer: Mapping[str, Any] = client.lookup_events(
            LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": name}],
            MaxResults=_MOST_EVENTS,
        )
    events = answer.get("Events")
    return [
        _event(one)
        for one in (events if isinstance(events, list) else ())
        if isinstance(one, Mapping) and text(one, "ReadOnly").lower() != "true"
    ]


def _event(found: Mapping[str, Any]) -> ChangeEvent:
    time = found.get("EventTime")
    return ChangeEvent(
        _API_VERSION.sub("", clean(text(found, "EventName"))),
        time.astimezone(UTC) if isinstance(time, datetime) else None,
        clean(text(found, "Username")),
    )
