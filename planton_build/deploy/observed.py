"""What a function is in AWS, in the terms of `desired`. Any key of an answer may be missing."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from planton_build.deploy.desired import (
    DEFAULT_EPHEMERAL_MB,
    DEFAULT_MEMORY_MB,
    DEFAULT_TIMEOUT_SECONDS,
    DEFAULT_TRACING,
    PackageType,
    log_group_of,
)
from planton_build.errors import DeployRefused
from planton_build.publish.aws import Aws
from planton_build.publish.aws_errors import error_code, explained
from planton_build.settings.model import FileSystem, ImageSettings, Logging

_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ObservedFunction:
    """A function as Lambda tells it: `$LATEST`, or a published `version`.

    Two observations are equal when everything that a deployment sets is equal; revision and states do not
    count. `environment` is None when Lambda could not read it, which it cannot without its KMS key.
    `code_hash` is `CodeSha256` as Lambda writes it, "" when it does not.
    `reserved_concurrency` is None when nothing is reserved.
    """

    name: str
    arn: str
    package: PackageType
    code_sha256: str | None
    image_uri: str
    architecture: str
    role: str
    runtime: str
    handler: str
    description: str
    memory_mb: int
    timeout_seconds: int
    environment: Mapping[str, str] | None = field(repr=False)
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    layers: tuple[str, ...]
    kms_key: str
    tracing: str
    dead_letter: str
    ephemeral_mb: int
    file_systems: tuple[FileSystem, ...]
    snap_start: bool
    logging: Logging
    image_config: ImageSettings
    ipv6: bool
    version: str = field(compare=False)
    code_hash: str = field(compare=False)
    last_modified: str = field(compare=False)
    reserved_concurrency: int | None = field(compare=False)
    revision_id: str | None = field(compare=False)
    state: str | None = field(compare=False)
    state_reason: str = field(compare=False)
    state_reason_code: str = field(compare=False)
    last_update: str | None = field(compare=False)
    last_update_reason: str = field(compare=False)
    last_update_reason_code: str = field(compare=False)

    @property
    def busy(self) -> bool:
        """Tell whether Lambda is creating or updating the function, and refuses changes meanwhile.

        An update status that is missing beside a state counts as one in progress: Lambda leaves it out for a
        moment. Emulators that tell neither have nothing in progress.
        """
        if self.state in ("Pending", "Failed"):
            return self.state == "Pending"
        return self.last_update == "InProgress" or (self.last_update is None and self.state is not None)

    @property
    def failed(self) -> bool:
        """Tell whether the function, or the last update of it, failed."""
        return "Failed" in (self.state, self.last_update)

    @property
    def failure(self) -> tuple[str, str]:
        """Return the reason code and the reason of a failure, as Lambda gives them; either may be ""."""
        if self.state == "Failed":
            return self.state_reason_code, self.state_reason
        return self.last_update_reason_code, self.last_update_reason


def observe(
    name: str, aws: Aws, region: str | None, *, concurrency: bool = False, qualifier: str = ""
) -> ObservedFunction | None:
    """Read a function from AWS, or return None when there is none of that name.

    `qualifier` is a version or an alias, whose version is read then. With `concurrency`, a reservation that
    GetFunction does not mention is asked for once more, so that a reservation of 0 is never mistaken for
    none. Raises AccessDenied, CredentialsMissing, AwsUnreachable or DeployRefused.
    """
    from botocore.exceptions import ClientError

    client = aws.lambda_(region)
    with explained(f"reading the function {name}", otherwise=DeployRefused, resource=name):
        try:
            chosen: Any = {"Qualifier": qualifier} if qualifier else {}
            answer: Mapping[str, Any] = client.get_function(FunctionName=name, **chosen)
            if concurrency and not _mapping(answer, "Concurrency"):
                reserved = client.get_function_concurrency(FunctionName=name)
                answer = {**answer, "Concurrency": reserved}
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                return None
            raise
    return read_answer(name, answer)


def read_answer(name: str, answer: Mapping[str, Any]) -> ObservedFunction:
    """Turn an answer of GetFunction into an observation. Raises DeployRefused when it has no function."""
    found = _mapping(answer, "Configuration")
    if not found:
        raise DeployRefused(
            f"the answer about the function {name} describes no function",
            hint="AWS_ENDPOINT_URL may name something that is not Lambda",
        )
    code, vpc = _mapping(answer, "Code"), _mapping(found, "VpcConfig")
    package: PackageType = "Image" if _text(found, "PackageType") == "Image" else "Zip"
    architectures = _texts(found, "Architectures")
    return ObservedFunction(
        name=name,
        arn=_text(found, "FunctionArn"),
        package=package,
        code_sha256=_digest(package, found, code),
        image_uri=_text(code, "ImageUri"),
        architecture=architectures[0] if architectures else "x86_64",
        role=_text(found, "Role"),
        runtime=_text(found, "Runtime"),
        handler=_text(found, "Handler"),
        description=_text(found, "Description"),
        memory_mb=_number(found, "MemorySize", DEFAULT_MEMORY_MB),
        timeout_seconds=_number(found, "Timeout", DEFAULT_TIMEOUT_SECONDS),
        environment=_environment(found),
        subnets=tuple(sorted(set(_texts(vpc, "SubnetIds")))),
        security_groups=tuple(sorted(set(_texts(vpc, "SecurityGroupIds")))),
        layers=_layers(found),
        kms_key=_text(found, "KMSKeyArn"),
        tracing=_text(_mapping(found, "TracingConfig"), "Mode") or DEFAULT_TRACING,
        dead_letter=_text(_mapping(found, "DeadLetterConfig"), "TargetArn"),
        ephemeral_mb=_number(_mapping(found, "EphemeralStorage"), "Size", DEFAULT_EPHEMERAL_MB),
        file_systems=_file_systems(found),
        snap_start=_text(_mapping(found, "SnapStart"), "ApplyOn") == "PublishedVersions",
        logging=_logging(name, _mapping(found, "LoggingConfig")),
        image_config=_image_config(_mapping(_mapping(found, "ImageConfigResponse"), "ImageConfig")),
        version=_text(found, "Version"),
        code_hash=_text(found, "CodeSha256"),
        last_modified=_text(found, "LastModified"),
        ipv6=vpc.get("Ipv6AllowedForDualStack") is True,
        reserved_concurrency=_optional(_mapping(answer, "Concurrency"), "ReservedConcurrentExecutions"),
        revision_id=_text(found, "RevisionId") or None,
        state=_text(found, "State") or None,
        state_reason=_text(found, "StateReason"),
        state_reason_code=_text(found, "StateReasonCode"),
        last_update=_text(found, "LastUpdateStatus") or None,
        last_update_reason=_text(found, "LastUpdateStatusReason"),
        last_update_reason_code=_text(found, "LastUpdateStatusReasonCode"),
    )


def code_digest(encoded: object) -> str | None:
    """Return the SHA-256 (hex) in a `CodeSha256`, which is base64 for ZIPs, or None when it is none."""
    if not isinstance(encoded, str):
        return None
    try:
        digest = base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
    return digest.hex() if len(digest) == 32 else None


def _digest(package: PackageType, found: Mapping[str, Any], code: Mapping[str, Any]) -> str | None:
    if package == "Zip":
        return code_digest(found.get("CodeSha256"))
    # Whether CodeSha256 of an image is hex is not documented; the resolved URI says it in so many words.
    for text in (_text(code, "ResolvedImageUri").rpartition("@sha256:")[2], _text(found, "CodeSha256")):
        if _HEX_DIGEST.fullmatch(text):
            return text
    return None


def _environment(found: Mapping[str, Any]) -> dict[str, str] | None:
    environment = _mapping(found, "Environment")
    if environment.get("Error") and not environment.get("Variables"):
        return None
    variables = _mapping(environment, "Variables")
    return {str(key): str(value) for key, value in sorted(variables.items())}


def _layers(found: Mapping[str, Any]) -> tuple[str, ...]:
    layers = found.get("Layers")
    if not isinstance(layers, list):
        return ()
    arns = (_text(layer, "Arn") for layer in layers if isinstance(layer, Mapping))
    return tuple(arn for arn in arns if arn)


def _file_systems(found: Mapping[str, Any]) -> tuple[FileSystem, ...]:
    listed = found.get("FileSystemConfigs")
    mounts = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    return tuple(FileSystem(_text(mount, "Arn"), _text(mount, "LocalMountPath")) for mount in mounts)


def _logging(name: str, found: Mapping[str, Any]) -> Logging:
    return Logging(
        "JSON" if _text(found, "LogFormat") == "JSON" else "Text",
        _text(found, "ApplicationLogLevel"),
        _text(found, "SystemLogLevel"),
        _text(found, "LogGroup") or log_group_of(name),
    )


def _image_config(found: Mapping[str, Any]) -> ImageSettings:
    return ImageSettings(
        tuple(_texts(found, "EntryPoint")), tuple(_texts(found, "Command")), _text(found, "WorkingDirectory")
    )


def _mapping(answer: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = answer.get(key)
    return value if isinstance(value, Mapping) else {}


def _text(answer: Mapping[str, Any], key: str) -> str:
    value = answer.get(key)
    return value if isinstance(value, str) else ""


def _texts(answer: Mapping[str, Any], key: str) -> list[str]:
    value = answer.get(key)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _number(answer: Mapping[str, Any], key: str, default: int) -> int:
    found = _optional(answer, key)
    return default if found is None else found


def _optional(answer: Mapping[str, Any], key: str) -> int | None:
    value = answer.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
