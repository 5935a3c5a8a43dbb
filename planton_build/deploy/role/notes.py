"""What a plan says about execution roles. Reads IAM, changes nothing, and never fails for want of rights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planton_build.deploy.desired import DesiredFunction
from planton_build.deploy.role.breadth import Comparison, compare, few
from planton_build.deploy.role.policy import role_policy
from planton_build.deploy.role.read import ROLE_ARN, read_role
from planton_build.errors import AccessDenied
from planton_build.events import Note
from planton_build.parallel import each
from planton_build.publish.aws import Aws

_JOBS = 4
"""Roles read at once. IAM answers slowly and throttles early; its rates are not published."""
_MAX_NOTES = 6
"""Notes about the breadth of one role; a role with more has been made of wildcards."""


@dataclass(frozen=True, slots=True)
class _Shared:
    """A role, and the functions that use it."""

    arn: str
    aws: Aws
    functions: tuple[DesiredFunction, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({one.name for one in self.functions}))

    @property
    def label(self) -> str:
        """Return the function's name for notes, "" when there are several."""
        return self.names[0] if len(self.names) == 1 else ""


def role_notes(functions: Sequence[tuple[DesiredFunction, Aws]]) -> list[Note]:
    """Return what to say about the roles of some functions, in the functions' order.

    That several functions share a role, that a role is not there or not for Lambda, allows more than is
    needed, or less. Each role is read once; what IAM does not tell is told as such.

    Raises CredentialsMissing, AwsUnreachable or DeployRefused.
    """
    groups: dict[tuple[int, str], list[DesiredFunction]] = {}
    accounts: dict[int, Aws] = {}
    for desired, aws in functions:
        if ROLE_ARN.fullmatch(desired.role):
            accounts[id(aws)] = aws
            groups.setdefault((id(aws), desired.role), []).append(desired)
    shared = [_Shared(arn, accounts[key], tuple(some)) for (key, arn), some in groups.items()]
    return [note for notes in each(shared, _notes, jobs=_JOBS) for note in notes]


def _notes(shared: _Shared) -> list[Note]:
    found = []
    if len(shared.names) > 1:
        found.append(
            Note(
                "",
                f"{_joined(shared.names)} share the role {shared.arn}: each may do what any of them may; "
                "`planton-deploy role` makes one for each",
                "warning",
            )
        )
    return found + _about(shared)


def _about(shared: _Shared) -> list[Note]:
    name = shared.arn.rpartition("/")[2]
    try:
        role = read_role(shared.arn, shared.aws, shared.functions[0].region or None)
    except AccessDenied:
        return [Note(shared.label, f"the role {name} may not be read, so nothing is said about it")]
    if role is None:
        text = f"the role {shared.arn} is not there; `planton-deploy role --create` makes it"
        return [Note(shared.label, text, "warning")]
    found = []
    if role.trust and not role.taken_by_lambda:
        text = f"the role {name} cannot be taken by Lambda: its trust policy has no lambda.amazonaws.com"
        found.append(Note(shared.label, text, "warning"))
    account = shared.arn.split(":")[4]
    compared = compare(role, [role_policy(one, account, one.region) for one in shared.functions])
    found += _breadth(shared, name, compared)
    if role.untold:
        found.append(Note(shared.label, f"may not be read, so not judged: {few(role.untold)}"))
    return found


def _breadth(shared: _Shared, name: str, compared: Comparison) -> list[Note]:
    who = shared.label
    found = [
        Note(
            who,
            f"the role {name} lacks {few(one.actions)} on {few(one.resources)} ({one.reason})",
            "warning",
        )
        for one in compared.missing
    ]
    broader = sorted(compared.broader, key=lambda one: not one.dangerous)
    found += [
        Note(
            who,
            f"the role {name} is broader than the configuration needs: {one.shown}",
            "warning" if one.dangerous else "info",
        )
        for one in broader[:_MAX_NOTES]
    ]
    if (more := len(broader) - _MAX_NOTES) > 0:
        found.append(Note(who, f"the role {name} is broader in {more} more ways"))
    return found


def _joined(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
