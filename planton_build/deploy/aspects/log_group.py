"""The log group of a function, with the days that it keeps its logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final

from planton_build.deploy.aspects.aspect import UNMANAGED, Call, Phase, Scope, Unmanaged
from planton_build.deploy.aspects.reading import ABSENT, NOT_FOUND, ask, number, pages, text
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction, log_group_of
from planton_build.publish.aws_errors import error_code
from planton_build.settings.model import OFF

_EXISTS: Final = "ResourceAlreadyExistsException"


@dataclass(frozen=True, slots=True)
class LogGroup:
    """A log group. `days` is how long it keeps logs, None for ever."""

    name: str
    days: int | None


class LogGroupAspect:
    """The log group that a function writes to, made before the function so that its first line has a place.

    A group is only ever deleted to undo its creation, and then only while it holds no log stream: what a
    function has logged, in a smoke test for example, is worth more than a tidy account.
    """

    name: ClassVar[str] = "log_group"
    phase: ClassVar[Phase] = Phase.PREPARE
    at_creation: ClassVar[bool] = False

    def wanted(self, desired: DesiredFunction) -> LogGroup | Unmanaged | None:
        """Return the group and its retention, where `log-retention` is configured."""
        days, logging = desired.settings.log_retention, desired.settings.logging
        if days is None:
            return UNMANAGED
        group = (logging.group if logging else "") or log_group_of(desired.name)
        return LogGroup(group, None if days is OFF else days)

    def observe(self, scope: Scope, wanted: LogGroup | None) -> LogGroup | None:
        """Read the group; its name is the beginning of others' names, so the answer may list those too."""
        if wanted is None:
            return None
        client = scope.aws.client("logs", scope.region)

        def find() -> dict[str, Any]:
            listed = pages(
                lambda mark: client.describe_log_groups(logGroupNamePrefix=wanted.name, **mark),
                "logGroups",
                "nextToken",
                "nextToken",
            )
            return dict(next((group for group in listed if text(group, "logGroupName") == wanted.name), {}))

        found = ask(scope, "reading the log group of", find)
        return LogGroup(wanted.name, number(found, "retentionInDays")) if found else None

    def changes(self, before: LogGroup | None, after: LogGroup | None) -> list[Change]:
        """Return the differences in name and retention."""
        old, new = before.name if before else None, after.name if after else None
        changes = [] if old == new else [Change(self.name, old, new)]
        if after and (before is None or before.days != after.days):
            changes.append(Change("log_retention", _days(before), _days(after)))
        return changes

    def calls(self, scope: Scope, before: LogGroup | None, after: LogGroup | None) -> Sequence[Call]:
        """Return what creates the group, and what sets or removes its retention."""
        client = scope.aws.client("logs", scope.region)
        if after is None:
            return [] if before is None else [_delete_empty(client, before.name)]
        calls = []
        name, days = after.name, after.days
        if before is None:
            create = partial(client.create_log_group, logGroupName=name)
            calls.append(Call("CreateLogGroup", "creating the log group of", create, frozenset({_EXISTS})))
        if days is not None and (before is None or before.days != days):
            put = partial(client.put_retention_policy, logGroupName=name, retentionInDays=days)
            calls.append(Call("PutRetentionPolicy", "setting the log retention of", put))
        elif days is None and before is not None and before.days is not None:
            remove = partial(client.delete_retention_policy, logGroupName=name)
            calls.append(Call("DeleteRetentionPolicy", "removing the log retention of", remove, ABSENT))
        return calls


def _delete_empty(client: Any, name: str) -> Call:
    def send() -> object:
        from botocore.exceptions import ClientError

        try:
            streams = client.describe_log_streams(logGroupName=name, limit=1)
        except ClientError as error:
            if error_code(error) == NOT_FOUND:
                return None
            raise
        return None if streams.get("logStreams") else client.delete_log_group(logGroupName=name)

    return Call("DeleteLogGroup", "deleting the empty log group of", send, ABSENT)


def _days(group: LogGroup | None) -> str | None:
    if group is None:
        return None
    return "for ever" if group.days is None else f"{group.days} days"
