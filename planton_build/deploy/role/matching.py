"""IAM's patterns: which actions and resources a statement speaks of.

Resources that are patterns themselves are compared as texts: a pattern that takes `arn:…:*` letter by letter
takes everything that this stands for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planton_build.deploy.role.statement import texts


def action_matches(pattern: str, action: str) -> bool:
    """Tell whether an action is one of a pattern's; the case of actions does not count."""
    return _matches(pattern.lower(), action.lower())


def resource_covers(pattern: str, resource: str) -> bool:
    """Tell whether a resource, or all that it stands for when it is a pattern, is one of a pattern's."""
    return _matches(pattern, resource)


def _matches(pattern: str, text: str) -> bool:
    """Match `*` and `?`, in time of the product of both lengths at worst: a policy may be hostile."""
    at, start, after_star, tried = 0, 0, -1, 0
    while start < len(text):
        if at < len(pattern) and pattern[at] == "*":
            at += 1
            after_star, tried = at, start
        elif at < len(pattern) and pattern[at] in ("?", text[start]):
            at += 1
            start += 1
        elif after_star >= 0:
            tried += 1
            at, start = after_star, tried
        else:
            return False
    return not pattern[at:].strip("*")


def speaks_of_action(statement: Mapping[str, Any], action: str) -> bool:
    """Tell whether a statement is about an action, by `Action` or `NotAction`."""
    if excepted := texts(statement.get("NotAction")):
        return not any(action_matches(pattern, action) for pattern in excepted)
    return any(action_matches(pattern, action) for pattern in texts(statement.get("Action")))


def speaks_of_resource(statement: Mapping[str, Any], resource: str) -> bool:
    """Tell whether a statement is about a resource; for a right on "*", any resource will do."""
    if excepted := texts(statement.get("NotResource")):
        return not any(resource_covers(pattern, resource) for pattern in excepted)
    patterns = texts(statement.get("Resource"))
    return bool(patterns) and (
        resource == "*" or any(resource_covers(pattern, resource) for pattern in patterns)
    )
