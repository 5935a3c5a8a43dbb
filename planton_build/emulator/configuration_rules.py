"""What Lambda refuses in a configuration beyond the service model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from planton_build.emulator.destinations import missing
from planton_build.emulator.operations import Document
from planton_build.emulator.refusal import invalid
from planton_build.emulator.runtime_dates import check_runtime_dates
from planton_build.emulator.state import Region

MAX_TIMEOUT = 900
MAX_MEMORY = 10_240
MAX_STORAGE = 10_240
"""What ordinary functions may have, in seconds and MB. The model's maxima are those of functions on managed
instances or with accelerators."""
MAX_ENVIRONMENT = 4096
"""Bytes of the variables as JSON."""
RESERVED_VARIABLES = frozenset(
    {
        "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "TZ",
    }
)  # fmt: skip
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""
_SNAP_START = re.compile(
    r"python3\.(?:1[2-9]|[2-9]\d)|java(?:1[1-9]|[2-9]\d)(?:\.al2023)?|dotnet(?:[89]|\d\d)"
)
"""Python from 3.12, Java from 11, .NET from 8 on."""


def check_configuration(region: Region, after: Document, request: Document, *, creating: bool) -> None:
    """Raise Refusal when a configuration breaks a rule. `request` is what has led to it."""
    _check_numbers(after)
    if "Environment" in request:
        check_environment((after.get("Environment") or {}).get("Variables") or {})
    if "Role" in request:
        region.world.check_role(region.account, str(after["Role"]))
    _check_package(after, request)
    if after["PackageType"] == "Zip" and (creating or "Runtime" in request):
        check_runtime_dates(str(after["Runtime"]), creating=creating)
    _check_snap_start(after)
    _check_file_systems(region, after, request)
    _check_network(region, after, request)
    _check_others(region, after, request)


def check_environment(variables: Mapping[str, str]) -> None:
    """Raise Refusal for reserved names, and for too much. AWS repeats the values in that message."""
    beginning = (
        "Lambda was unable to configure your environment variables because the environment variables you "
        "have provided"
    )
    if reserved := [name for name in variables if name in RESERVED_VARIABLES]:
        raise invalid(
            f"{beginning} contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    measured = json.dumps(dict(variables), separators=(",", ":"), ensure_ascii=False)
    if len(measured.encode()) > MAX_ENVIRONMENT:
        raise invalid(f"{beginning} exceeded the 4KB limit. String measured: {measured}")


def _check_numbers(after: Document) -> None:
    special = after.get("CapacityProviderConfig") or after.get("AcceleratorConfig")
    storage = after["EphemeralStorage"]["Size"]
    for name, value, most in (
        ("Timeout", after["Timeout"], MAX_TIMEOUT),
        ("MemorySize", after["MemorySize"], MAX_MEMORY),
        ("EphemeralStorage", storage, MAX_STORAGE),
    ):
        if value > most and not special:
            raise invalid(
                f"'{name}' value failed to satisfy constraint: Member must have value less than or equal to "
                f"{most}"
            )


def _check_package(after: Document, request: Document) -> None:
    if after["PackageType"] == "Zip":
        if not after.get("Runtime") or not after.get("Handler"):
            raise invalid(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages."
            )
        if request.get("ImageConfig"):
            # The rule is AWS's, the words are ours.
            raise invalid("ImageConfig is only supported for functions created with container images.")
        return
    if request.get("Runtime") or request.get("Handler"):
        raise invalid(
            "The Runtime and Handler parameters are not supported for functions created with container "
            "images."
        )
    if request.get("Layers"):
        raise invalid("Lambda layers are not supported for functions created with container images.")


def _check_snap_start(after: Document) -> None:
    if after["SnapStart"]["ApplyOn"] != "PublishedVersions":
        return
    runtime = str(after.get("Runtime") or "container image")
    if after["PackageType"] == "Image" or not _SNAP_START.fullmatch(runtime):
        raise invalid(f"{runtime} is not supported for SnapStart enabled functions.")
    # The rules are AWS's, the words are ours.
    if after.get("FileSystemConfigs"):
        raise invalid("EFS is not supported for SnapStart enabled functions.")
    if after["EphemeralStorage"]["Size"] > 512:
        raise invalid(
            "Ephemeral storage greater than 512 MB is not supported for SnapStart enabled functions."
        )


def _check_file_systems(region: Region, after: Document, request: Document) -> None:
    for one in after.get("FileSystemConfigs") or []:
        arn = one["Arn"]
        if not (after.get("VpcConfig") or {}).get("SubnetIds"):
            raise invalid(
                f"Function must be configured to execute in a VPC to reference access point {arn}. Please "
                "update the function configuration to include VPC subnets and security groups."
            )
        if "FileSystemConfigs" in request and ":elasticfilesystem:" in arn:
            _check_there(region, "access_point", arn, f"EFS access point {arn} does not exist.")


def _check_network(region: Region, after: Document, request: Document) -> None:
    network = after.get("VpcConfig") or {}
    if "VpcConfig" not in request:
        return
    for member, kind, call, code, what in (
        ("SubnetIds", "subnet", "DescribeSubnets", "InvalidSubnetID.NotFound", "subnet ID"),
        ("SecurityGroupIds", "security_group", "DescribeSecurityGroups", "InvalidGroup.NotFound",
         "security group"),
    ):  # fmt: skip
        for one in network.get(member) or []:
            text = (
                f"Error occurred while {call}. EC2 Error Code: {code}. "
                f"EC2 Error Message: The {what} '{one}' does not exist"
            )
            _check_there(region, kind, one, text)


def _check_others(region: Region, after: Document, request: Document) -> None:
    if "DeadLetterConfig" in request and (letters := after.get("DeadLetterConfig")):
        target = letters["TargetArn"]
        service = target.split(":")[2]
        kind = {"sqs": "queue", "sns": "topic"}.get(service)
        # The rules are AWS's, the words are ours.
        if kind is None or target.endswith(".fifo"):
            raise invalid(f"The dead letter target {target} is no standard SQS queue or SNS topic.")
        _check_there(region, kind, target, f"The dead letter target {target} does not exist.")
    if "KMSKeyArn" in request and (key := after.get("KMSKeyArn")):
        text = (
            "Lambda was unable to configure access to your environment variables because the KMS key is "
            "invalid for CreateGrant. Please check your KMS key settings. KMS Exception: NotFoundException "
            f"KMS Message: Key '{key}' does not exist"
        )
        _check_there(region, "key", key, text)


def _check_there(region: Region, kind: str, identifier: str, message: str) -> None:
    if missing(region, kind, identifier):
        raise invalid(message)
