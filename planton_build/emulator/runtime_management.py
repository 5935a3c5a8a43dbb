"""When a function gets new versions of its runtime, and what happens when it calls itself without end."""

from __future__ import annotations

from planton_build.emulator.lookup import LATEST, resolved, whole_function
from planton_build.emulator.operations import Document, operation
from planton_build.emulator.refusal import invalid
from planton_build.emulator.state import Function, Region


@operation("PutRuntimeManagementConfig")
def put_runtime_management_config(region: Region, request: Document) -> Document:
    """Say when the runtime of `$LATEST` or of a version is updated."""
    function, qualifier = _target(region, request)
    # The rules are AWS's, the words are ours.
    if function.latest.code.package == "Image":
        raise invalid(
            "Runtime management configuration is not supported for functions created with container images."
        )
    mode, arn = str(request["UpdateRuntimeOn"]), request.get("RuntimeVersionArn")
    if mode == "Manual" and not arn:
        raise invalid("RuntimeVersionArn is required when UpdateRuntimeOn is Manual.")
    if mode != "Manual" and arn:
        raise invalid("RuntimeVersionArn can only be specified when UpdateRuntimeOn is Manual.")
    function.runtime_management[qualifier] = {
        "UpdateRuntimeOn": mode,
        **({"RuntimeVersionArn": arn} if arn else {}),
    }
    return _answer(function, qualifier)


@operation("GetRuntimeManagementConfig")
def get_runtime_management_config(region: Region, request: Document) -> Document:
    """Show when the runtime is updated: automatically where nothing else was said."""
    return _answer(*_target(region, request))


@operation("PutFunctionRecursionConfig")
def put_function_recursion_config(region: Region, request: Document) -> Document:
    """Say whether a function that calls itself without end is stopped."""
    function = whole_function(region, request)
    function.recursion = str(request["RecursiveLoop"])
    return {"RecursiveLoop": function.recursion}


@operation("GetFunctionRecursionConfig")
def get_function_recursion_config(region: Region, request: Document) -> Document:
    """Show whether a function that calls itself without end is stopped."""
    return {"RecursiveLoop": whole_function(region, request).recursion}


def _target(region: Region, request: Document) -> tuple[Function, str]:
    """Return the function and the version ("" for `$LATEST`) that a request names."""
    function, qualifier = resolved(region, request)
    if qualifier in function.aliases:
        raise invalid("Runtime management configuration is of versions: aliases are not supported.")
    return function, "" if qualifier == LATEST else qualifier


def _answer(function: Function, qualifier: str) -> Document:
    found = function.runtime_management.get(qualifier, {"UpdateRuntimeOn": "Auto"})
    return {**found, "FunctionArn": f"{function.arn}:{qualifier or LATEST}"}
