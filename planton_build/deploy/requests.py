"""The requests that set a function up, in Lambda's own terms."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, cast

from planton_build.deploy.desired import DesiredFunction
from planton_build.deploy.observed import ObservedFunction
from planton_build.manifest.code_source import S3Source
from planton_build.settings.model import ImageSettings, Logging

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import (
        CreateFunctionRequestTypeDef,
        UpdateFunctionCodeRequestTypeDef,
        UpdateFunctionConfigurationRequestTypeDef,
    )

_PLAIN = {
    "description": "Description",
    "role": "Role",
    "runtime": "Runtime",
    "handler": "Handler",
    "memory_mb": "MemorySize",
    "timeout_seconds": "Timeout",
    "kms_key": "KMSKeyArn",
}
_NETWORK = ("subnets", "security_groups")
_STRUCTURED: dict[str, Callable[[Any], dict[str, Any]]] = {
    "tracing": lambda mode: {"TracingConfig": {"Mode": mode}},
    "dead_letter": lambda arn: {"DeadLetterConfig": {"TargetArn": arn}},
    "ephemeral_mb": lambda size: {"EphemeralStorage": {"Size": size}},
    "file_systems": lambda systems: {
        "FileSystemConfigs": [{"Arn": one.arn, "LocalMountPath": one.path} for one in systems]
    },
    "snap_start": lambda on: {"SnapStart": {"ApplyOn": "PublishedVersions" if on else "None"}},
    "logging": lambda logging: {"LoggingConfig": _logging(logging)},
    "image_config": lambda image: {"ImageConfig": _image_config(image)},
}
"""What each of these fields is in a request. An empty value clears what is there."""


def create_request(desired: DesiredFunction) -> CreateFunctionRequestTypeDef:
    """Return the CreateFunction request: everything but reserved concurrency, which is a call of its own."""
    request: dict[str, Any] = {
        "FunctionName": desired.name,
        "PackageType": desired.package,
        "Code": _code(desired),
        "Architectures": [desired.architecture],
        **{theirs: value for ours, theirs in _PLAIN.items() if (value := getattr(desired, ours)) != ""},
    }
    if desired.environment:
        request["Environment"] = {"Variables": dict(desired.environment)}
    if desired.subnets or desired.security_groups:
        request["VpcConfig"] = _network(desired, None)
    if desired.layers:
        request["Layers"] = list(desired.layers)
    for name, build in _STRUCTURED.items():
        # What is empty needs no mention: a new function has nothing to clear.
        if value := getattr(desired, name):
            request |= build(value)
    settings = desired.settings
    if settings.tags:
        request["Tags"] = dict(settings.tags)
    if isinstance(settings.code_signing, str) and settings.code_signing:
        request["CodeSigningConfigArn"] = settings.code_signing
    return cast("CreateFunctionRequestTypeDef", request)


def configuration_request(
    desired: DesiredFunction | ObservedFunction,
    observed: ObservedFunction | None,
    fields: Collection[str],
) -> UpdateFunctionConfigurationRequestTypeDef:
    """Return the UpdateFunctionConfiguration request that makes these fields as in `desired`.

    To undo a change, `desired` is the function as it was observed before.

    What is empty is sent as empty, because Lambda leaves alone what is not sent: "" clears the description
    and the KMS key, an empty map the environment, empty lists layers and VPC. Runtime, handler and layers are
    no part of an image's configuration.
    """
    image = desired.package == "Image"
    request: dict[str, Any] = {"FunctionName": desired.name}
    for ours, theirs in _PLAIN.items():
        if ours in fields and not (image and ours in ("runtime", "handler")):
            request[theirs] = getattr(desired, ours)
    if "environment" in fields:
        request["Environment"] = {"Variables": dict(desired.environment or {})}
    if any(name in fields for name in _NETWORK):
        request["VpcConfig"] = _network(desired, observed)
    if "layers" in fields and (desired.layers or not image):
        request["Layers"] = list(desired.layers)
    for name, build in _STRUCTURED.items():
        if name in fields and (value := getattr(desired, name)) is not None:
            request |= build(value)
    return cast("UpdateFunctionConfigurationRequestTypeDef", request)


def code_request(desired: DesiredFunction) -> UpdateFunctionCodeRequestTypeDef:
    """Return the UpdateFunctionCode request. The architecture goes with the code."""
    request = {"FunctionName": desired.name, "Architectures": [desired.architecture], **_code(desired)}
    return cast("UpdateFunctionCodeRequestTypeDef", request)


def _code(desired: DesiredFunction) -> dict[str, Any]:
    code = desired.code
    if not isinstance(code, S3Source):
        return {"ImageUri": code.image_uri}
    place = {"S3Bucket": code.bucket, "S3Key": code.key}
    return place if code.object_version is None else {**place, "S3ObjectVersion": code.object_version}


def _logging(logging: Logging) -> dict[str, Any]:
    levels = {"ApplicationLogLevel": logging.level, "SystemLogLevel": logging.system_level}
    chosen = {name: level for name, level in levels.items() if level and logging.format == "JSON"}
    return {"LogFormat": logging.format, "LogGroup": logging.group, **chosen}


def _image_config(image: ImageSettings) -> dict[str, Any]:
    parts = {
        "EntryPoint": list(image.entry_point),
        "Command": list(image.command),
        "WorkingDirectory": image.working_directory,
    }
    return {name: value for name, value in parts.items() if value}


def _network(
    desired: DesiredFunction | ObservedFunction, observed: ObservedFunction | None
) -> dict[str, Any]:
    """Return the VPC part. IPv6 is nothing a manifest knows: it stays as it is, and goes with the VPC."""
    network: dict[str, Any] = {
        "SubnetIds": list(desired.subnets),
        "SecurityGroupIds": list(desired.security_groups),
    }
    if not desired.subnets:
        network["Ipv6AllowedForDualStack"] = False
    elif observed is not None and observed.ipv6:
        network["Ipv6AllowedForDualStack"] = True
    return network
