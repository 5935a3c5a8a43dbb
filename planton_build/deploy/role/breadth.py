"""Whether a role allows more than a function's configuration needs, or less, as far as IAM tells.

What a function's code does in AWS is in no manifest. So a right on one named thing, which nothing in the
configuration explains, counts as too much only where `[deploy.role] statements` says what the code does;
wildcards over services and resources count always.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from planton_build.deploy.role.matching import (
    action_matches,
    resource_covers,
    speaks_of_action,
    speaks_of_resource,
)
from planton_build.deploy.role.read import ObservedRole
from planton_build.deploy.role.statement import RolePolicy, Statement, texts

Kind: TypeAlias = Literal["everything", "service", "wildcard", "resource", "unneeded"]

_DANGEROUS = frozenset({"everything", "service"})
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Broader:
    """Rights of one policy that nothing in the configuration needs.

    `actions` are as the policy writes them, `resources` those they are allowed on, `needed` those that the
    configuration needs them for, () when it does not.
    """

    kind: Kind
    policy: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    needed: tuple[str, ...] = ()

    @property
    def dangerous(self) -> bool:
        """Tell whether it is a whole service, or all of AWS."""
        return self.kind in _DANGEROUS

    @property
    def shown(self) -> str:
        """Return it in words."""
        on = few(self.resources)
        match self.kind:
            case "everything":
                return f"{self.policy} allows every action of AWS on {on}"
            case "service":
                return f"{self.policy} allows whole services ({few(self.actions)}) on {on}"
            case "resource":
                return f"{self.policy} allows {few(self.actions)} on {on}, where {few(self.needed)} is enough"
            case _:
                return f"{self.policy} allows {few(self.actions)} on {on}"


@dataclass(frozen=True, slots=True)
class Missing:
    """Rights that the configuration needs, and the role has not."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A role beside what is needed of it."""

    broader: tuple[Broader, ...]
    missing: tuple[Missing, ...]


def compare(role: ObservedRole, needed: Sequence[RolePolicy]) -> Comparison:
    """Compare a role with the policies of all functions that use it. Conditions and denials do not count.

    A statement with `NotAction` allows everything but a few actions, so it is told as `everything`.
    """
    wanted = [one for policy in needed for one in policy.statements if one.allows]
    told = any(not one.derived for one in wanted)
    broader = [
        found
        for policy in role.policies
        for grant in policy.statements
        if grant.get("Effect") == "Allow"
        for found in _broader(policy.policy, grant, wanted, told=told)
    ]
    return Comparison(tuple(_merged(broader)), tuple(_missing(role, wanted)))


def _broader(
    policy: str, grant: Mapping[str, Any], wanted: Sequence[Statement], *, told: bool
) -> Iterable[Broader]:
    actions, resources = texts(grant.get("Action")), _resources(grant)
    if grant.get("NotAction") is not None or "*" in actions:
        yield Broader("everything", policy, ("*",), resources)
        return
    for action in actions:
        if any(not one.derived and _explains(one, action, resources) for one in wanted):
            continue
        needs = [one for one in wanted if _needs(one, action)]
        if re.fullmatch(r"[^:]*:\*+", action) and _everywhere(resources):
            yield Broader("service", policy, (action,), resources)
        elif not needs:
            wild = any(sign in action for sign in "*?")
            if told or wild or _everywhere(resources):
                yield Broader("wildcard" if wild else "unneeded", policy, (action,), resources)
        elif "*" in action or "?" in action:
            yield Broader("wildcard", policy, (action,), resources)
        elif wide := tuple(one for one in resources if not _bounded_by(one, needs)):
            yield from _wider(policy, action, wide, needs)


def _wider(policy: str, action: str, wide: tuple[str, ...], needs: Sequence[Statement]) -> Iterable[Broader]:
    """Return what is allowed beside what is needed: on more than that, or on something else."""
    named = {place for one in needs for place in one.resources}
    places = tuple(sorted(place for place in named if f"{place}:*" not in named))
    more = tuple(one for one in wide if any(resource_covers(one, probe(place)) for place in places))
    if more:
        yield Broader("resource", policy, (action,), more, places)


def _explains(own: Statement, action: str, resources: tuple[str, ...]) -> bool:
    """Tell whether a statement of the user allows an action, as it is written, on these resources."""
    return any(action_matches(pattern, action) for pattern in own.actions) and all(
        any(resource_covers(pattern, resource) for pattern in own.resources) for resource in resources
    )


def _needs(one: Statement, action: str) -> bool:
    return any(action_matches(action, needed) for needed in one.actions)


def _bounded_by(resource: str, needs: Sequence[Statement]) -> bool:
    return any(resource_covers(place, resource) for one in needs for place in one.resources)


def _everywhere(resources: tuple[str, ...]) -> bool:
    """Tell whether resources name nothing: `*`, or an ARN of a service with nothing but `*` behind it."""
    return any(not resource.split(":", 5)[-1].strip("*") for resource in resources)


def _resources(grant: Mapping[str, Any]) -> tuple[str, ...]:
    if grant.get("NotResource") is not None:
        return ("*",)
    return texts(grant.get("Resource"))


def _missing(role: ObservedRole, wanted: Sequence[Statement]) -> Iterable[Missing]:
    """Return what no policy allows; nothing when not all policies could be read."""
    if role.untold:
        return
    grants = [one for policy in role.policies for one in policy.statements if one.get("Effect") == "Allow"]
    for one in wanted:
        lacking = sorted(
            {
                action
                for action in one.actions
                if not all(_allowed(action, place, grants) for place in one.resources)
            }
        )
        if lacking:
            yield Missing(tuple(lacking), one.resources, one.reason)


def _allowed(action: str, place: str, grants: Sequence[Mapping[str, Any]]) -> bool:
    # IAM's documentation and its refusals name a log group differently; either is enough here.
    ways = {probe(place), place.removesuffix(":*")}
    if ":log-group:" in place:
        ways.add(probe(place.removesuffix(":*") + ":*"))
    return any(
        speaks_of_action(grant, action) and any(speaks_of_resource(grant, way) for way in ways)
        for grant in grants
    )


def probe(resource: str) -> str:
    """Return one thing that a needed resource stands for: a stream of a log group, an object of a bucket."""
    if resource.startswith("arn:") and ":logs:" in resource and resource.endswith(":*"):
        return resource.removesuffix("*") + "log-stream:x"
    return resource if resource == "*" else resource.replace("*", "x")


def _merged(found: Iterable[Broader]) -> Iterable[Broader]:
    """Join what differs in its actions only."""
    groups: dict[tuple[Kind, str, tuple[str, ...]], Broader] = {}
    for one in found:
        key = (one.kind, one.policy, one.resources)
        before = groups.get(key)
        groups[key] = (
            one
            if before is None
            else Broader(
                one.kind,
                one.policy,
                tuple(dict.fromkeys((*before.actions, *one.actions))),
                one.resources,
                tuple(dict.fromkeys((*before.needed, *one.needed))),
            )
        )
    return groups.values()


def few(texts: Sequence[str]) -> str:
    """Return the first few of some texts, and how many more there are."""
    more = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
