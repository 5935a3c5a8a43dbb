"""Code signing configurations, and which functions use them."""

from __future__ import annotations

import secrets

from planton_build.emulator.answers import page, stamp
from planton_build.emulator.lookup import address, function_at
from planton_build.emulator.operations import Document, operation
from planton_build.emulator.refusal import Refusal, conflict, invalid, not_found
from planton_build.emulator.state import Function, Region
from planton_build.emulator.tagging import check_tags

_CONFIGURATIONS_IN_A_PAGE = 10_000


@operation("CreateCodeSigningConfig")
def create_code_signing_config(region: Region, request: Document) -> Document:
    """Make a configuration; every call makes a new one."""
    tags = dict(request.get("Tags") or {})
    check_tags({}, tags)
    identifier = f"csc-{secrets.token_hex(9)[:17]}"
    arn = f"arn:{region.partition}:lambda:{region.region}:{region.account}:code-signing-config:{identifier}"
    policies = request.get("CodeSigningPolicies") or {}
    region.code_signing_configs[arn] = {
        "CodeSigningConfigId": identifier,
        "CodeSigningConfigArn": arn,
        "Description": request.get("Description", ""),
        "AllowedPublishers": dict(request["AllowedPublishers"]),
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Warn", **policies},
        "LastModified": stamp(),
    }
    if tags:
        region.code_signing_tags[arn] = tags
    return {"CodeSigningConfig": dict(region.code_signing_configs[arn])}


@operation("GetCodeSigningConfig")
def get_code_signing_config(region: Region, request: Document) -> Document:
    """Show a configuration."""
    return {"CodeSigningConfig": dict(_existing(region, request))}


@operation("UpdateCodeSigningConfig")
def update_code_signing_config(region: Region, request: Document) -> Document:
    """Change what the request has of a configuration."""
    found = _existing(region, request)
    for name in ("Description", "AllowedPublishers", "CodeSigningPolicies"):
        if request.get(name) is not None:
            found[name] = request[name]
    found["LastModified"] = stamp()
    return {"CodeSigningConfig": dict(found)}


@operation("DeleteCodeSigningConfig")
def delete_code_signing_config(region: Region, request: Document) -> Document:
    """Remove a configuration that no function uses."""
    arn = str(_existing(region, request)["CodeSigningConfigArn"])
    users = [function.name for function in region.functions.values() if function.code_signing == arn]
    if users:
        # The rule is AWS's, the words are ours.
        raise conflict(f"The code signing configuration {arn} is used by {len(users)} function(s).")
    del region.code_signing_configs[arn]
    region.code_signing_tags.pop(arn, None)
    return {}


@operation("ListCodeSigningConfigs")
def list_code_signing_configs(region: Region, request: Document) -> Document:
    """List all configurations."""
    found, marker = page(
        region.code_signing_configs.values(),
        lambda one: str(one["CodeSigningConfigId"]),
        request,
        _CONFIGURATIONS_IN_A_PAGE,
    )
    return {"CodeSigningConfigs": [dict(one) for one in found], **marker}


@operation("ListFunctionsByCodeSigningConfig")
def list_functions_by_code_signing_config(region: Region, request: Document) -> Document:
    """List the ARNs of the functions that use a configuration."""
    arn = str(_existing(region, request)["CodeSigningConfigArn"])
    users = [function.arn for function in region.functions.values() if function.code_signing == arn]
    found, marker = page(users, str, request, _CONFIGURATIONS_IN_A_PAGE)
    return {"FunctionArns": found, **marker}


@operation("PutFunctionCodeSigningConfig")
def put_function_code_signing_config(region: Region, request: Document) -> Document:
    """Make a function use a configuration."""
    arn = str(request["CodeSigningConfigArn"])
    check_configuration(region, arn)
    function = _of_zip(region, request)
    function.code_signing = arn
    return {"CodeSigningConfigArn": arn, "FunctionName": function.name}


@operation("GetFunctionCodeSigningConfig")
def get_function_code_signing_config(region: Region, request: Document) -> Document:
    """Show which configuration a function uses; nothing when it uses none."""
    function = _of_zip(region, request)
    if not function.code_signing:
        return {}
    return {"CodeSigningConfigArn": function.code_signing, "FunctionName": function.name}


@operation("DeleteFunctionCodeSigningConfig")
def delete_function_code_signing_config(region: Region, request: Document) -> None:
    """Make a function use no configuration; it is no error when it uses none."""
    _of_zip(region, request).code_signing = ""


def check_configuration(region: Region, arn: str) -> None:
    """Raise Refusal (404) when a function cannot use a configuration because there is none of that ARN."""
    if arn not in region.code_signing_configs:
        raise Refusal(
            "CodeSigningConfigNotFoundException",
            404,
            "The code signing configuration cannot be found. "
            f"Check that the provided configuration is not deleted: {arn}.",
            {"Type": "User"},
        )


def _existing(region: Region, request: Document) -> Document:
    arn = str(request["CodeSigningConfigArn"])
    if arn not in region.code_signing_configs:
        raise not_found(f"The Lambda code signing configuration {arn} can not be found.")
    return region.code_signing_configs[arn]


def _of_zip(region: Region, request: Document) -> Function:
    function = function_at(region, address(region, request))
    if function.latest.code.package == "Image":
        raise invalid("Code signing is not supported for functions created with container images.")
    return function
