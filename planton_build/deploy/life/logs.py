"""What functions have logged, from CloudWatch Logs: many functions as one stream, in the order of time.

Following is asking again. CloudWatch takes events in late and out of order, so each look begins some seconds
before the newest event that was seen, and what was seen is recognised by its id.
"""

from __future__ import annotations

import heapq
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from planton_build.deploy.desired import log_group_of
from planton_build.deploy.life.target import READ_JOBS, Target, not_deployed, number, read, text
from planton_build.errors import DeployRefused, FunctionUnknown
from planton_build.parallel import each
from planton_build.publish.aws_errors import error_code, explained

OVERLAP_MS: Final = 10_000
"""How far before the newest event each look begins, in milliseconds."""
POLL_SECONDS: Final = 2.0
"""Between two looks. CloudWatch allows few FilterLogEvents a second in an account and region."""
_MAX_PAGES: Final = 100_000
"""Pages of one look; many are empty where a pattern matches little."""
_VERSION = re.compile(r"\[(\$LATEST|\d+)\]")
"""The version in a stream's name, such as `2026/11/25/[7]0123…`."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One event: `time` in milliseconds since 1970 (UTC); `version` is "" when the stream does not tell."""

    time: int
    function: str
    text: str
    version: str
    stream: str
    id: str


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which events are wanted: from `since` on (milliseconds), matching CloudWatch's `pattern`, if any.

    `version` is a number or `$LATEST`, "" for all.
    """

    since: int
    pattern: str = ""
    version: str = ""


def read_logs(targets: Sequence[Target], query: LogQuery, *, jobs: int = READ_JOBS) -> Iterator[LogLine]:
    """Yield what functions have logged until now, in the order of time.

    Raises FunctionUnknown when none of the functions has been deployed or has logged, AccessDenied,
    CredentialsMissing, AwsUnreachable, DeployRefused (such as for a wrong pattern), and SeveralErrors.
    """
    sources = _sources(targets, query, jobs)
    yield from _merged(each(sources, lambda source: source.look(), jobs=jobs))


def follow_logs(
    targets: Sequence[Target],
    query: LogQuery,
    *,
    jobs: int = READ_JOBS,
    wait: Callable[[], object] = lambda: time.sleep(POLL_SECONDS),
) -> Iterator[LogLine]:
    """Yield what functions have logged, and go on with what they log; ends only with its caller.

    `wait` is called between two looks. Raises as `read_logs`.
    """
    sources = _sources(targets, query, jobs)
    while True:
        yield from _merged(each(sources, lambda source: source.look(), jobs=jobs))
        wait()


def _sources(targets: Sequence[Target], query: LogQuery, jobs: int) -> list[_Source]:
    """Return the log groups that there are. Of a folder, some functions may never have been deployed."""

    unknown: list[FunctionUnknown] = []

    def source(target: Target) -> _Source | None:
        try:
            return _Source(target, query)
        except FunctionUnknown as error:
            unknown.append(error)
            return None

    known = [one for one in each(targets, source, jobs=jobs) if one is not None]
    if unknown and not known:
        raise unknown[0]
    return known


def _merged(streams: Sequence[Iterator[LogLine]]) -> Iterator[LogLine]:
    """Yield the lines of several functions by their times; those of one function keep their order."""
    return heapq.merge(*streams, key=lambda line: line.time)


class _Source:
    """The log group of one function, and what was seen of it."""

    def __init__(self, target: Target, query: LogQuery) -> None:
        self._target = target
        self._query = query
        self._group = log_group(target)
        self._client = target.aws.client("logs", target.region)
        self._newest: int | None = None
        self._seen: dict[str, int] = {}

    def look(self) -> Iterator[LogLine]:
        """Ask for what is new, and return it; all but the first page is fetched while it is read."""
        since = self._query.since
        if self._newest is not None:
            since = max(since, self._newest - OVERLAP_MS)
            self._seen = {event: at for event, at in self._seen.items() if at >= since}
        request: dict[str, Any] = {"logGroupName": self._group, "startTime": since}
        if self._query.pattern:
            request["filterPattern"] = self._query.pattern
        first = self._page(request)
        return chain(self._new(first), self._further(request, first))

    def _further(self, request: Mapping[str, Any], answer: Mapping[str, Any]) -> Iterator[LogLine]:
        for _ in range(_MAX_PAGES):
            token = text(answer, "nextToken")
            if not token:
                return
            answer = self._page({**request, "nextToken": token})
            if text(answer, "nextToken") == token:
                return
            yield from self._new(answer)

    def _page(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a page, an empty one while the group does not exist: it is made with the first event."""
        from botocore.exceptions import ClientError

        name = self._target.name
        hint = (
            "see CloudWatch's filter pattern syntax; text with other signs than letters, digits and _ needs "
            "quotes of its own: --filter '\"GET /prices\"'"
            if self._query.pattern
            else None
        )
        with explained(
            f"reading the logs of {name}", otherwise=DeployRefused, resource=self._group, hint=hint
        ):
            try:
                answer: Mapping[str, Any] = self._client.filter_log_events(**request)
            except ClientError as error:
                if error_code(error) == "ResourceNotFoundException":
                    return {}
                raise
        return answer

    def _new(self, answer: Mapping[str, Any]) -> Iterator[LogLine]:
        events = answer.get("events")
        found = [_line(self._target.name, one) for one in events or () if isinstance(one, Mapping)]
        # Lines of one millisecond stay in AWS's order.
        for line in sorted(found, key=lambda one: one.time):
            self._newest = max(self._newest or 0, line.time)
            if line.id in self._seen:
                continue
            self._seen[line.id] = line.time
            if self._query.version in ("", line.version):
                yield line


def _line(function: str, event: Mapping[str, Any]) -> LogLine:
    stream, message = text(event, "logStreamName"), text(event, "message").rstrip("\r\n")
    at = number(event, "timestamp") or 0
    version = _VERSION.search(stream)
    # An emulator may give no ids; a line of a stream at one time is then taken as one event.
    identity = text(event, "eventId") or f"{stream} {at} {message}"
    return LogLine(at, function, message, version[1] if version else "", stream, identity)


def log_group(target: Target) -> str:
    """Return the log group of a function; of one that is gone, the group that Lambda would have given it.

    Raises FunctionUnknown when there is neither function nor group, and what `read_logs` raises.
    """
    client = target.client
    found = read(target, "reading the function", client.get_function_configuration, FunctionName=target.name)
    if found is not None:
        logging = found.get("LoggingConfig")
        named = text(logging, "LogGroup") if isinstance(logging, Mapping) else ""
        return named or log_group_of(target.name)
    group = log_group_of(target.name)
    if not has_log_group(target, group):
        raise not_deployed(target)
    return group


def has_log_group(target: Target, group: str) -> bool:
    """Tell whether a log group exists. Raises as `read_logs`."""
    client = target.aws.client("logs", target.region)
    answer = read(target, "looking for the logs of", client.describe_log_groups, logGroupNamePrefix=group)
    groups = (answer or {}).get("logGroups")
    return any(isinstance(one, Mapping) and text(one, "logGroupName") == group for one in groups or ())
