"""What becomes of asynchronous invocations: retries, age, destinations. By version, alias or `$LATEST`."""

from __future__ import annotations

from datetime import UTC, datetime

from planton_build.emulator.answers import page
from planton_build.emulator.destinations import check_destination
from planton_build.emulator.lookup import LATEST, Address, address, find_function, qualified_arn
from planton_build.emulator.operations import Document, operation
from planton_build.emulator.refusal import invalid, not_found
from planton_build.emulator.state import Function, Region

_NUMBERS = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds")
_SIDES = ("OnSuccess", "OnFailure")


@operation("PutFunctionEventInvokeConfig")
def put_function_event_invoke_config(region: Region, request: Document) -> Document:
    """Set the whole configuration: what the request does not have is gone."""
    function, where = _target(region, request)
    destinations = _destinations(region, function, request.get("DestinationConfig") or {})
    return _stored(function, where, _numbers(request) | {"DestinationConfig": destinations}, region)


@operation("UpdateFunctionEventInvokeConfig")
def update_function_event_invoke_config(region: Region, request: Document) -> Document:
    """Change what the request has; the rest stays."""
    function, where = _target(region, request)
    found = function.event_invokes.get(_key(where))
    if found is None:
        raise _none(region, where)
    changed = {**found, **_numbers(request)}
    if request.get("DestinationConfig") is not None:
        changed["DestinationConfig"] = _destinations(region, function, request["DestinationConfig"])
    return _stored(function, where, changed, region)


@operation("GetFunctionEventInvokeConfig")
def get_function_event_invoke_config(region: Region, request: Document) -> Document:
    """Show a configuration."""
    where = address(region, request)
    function = find_function(region, where.name)
    if function is None or _key(where) not in function.event_invokes:
        raise _none(region, where)
    return dict(function.event_invokes[_key(where)])


@operation("ListFunctionEventInvokeConfigs")
def list_function_event_invoke_configs(region: Region, request: Document) -> Document:
    """List the configurations of a function and of its versions and aliases."""
    function = find_function(region, address(region, request).name)
    if function is None:
        raise not_found("The function doesn't exist.")
    found, marker = page(function.event_invokes.values(), lambda one: str(one["FunctionArn"]), request)
    return {"FunctionEventInvokeConfigs": [dict(one) for one in found], **marker}


@operation("DeleteFunctionEventInvokeConfig")
def delete_function_event_invoke_config(region: Region, request: Document) -> None:
    """Remove a configuration."""
    where = address(region, request)
    function = find_function(region, where.name)
    if function is None or function.event_invokes.pop(_key(where), None) is None:
        raise _none(region, where)


def _key(where: Address) -> str:
    """Return the key in the map of configurations: that of `$LATEST` is the unqualified function's."""
    return "" if where.qualifier == LATEST else where.qualifier


def _arn(region: Region, where: Address) -> str:
    """Return the ARN that AWS shows, which always has a qualifier."""
    return qualified_arn(region, Address(where.name, where.qualifier or LATEST))


def _target(region: Region, request: Document) -> tuple[Function, Address]:
    if all(request.get(name) is None for name in (*_NUMBERS, "DestinationConfig")):
        raise invalid("You must specify at least one of error handling or destination setting.")
    where = address(region, request)
    function = find_function(region, where.name)
    qualifier = _key(where)
    if function is None or (
        qualifier and qualifier not in function.aliases and qualifier not in function.versions
    ):
        raise not_found("The function doesn't exist.")
    return function, where


def _numbers(request: Document) -> Document:
    return {name: request[name] for name in _NUMBERS if request.get(name) is not None}


def _destinations(region: Region, function: Function, wanted: Document) -> Document:
    """Return both sides of a `DestinationConfig`, empty where nothing is sent. Raises Refusal."""
    given = {side: str((wanted.get(side) or {}).get("Destination") or "") for side in _SIDES}
    for side, arn in given.items():
        if arn:
            check_destination(region, function, side, arn, given)
    return {side: {"Destination": arn} if arn else {} for side, arn in given.items()}


def _stored(function: Function, where: Address, document: Document, region: Region) -> Document:
    function.event_invokes[_key(where)] = {
        **document,
        "FunctionArn": _arn(region, where),
        "LastModified": datetime.now(UTC),
    }
    return dict(function.event_invokes[_key(where)])


def _none(region: Region, where: Address) -> Exception:
    return not_found(f"The function {_arn(region, where)} doesn't have an EventInvokeConfig")
