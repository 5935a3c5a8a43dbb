"""Functions: created, shown, listed, changed, deleted."""

from __future__ import annotations

from planton_build.emulator.answers import page, shown, stamp
from planton_build.emulator.code import (
    check_source,
    check_with_layers,
    function_signing,
    location_answer,
    read_code,
)
from planton_build.emulator.configuration import defaults, digest, with_code, with_settings
from planton_build.emulator.configuration_rules import check_configuration
from planton_build.emulator.lookup import (
    LATEST,
    Address,
    address,
    find_function,
    function_at,
    qualified_arn,
    version_at,
)
from planton_build.emulator.operations import Document, operation
from planton_build.emulator.refusal import Refusal, conflict, invalid, not_found, validation
from planton_build.emulator.runtime_dates import check_runtime_dates
from planton_build.emulator.signing import check_configuration as check_code_signing
from planton_build.emulator.state import Function, Region, Version, new_revision
from planton_build.emulator.tagging import check_tags
from planton_build.emulator.transitions import (
    begin_creation,
    begin_deletion,
    begin_update,
    check_changeable,
    gone,
    in_state,
    settle,
)
from planton_build.emulator.validation import MAX_BARE_NAME
from planton_build.emulator.versions import (
    aliases_of,
    check_revision,
    drop_qualifier,
    list_answer,
    publish,
    version_answer,
)

_SOURCE = (
    "ZipFile", "S3Bucket", "S3Key", "S3ObjectVersion", "S3ObjectStorageMode", "ImageUri", "SourceKMSKeyArn",
)  # fmt: skip


@operation("CreateFunction")
def create_function(region: Region, request: Document) -> Document:
    """Create a function. It is Pending first; with `Publish` its first version is published too."""
    name = address(region, request).name
    if len(name) > MAX_BARE_NAME:
        raise validation(
            f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint: "
            f"Member must have length less than or equal to {MAX_BARE_NAME}"
        )
    source = request.get("Code") or {}
    configuration = with_settings(region, defaults(region, name, request), request)
    check_configuration(region, configuration, request, creating=True)
    check_source(configuration["PackageType"], source, "creating")
    tags = dict(request.get("Tags") or {})
    check_tags({}, tags)
    signing = _signing(region, request, configuration["PackageType"])
    _check_free(region, name)
    code = read_code(region, name, configuration["PackageType"], source, layers=0, signing=signing)
    check_with_layers(code, configuration["_unzipped_layers"])
    latest = Version(_stamped(with_code(configuration, code)), code)
    function = Function(name, region.arn(name), latest, tags=tags, code_signing=signing)
    begin_creation(region, function)
    region.functions[name] = function
    version = publish(region, function, None, with_latest=True) if request.get("Publish") else latest
    return version_answer(function, version)


@operation("GetFunction")
def get_function(region: Region, request: Document) -> Document:
    """Show a function with its code and tags. It counts as a read of its state."""
    function, version, qualifier = _read_state(region, request)
    answer: Document = {
        "Configuration": version_answer(function, version, qualifier),
        "Code": location_answer(version.code),
    }
    if function.tags:
        answer["Tags"] = dict(function.tags)
    if function.reserved is not None and not qualifier:
        answer["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved}
    return answer


@operation("GetFunctionConfiguration")
def get_function_configuration(region: Region, request: Document) -> Document:
    """Show the configuration of a version. It counts as a read of its state."""
    function, version, qualifier = _read_state(region, request)
    return version_answer(function, version, qualifier)


@operation("ListFunctions")
def list_functions(region: Region, request: Document) -> Document:
    """List the functions, with `FunctionVersion=ALL` all their versions."""
    every = request.get("FunctionVersion") == "ALL"
    found = [one for one in list(region.functions.values()) if not one.hidden and not gone(region, one)]
    listed = [
        list_answer(function, version, number if every else "")
        for function in found
        for number, version in ((LATEST, function.latest), *(function.versions.items() if every else ()))
    ]
    functions, marker = page(listed, lambda one: str(one["FunctionArn"]), request)
    return {"Functions": functions, **marker}


@operation("UpdateFunctionConfiguration")
def update_function_configuration(region: Region, request: Document) -> Document:
    """Change settings of `$LATEST`: those that the request has. It takes time."""
    function = _changeable(region, request)
    latest = function.latest
    configuration = with_settings(region, latest.configuration, request)
    check_configuration(region, configuration, request, creating=False)
    if "Layers" in request:
        check_with_layers(latest.code, configuration["_unzipped_layers"])
    begin_update(region, function, _stamped(configuration), latest.code)
    return version_answer(function, latest)


@operation("UpdateFunctionCode")
def update_function_code(region: Region, request: Document) -> Document:
    """Change the code of `$LATEST`, and its architecture. It takes time. `DryRun` only checks."""
    function = _changeable(region, request)
    latest = function.latest
    before = latest.configuration
    source = {name: request[name] for name in _SOURCE if request.get(name) is not None}
    check_source(before["PackageType"], source, "updating")
    if before.get("Runtime"):
        check_runtime_dates(str(before["Runtime"]), creating=False)
    code = read_code(
        region,
        function.name,
        before["PackageType"],
        source,
        layers=before["_unzipped_layers"],
        signing=function_signing(region, function),
    )
    configuration = with_code(before, code)
    if request.get("Architectures"):
        configuration["Architectures"] = list(request["Architectures"])
    if request.get("DryRun"):
        return version_answer(function, Version(configuration, code))
    begin_update(region, function, _stamped(configuration), code)
    if request.get("Publish"):
        version = publish(region, function, None, with_latest=True)
        return version_answer(function, version, str(version.configuration["Version"]))
    return version_answer(function, latest)


@operation("DeleteFunction")
def delete_function(region: Region, request: Document) -> Document:
    """Delete a function and all that hangs on it, or one of its versions. Event sources stay."""
    where = address(region, request)
    if where.qualifier == LATEST:
        raise invalid("$LATEST version cannot be deleted without deleting the function.")
    if where.qualifier and not where.qualifier.isdigit():
        raise invalid("Deletion of aliases is not currently supported.")
    function = function_at(region, Address(where.name))
    if not where.qualifier:
        return {"StatusCode": 202 if begin_deletion(region, function) else 204}
    if users := aliases_of(function, where.qualifier):
        raise conflict(
            f"Unable to delete version because the following aliases reference it: [{', '.join(users)}]"
        )
    # No error without such a version, as AWS was seen to do.
    function.versions.pop(where.qualifier, None)
    drop_qualifier(function, where.qualifier)
    return {"StatusCode": 204}


def _read_state(region: Region, request: Document) -> tuple[Function, Version, str]:
    """Return the function, version and qualifier that a read is for. Things that take time advance."""
    where = address(region, request)
    function = function_at(region, where)
    missing = not_found(f"Function not found: {qualified_arn(region, where)}")
    if gone(region, function, reading=True):
        raise missing
    if function.hidden > 0:
        function.hidden -= 1
        raise missing
    try:
        version = version_at(function, where.qualifier)
    except Refusal as refusal:
        raise missing from refusal
    settle(region.behaviour, version, reading=True)
    return function, version, where.qualifier


def _changeable(region: Region, request: Document) -> Function:
    """Return the function whose `$LATEST` a request changes."""
    where = address(region, request)
    if where.qualifier not in ("", LATEST):
        raise invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this "
            "operation. Please specify either a function name or an unqualified function ARN."
        )
    function = function_at(region, Address(where.name))
    check_changeable(region, function)
    check_revision(function.latest.configuration, request)
    return function


def _check_free(region: Region, name: str) -> None:
    function = find_function(region, name)
    if function is None:
        return
    if function.deleting is not None:
        raise in_state("Deleting")
    raise conflict(f"Function already exist: {name}")


def _signing(region: Region, request: Document, package: str) -> str:
    """Return the code signing configuration that a new function shall use, or ""."""
    arn = str(request.get("CodeSigningConfigArn") or "")
    if arn:
        check_code_signing(region, arn)
        if package == "Image":
            raise invalid("Code signing is not supported for functions created with container images.")
    return arn


def _stamped(configuration: Document) -> Document:
    """Return a configuration as that of a change that is made now."""
    changed = {**configuration, "LastModified": stamp(), "RevisionId": new_revision()}
    return {**changed, "ConfigSha256": digest(shown(changed))}
