"""Aliases: names of versions that move, all at once or by weights."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from planton_build.emulator.answers import Waiting, page, shown, waiting
from planton_build.emulator.lookup import LATEST, Address, address, function_at
from planton_build.emulator.operations import Document, operation
from planton_build.emulator.refusal import conflict, invalid, not_found
from planton_build.emulator.state import Function, Region, new_revision
from planton_build.emulator.versions import check_revision, drop_qualifier


@operation("CreateAlias")
def create_alias(region: Region, request: Document) -> Document:
    """Create an alias of a version that exists."""
    function = _function(region, request)
    name, version = str(request["Name"]), str(request["FunctionVersion"])
    _check_version(function, version)
    arn = f"{function.arn}:{name}"
    if name in function.aliases:
        raise conflict(f"Alias already exists: {arn}")
    weights = _weights(request.get("RoutingConfig"))
    _check_weights(function, version, weights)
    function.aliases[name] = _document(arn, name, version, str(request.get("Description") or ""), weights)
    return shown(function.aliases[name])


@operation("GetAlias")
def get_alias(region: Region, request: Document) -> Document:
    """Show an alias."""
    function = _function(region, request)
    alias = function.aliases.get(str(request["Name"]))
    if alias is None:
        raise not_found(f"Cannot find alias arn: {function.arn}:{request['Name']}")
    _arrive(region, alias)
    return shown(alias)


@operation("UpdateAlias")
def update_alias(region: Region, request: Document) -> Document:
    """Move an alias, or change its weights or its description; what the request does not have stays.

    An alias with provisioned concurrency that moves gets a weight of 1 for the version that it leaves, until
    the new one is provisioned.
    """
    function = _function(region, request)
    name = str(request["Name"])
    alias = function.aliases.get(name)
    if alias is None:
        raise not_found(f"Alias not found: {function.arn}:{name}")
    check_revision(alias, request)
    version = str(request.get("FunctionVersion") or alias["FunctionVersion"])
    _check_version(function, version)
    kept = None if "_moving" in alias else alias.get("RoutingConfig")
    weights = _weights(request.get("RoutingConfig", kept))
    _check_weights(function, version, weights)
    description = request.get("Description")
    text = str(alias["Description"] if description is None else description)
    left = str(alias["FunctionVersion"])
    moving = _moving(region) if name in function.provisioned and not weights and left != version else None
    if moving is not None:
        weights = {left: 1.0}
    function.aliases[name] = _document(f"{function.arn}:{name}", name, version, text, weights)
    if moving is not None:
        function.aliases[name]["_moving"] = moving
    return shown(function.aliases[name])


@operation("DeleteAlias")
def delete_alias(region: Region, request: Document) -> None:
    """Delete an alias and what hangs on it; it is no error when it is not there."""
    function = _function(region, request)
    if function.aliases.pop(str(request["Name"]), None) is not None:
        drop_qualifier(function, str(request["Name"]))


@operation("ListAliases")
def list_aliases(region: Region, request: Document) -> Document:
    """List the aliases, those of `FunctionVersion` when the request has one."""
    function = _function(region, request)
    version = request.get("FunctionVersion")
    fitting = [one for one in function.aliases.values() if version in (None, one["FunctionVersion"])]
    found, marker = page(fitting, lambda one: str(one["Name"]), request)
    return {"Aliases": [shown(one) for one in found], **marker}


def next_version(alias: dict[str, Any]) -> str:
    """Return the version that the next invocation of an alias goes to, in turns by the weights.

    Of a hundred invocations with a weight of 0.1 exactly ten go to the additional version.
    """
    weights = _weights(alias.get("RoutingConfig"))
    count = alias["_invocations"] = alias.get("_invocations", 0) + 1
    for number, weight in weights.items():
        share = Fraction(str(weight))
        if count * share // 1 > (count - 1) * share // 1:
            return number
    return str(alias["FunctionVersion"])


def _moving(region: Region) -> Waiting | None:
    """Return how long it takes to provision the version that an alias moves to; None for no time at all."""
    found = waiting(region.behaviour, region.behaviour.provisioning_reads)
    return found if found.reads or region.behaviour.seconds else None


def _arrive(region: Region, alias: dict[str, Any]) -> None:
    """Take the weight from an alias that has moved when its version is provisioned. It counts as a read."""
    if "_moving" in alias and alias["_moving"].over(region.behaviour):
        for member in ("_moving", "RoutingConfig", "_invocations"):
            alias.pop(member, None)
        alias["RevisionId"] = new_revision()


def _function(region: Region, request: Document) -> Function:
    return function_at(region, Address(address(region, request).name))


def _weights(routing: Mapping[str, Any] | None) -> dict[str, float]:
    return dict((routing or {}).get("AdditionalVersionWeights") or {})


def _document(arn: str, name: str, version: str, description: str, weights: Mapping[str, float]) -> Document:
    document: Document = {
        "AliasArn": arn,
        "Name": name,
        "FunctionVersion": version,
        "Description": description,
        "RevisionId": new_revision(),
    }
    if weights:
        document["RoutingConfig"] = {"AdditionalVersionWeights": dict(weights)}
    return document


def _check_version(function: Function, version: str) -> None:
    if version != LATEST and version not in function.versions:
        raise not_found(f"Function not found: {function.arn}:{version}")


def _check_weights(function: Function, version: str, weights: Mapping[str, float]) -> None:
    if len(weights) > 1:
        raise invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
    for number in weights:
        if number == version:
            raise invalid(
                f"Invalid function version {version}. Function version {version} is already included in "
                "routing configuration."
            )
        if version == LATEST:
            raise invalid("$LATEST is not supported for an alias pointing to more than 1 version")
        _check_version(function, number)
