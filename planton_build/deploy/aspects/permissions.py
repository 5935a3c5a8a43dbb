"""Who may invoke what serves: the statements of its resource policy that are configured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

from planton_build.deploy.aspects.aspect import UNMANAGED, Call, Phase, Scope, Unmanaged
from planton_build.deploy.aspects.statements import (
    PREFIX,
    URL_IDS,
    ReadStatements,
    Statement,
    principal_of,
    read_statements,
    statement_calls,
)
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.errors import ConfigInvalid
from planton_build.settings.model import FunctionUrl, Permission

Granted: TypeAlias = tuple[Statement, ...]
"""Statements, sorted by id; never empty."""


@dataclass(frozen=True, slots=True)
class PermissionsAspect:
    """The configured permissions, as statements whose ids begin with `planton-`.

    Statements with other ids are others', and stay. One of them that has the bare id of a configured
    permission and says the same is as good as ours, so that a function that was set up by hand can be taken
    over without a change. `read` is replaced where several aspects share a reading.
    """

    name: ClassVar[str] = "permissions"
    phase: ClassVar[Phase] = Phase.SERVING
    at_creation: ClassVar[bool] = False
    read: ReadStatements = read_statements

    def wanted(self, desired: DesiredFunction) -> Granted | Unmanaged | None:
        """Return the configured statements. Raises ConfigInvalid for an id that the URL's have."""
        permissions = desired.settings.permissions
        if permissions is None:
            return UNMANAGED
        url = desired.settings.url
        auth = url.auth if isinstance(url, FunctionUrl) else "AWS_IAM"
        statements = [_statement(permission, auth) for permission in permissions]
        for statement in statements:
            if statement.id in URL_IDS:
                raise ConfigInvalid(
                    f"{desired.name} has a permission with the id {statement.id.removeprefix(PREFIX)!r}, "
                    "which is that of its URL's own permission",
                    hint="give it another id",
                )
        return _sorted(statements)

    def observe(self, scope: Scope, wanted: Granted | None) -> Granted | None:
        """Read our statements, and those that are as good."""
        found = self.read(scope)
        ours = {
            key: statement
            for key, statement in found.items()
            if key.startswith(PREFIX) and key not in URL_IDS
        }
        for statement in wanted or ():
            bare = found.get(statement.id.removeprefix(PREFIX))
            if statement.id not in ours and bare and replace(bare, id=statement.id) == statement:
                ours[statement.id] = statement
        return _sorted(list(ours.values()))

    def changes(self, before: Granted | None, after: Granted | None) -> list[Change]:
        """Return one difference for each statement."""
        old, new = _by_id(before), _by_id(after)
        return [
            Change(f"{self.name}.{key.removeprefix(PREFIX)}", _shown(old.get(key)), _shown(new.get(key)))
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]

    def calls(self, scope: Scope, before: Granted | None, after: Granted | None) -> Sequence[Call]:
        """Return what removes and adds statements."""
        return statement_calls(scope, _by_id(before), _by_id(after))


def _statement(permission: Permission, url_auth: str) -> Statement:
    """Return the statement of a permission. One to use the URL goes with the URL's kind of callers."""
    by_url = permission.action == "lambda:InvokeFunctionUrl"
    return Statement(
        id=PREFIX + permission.id,
        principal=principal_of(permission.principal),
        action=permission.action,
        source_arn=permission.source_arn,
        source_account=permission.source_account,
        organization=permission.organization,
        url_auth=url_auth if by_url else "",
    )


def _sorted(statements: list[Statement]) -> Granted | None:
    return tuple(sorted(statements, key=lambda statement: statement.id)) or None


def _by_id(granted: Granted | None) -> dict[str, Statement]:
    return {statement.id: statement for statement in granted or ()}


def _shown(statement: Statement | None) -> str | None:
    return statement.shown if statement else None
