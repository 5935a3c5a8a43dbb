"""A function's configuration: its defaults, and what a request makes of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from planton_build.emulator.code import code_sha256
from planton_build.emulator.configuration_layers import layer_members
from planton_build.emulator.operations import Document
from planton_build.emulator.refusal import invalid
from planton_build.emulator.state import Code, Region

DEFAULT_TIMEOUT = 3
"""Seconds (CreateFunction, `Timeout`)."""
DEFAULT_MEMORY = 128
"""MB (CreateFunction, `MemorySize`)."""
DEFAULT_STORAGE = 512
"""MB (EphemeralStorage, `Size`)."""
_VOLATILE = frozenset(
    {
        "CodeSha256", "CodeSize", "ConfigSha256", "FunctionArn", "LastModified", "LastUpdateStatus",
        "LastUpdateStatusReason", "LastUpdateStatusReasonCode", "RevisionId", "State", "StateReason",
        "StateReasonCode", "Version",
    }
)  # fmt: skip
"""What is no setting of a function, or is told by the digest of its code."""
_PLAIN = (
    "Role", "Runtime", "Handler", "Description", "Timeout", "MemorySize", "CapacityProviderConfig",
    "DurableConfig", "RuntimeConfig", "AcceleratorConfig",
)  # fmt: skip
"""Members that replace what was there, as they are."""


def defaults(region: Region, name: str, request: Document) -> Document:
    """Return the configuration of a new function before its settings, with what cannot change later."""
    package = str(request.get("PackageType") or "Zip")
    start: Document = {
        "FunctionName": name,
        "FunctionArn": region.arn(name),
        "Version": "$LATEST",
        "PackageType": package,
        "Architectures": list(request.get("Architectures") or ["x86_64"]),
        "Description": "",
        "Timeout": DEFAULT_TIMEOUT,
        "MemorySize": DEFAULT_MEMORY,
        "TracingConfig": {"Mode": "PassThrough"},
        "EphemeralStorage": {"Size": DEFAULT_STORAGE},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
        "_unzipped_layers": 0,
    }
    if request.get("TenancyConfig"):
        start["TenancyConfig"] = request["TenancyConfig"]
    return start


def with_settings(region: Region, before: Document, request: Document) -> Document:
    """Return a configuration with the settings of a request; those that it does not have stay.

    Empty values clear. Nothing is checked that the setting alone does not show.
    """
    after = {**before, **{name: request[name] for name in _PLAIN if name in request}}
    for name, change in _CHANGES.items():
        if name in request:
            change(region, after, request[name])
    if after["PackageType"] == "Zip" and after.get("Runtime"):
        after["RuntimeVersionConfig"] = {"RuntimeVersionArn": _runtime_version(region, after["Runtime"])}
    return after


def with_code(configuration: Document, code: Code) -> Document:
    """Return a configuration that shows a code."""
    return {**configuration, "CodeSha256": code_sha256(code), "CodeSize": code.size}


def digest(configuration: Document) -> str:
    """Return ConfigSha256 (hex): equal for equal settings. How AWS makes it is not documented."""
    settings = {
        name: value
        for name, value in configuration.items()
        if name not in _VOLATILE and not name.startswith("_")
    }
    settings["SnapStart"] = (configuration.get("SnapStart") or {}).get("ApplyOn")
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _runtime_version(region: Region, runtime: str) -> str:
    identifier = hashlib.sha256(runtime.encode()).hexdigest()
    return f"arn:{region.partition}:lambda:{region.region}::runtime:{identifier}"


def _set_or_remove(after: Document, name: str, value: object) -> None:
    if value:
        after[name] = value
    else:
        after.pop(name, None)


def _environment(_: Region, after: Document, wanted: Document) -> None:
    variables = wanted.get("Variables")
    _set_or_remove(after, "Environment", {"Variables": dict(variables)} if variables else None)


def _dead_letters(_: Region, after: Document, wanted: Document) -> None:
    target = wanted.get("TargetArn")
    _set_or_remove(after, "DeadLetterConfig", {"TargetArn": target} if target else None)


def _vpc(_: Region, after: Document, wanted: Document) -> None:
    before = after.get("VpcConfig") or {}
    if "SubnetIds" in wanted or "SecurityGroupIds" in wanted:
        subnets, groups = (list(wanted.get(name) or []) for name in ("SubnetIds", "SecurityGroupIds"))
    else:
        subnets, groups = (list(before.get(name) or []) for name in ("SubnetIds", "SecurityGroupIds"))
    if bool(subnets) != bool(groups):
        raise invalid("SubnetIds and SecurityIds must coexist or be both empty list.")
    ipv6 = wanted.get("Ipv6AllowedForDualStack", before.get("Ipv6AllowedForDualStack", False))
    after["VpcConfig"] = {
        "SubnetIds": subnets,
        "SecurityGroupIds": groups,
        # Which VPC it is nobody compares: one for each set of subnets.
        "VpcId": f"vpc-{_short(sorted(subnets))}" if subnets else "",
        "Ipv6AllowedForDualStack": bool(ipv6),
    }


def _short(names: Iterable[str]) -> str:
    return hashlib.sha256(" ".join(names).encode()).hexdigest()[:17]


def _tracing(_: Region, after: Document, wanted: Document) -> None:
    if wanted.get("Mode"):
        after["TracingConfig"] = {"Mode": wanted["Mode"]}


def _storage(_: Region, after: Document, wanted: Document) -> None:
    after["EphemeralStorage"] = {"Size": wanted["Size"]}


def _image(_: Region, after: Document, wanted: Document) -> None:
    """Replace all of ImageConfig, and remove it when it is empty."""
    given = {name: wanted[name] for name in ("EntryPoint", "Command", "WorkingDirectory") if wanted.get(name)}
    _set_or_remove(after, "ImageConfigResponse", {"ImageConfig": given} if given else None)


def _snap_start(_: Region, after: Document, wanted: Document) -> None:
    after["SnapStart"] = {"ApplyOn": wanted.get("ApplyOn") or "None", "OptimizationStatus": "Off"}


def _logging(_: Region, after: Document, wanted: Document) -> None:
    """Merge LoggingConfig. Levels are JSON's alone, and INFO where they are not told."""
    levels = ("ApplicationLogLevel", "SystemLogLevel")
    merged = {**after["LoggingConfig"], **{name: value for name, value in wanted.items() if value}}
    if merged["LogFormat"] == "JSON":
        after["LoggingConfig"] = {**dict.fromkeys(levels, "INFO"), **merged}
        return
    if any(wanted.get(name) for name in levels):
        raise invalid(
            'LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your request or '
            'change the LogFormat to "JSON" and try again.'
        )
    after["LoggingConfig"] = {name: value for name, value in merged.items() if name not in levels}


def _layers(region: Region, after: Document, wanted: list[str]) -> None:
    shown, unzipped = layer_members(region, wanted)
    _set_or_remove(after, "Layers", shown)
    after["_unzipped_layers"] = unzipped


_CHANGES: dict[str, Callable[[Region, Document, Any], None]] = {
    "Environment": _environment,
    "DeadLetterConfig": _dead_letters,
    "KMSKeyArn": lambda _, after, wanted: _set_or_remove(after, "KMSKeyArn", wanted),
    "VpcConfig": _vpc,
    "TracingConfig": _tracing,
    "EphemeralStorage": _storage,
    "FileSystemConfigs": lambda _, after, wanted: _set_or_remove(after, "FileSystemConfigs", list(wanted)),
    "ImageConfig": _image,
    "SnapStart": _snap_start,
    "LoggingConfig": _logging,
    "Layers": _layers,
}
