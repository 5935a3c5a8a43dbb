"""From the names that requests carry to functions, and to the versions and aliases of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from planton_build.emulator.refusal import Refusal, invalid, not_found, validation
from planton_build.emulator.state import Function, Region, Version, new_revision
from planton_build.emulator.transitions import gone

LATEST = "$LATEST"
_NAME = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:)?"
    r"(?:(?P<region>(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):)?"
    r"(?:(?P<account>\d{12}):)?"
    r"(?:function:)?"
    r"(?P<name>[a-zA-Z0-9_.-]+)"
    r"(?::(?P<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9_-]+))?"
)
"""As the service model has `FunctionName`: a name, part of an ARN or all of it, with a qualifier or not."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a request names: a function, and a version or an alias of it ("" for neither)."""

    name: str
    qualifier: str = ""


def address(region: Region, request: dict[str, Any], *, member: str = "FunctionName") -> Address:
    """Return what a request names with `FunctionName` (or another member) and `Qualifier`.

    Raises Refusal when the two contradict each other, or name another region or account.
    """
    text = str(request.get(member, ""))
    found = _NAME.fullmatch(text)
    if found is None:
        raise validation(
            f"1 validation error detected: Value '{text}' at 'functionName' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {_NAME.pattern}"
        )
    if found["account"] and found["account"] != region.account:
        raise Refusal(
            "AccessDeniedException",
            403,
            f"User: arn:{region.partition}:iam::{region.account}:root is not authorized to perform this "
            f"action on resource: {text} because no resource-based policy allows it",
        )
    if found["region"] and found["region"] != region.region:
        raise not_found(
            f"Functions from '{found['region']}' are not reachable in this region ('{region.region}')"
        )
    asked = str(request.get("Qualifier") or "")
    named = found["qualifier"] or ""
    if asked and named and asked != named:
        raise invalid("The derived qualifier from the function name does not match the specified qualifier.")
    return Address(found["name"], asked or named)


def qualified_arn(region: Region, where: Address) -> str:
    """Return the ARN of what a request names, whether it exists or not."""
    arn = region.arn(where.name)
    return f"{arn}:{where.qualifier}" if where.qualifier else arn


def find_function(region: Region, name: str) -> Function | None:
    """Return a function by its name; None when there is none, or its deletion is over."""
    function = region.functions.get(name)
    return None if function is None or gone(region, function) else function


def function_at(region: Region, where: Address) -> Function:
    """Return the function of an address; its qualifier is not looked at. Raises Refusal (404) without one."""
    function = find_function(region, where.name)
    if function is None:
        raise not_found(f"Function not found: {qualified_arn(region, where)}")
    return function


def version_at(function: Function, qualifier: str) -> Version:
    """Return the version that a qualifier means: of an alias the one it gives the most to.

    Raises Refusal (404) when there is no such version or alias.
    """
    if qualifier in ("", LATEST):
        return function.latest
    alias = function.aliases.get(qualifier)
    number = str(alias["FunctionVersion"]) if alias else qualifier
    if number == LATEST:
        return function.latest
    if number in function.versions:
        return function.versions[number]
    arn = f"{function.arn}:{qualifier}"
    if is_version(qualifier) or qualifier.startswith("$"):
        raise not_found(f"Function not found: {arn}")
    raise not_found(f"Cannot find alias arn: {arn}")


def resolved(region: Region, request: dict[str, Any]) -> tuple[Function, str]:
    """Return the function and the qualifier ("" for none) that a request names, when both exist."""
    where = address(region, request)
    function = function_at(region, where)
    version_at(function, where.qualifier)
    return function, where.qualifier


def whole_function(region: Region, request: dict[str, Any]) -> Function:
    """Return the function that a request names. Raises Refusal when it names a version or an alias."""
    where = address(region, request)
    if where.qualifier:
        raise invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this "
            "operation. Please specify either a function name or an unqualified function ARN."
        )
    return function_at(region, where)


def is_version(qualifier: str) -> bool:
    """Tell whether a qualifier is the number of a version; names of aliases are not only digits."""
    return qualifier.isascii() and qualifier.isdigit()


def revision_holder(function: Function, qualifier: str) -> dict[str, Any]:
    """Return the document whose `RevisionId` counts for a qualifier that exists.

    That is the alias, or the configuration of the version.
    """
    if qualifier in function.aliases:
        return function.aliases[qualifier]
    if qualifier in function.versions:
        return function.versions[qualifier].configuration
    return function.latest.configuration


def touch(function: Function, qualifier: str = "") -> str:
    """Give a function, version or alias a new RevisionId, and return it."""
    revision = new_revision()
    revision_holder(function, qualifier)["RevisionId"] = revision
    return revision
