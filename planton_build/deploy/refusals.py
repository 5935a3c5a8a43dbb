"""Why Lambda says no: which refusals pass with time, and what to do about the others.

The texts are Lambda's own; where several refusals share a code, only the text tells them apart.
"""

from __future__ import annotations

import math
import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from planton_build.publish.aws_errors import error_code, error_text

if TYPE_CHECKING:
    from botocore.exceptions import ClientError


class Refusal(Enum):
    """What a refused call asks for."""

    BUSY = auto()
    """Another update is in progress: wait for it, then try again."""
    EXISTS = auto()
    """The function to create is there: look at it."""
    STALE = auto()
    """The function changed since it was read: look again."""
    PROPAGATING = auto()
    """IAM or KMS has not yet heard of a change everywhere: try again for a while."""
    THROTTLED_BY_EC2 = auto()
    """EC2 is slow to give network interfaces: try again for longer."""
    THROTTLED = auto()
    """The account makes too many calls: try again when AWS says."""
    NOT_YET = auto()
    """What was just made is not found everywhere yet: try again for a moment."""
    FINAL = auto()
    """Trying again would not help."""


_PROPAGATING: Final = (
    "cannot be assumed by lambda",
    "the provided execution role does not have permissions",
    "kms key is invalid for creategrant",
    "alias with weights can not be used with provisioned concurrency",
)
"""From hashicorp/terraform-provider-aws, `internal/service/lambda/function.go`, in lower case; the last one
passes when Lambda has moved a provisioned alias, which it does by weights."""

_UNDER_WAY: Final = ("in progress", "pending", "state: creating", "state: updating", "state: deleting")
_THROTTLED: Final = frozenset(
    {"TooManyRequestsException", "ThrottlingException", "Throttling", "RequestLimitExceeded", "SlowDown"}
)
"""What AWS's services call throttling. botocore tries again a few times; what arrives here outlasted that."""

_HINTS: Final = (
    (
        r"cannot be assumed by lambda",
        "let the service lambda.amazonaws.com assume the role, in the role's trust policy",
    ),
    (
        r"role does not have permissions to call (?P<action>[\w:]+)",
        "allow {action} in a policy of the function's role",
    ),
    (
        r"creategrant",
        "the KMS key's policy must let the caller use kms:CreateGrant; check that it is enabled",
    ),
    (
        r"s3 error code: (nosuchkey|nosuchversion|nosuchbucket)",
        "the artifact is gone; run `planton-build` again",
    ),
    (r"s3 error code: permanentredirect", "the artifact must be in a bucket of the function's region"),
    (r"s3 error code: accessdenied", "the caller needs s3:GetObject on the artifact"),
    (r"unreservedconcurrentexecution", "reserve less, or ask for a higher limit of the account"),
    (r"exceeded the 4kb limit", "move large values to SSM Parameter Store or Secrets Manager"),
    (
        r"media type .* is not supported",
        (
            "Lambda takes a Docker v2.2 or OCI image of one platform with gzip layers: no index, no "
            "attestations, no zstd; build it with `planton-build`"
        ),
    ),
    (
        r"(?:does not have permission|not authorized) to access the ecr image",
        (
            "the repository's policy must let lambda.amazonaws.com use ecr:BatchGetImage and "
            "ecr:GetDownloadUrlForLayer, and for a repository of another account that account too"
        ),
    ),
    (
        r"source image \S+ does not exist",
        "the image is gone from the repository; run `planton-build` again, which pushes it",
    ),
    (
        r"source image \S+ is not valid",
        "Lambda takes images only from a private ECR repository of its own region, by tag or digest",
    ),
    (
        r"(?:please provide|please don't provide) imageuri",
        "the function was replaced by one of the other package type; deploy again",
    ),
    (
        r"not supported for functions created with container images",
        "remove what only a ZIP function has (layers, runtime, handler), or put it into the image",
    ),
    (r"replicated function", "remove the function from its CloudFront distributions, and wait some hours"),
    (r"cannot reference more than 5 layers", "merge layers, or put their content into the artifact"),
    (r"unzipped size must be smaller", "the attached layers count too; drop packages, or use an image"),
    (r"code storage limit|codestorageexceeded", "delete old versions of functions and layers in this region"),
    (r"layer version .* does not exist", "check the ARN and its version; the layer must be in this region"),
    (r"provisionedconcurrency|provisioned concurrency", "reserve no less than is provisioned"),
)

_STATE_HINTS: Final = {
    "EniLimitExceeded": "ask for more network interfaces per VPC, or delete unused ones",
    "InsufficientRolePermissions": "the role needs AWSLambdaVPCAccessExecutionRole, or its EC2 actions",
    "SubnetOutOfIPAddresses": "use larger subnets, or free addresses in these",
    "InvalidSubnet": "check that the subnets exist in this region and belong to one VPC",
    "InvalidSecurityGroup": "check that the security groups exist in the VPC of the subnets",
    "DisallowedByVpcEncryptionControl": "the VPC enforces encryption; use another VPC, or exempt Lambda",
    "ImageDeleted": "the image is gone from ECR; run `planton-build` again, which pushes it, and let no "
    "lifecycle rule expire images with tags",
    "ImageAccessDenied": "the repository's policy must let lambda.amazonaws.com use ecr:BatchGetImage and "
    "ecr:GetDownloadUrlForLayer, and the KMS key of the repository must let it decrypt",
    "InvalidImage": "the image must be for one platform, with gzip layers, and its entry point in it",
    "KMSKeyAccessDenied": "the role needs kms:Decrypt on the key",
    "KMSKeyNotFound": "check the KMS key's ARN and region",
    "DisabledKMSKey": "enable the KMS key",
    "InvalidStateKMSKey": "the KMS key is being deleted or imported; wait, or use another",
    "InvalidRuntime": "use a runtime that Lambda still creates functions for",
    "InvalidZipFileException": "the artifact is no ZIP that Lambda can read; build and publish again",
    "InternalError": "this is on Lambda's side; deploy again",
    "DependencyError": "a service that Lambda needs failed; deploy again",
    "EC2RequestLimitExceeded": "EC2 limits the account; deploy again later",
    "InsufficientCapacity": "Lambda has no room now; deploy again later",
    "ServiceQuotaExceededException": "ask for a higher quota of the account",
    "FunctionError.InitTimeout": "the function takes too long to start; look into its log",
    "FunctionError.RuntimeInitError": "the function does not start; look into its log",
    "FunctionError.InvalidEntryPoint": "the image's entry point does not exist or cannot be run",
    "FunctionError.InvalidWorkingDirectory": "the image's working directory does not exist",
    "FunctionError.PermissionDenied": "the code is not readable or not executable for other users",
    "FunctionError.TooManyExtensions": "remove layers that bring extensions",
    "FunctionError.InitResourceExhausted": "give the function more memory",
}
"""By `StateReasonCode` and `LastUpdateStatusReasonCode` of Lambda's API."""


def classify(error: ClientError) -> Refusal:
    """Tell what kind of no this is."""
    code, text = error_code(error), error_text(error).lower()
    if code == "PreconditionFailedException":
        return Refusal.STALE
    if code in _THROTTLED:
        return Refusal.THROTTLED
    if code == "OperationAbortedException":  # of CloudWatch Logs: "a conflicting operation is in progress"
        return Refusal.PROPAGATING
    if code == "ResourceConflictException":
        if "already exist" in text or "provided already exists" in text:
            return Refusal.EXISTS
        return Refusal.BUSY if any(word in text for word in _UNDER_WAY) else Refusal.FINAL
    if code == "InvalidParameterValueException":
        if "throttled by ec2" in text:
            return Refusal.THROTTLED_BY_EC2
        if any(known in text for known in _PROPAGATING):
            return Refusal.PROPAGATING
    return Refusal.FINAL


def retry_after(error: ClientError) -> float:
    """Return how many seconds AWS asks to wait before the next try; 0 when it does not say."""
    metadata: Any = error.response.get("ResponseMetadata") or {}
    headers = metadata.get("HTTPHeaders") or {}
    given: Any = error.response.get("retryAfterSeconds") or headers.get("retry-after")
    try:
        seconds = float(given or 0)
    except (TypeError, ValueError):
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def hint_for(error: ClientError) -> str | None:
    """Return what to do about a refusal, when it is a known one."""
    text = f"{error_code(error)} {error_text(error)}"
    for pattern, hint in _HINTS:
        if found := re.search(pattern, text, re.IGNORECASE):
            return hint.format(**found.groupdict())
    return None


def state_hint(reason_code: str) -> str:
    """Return what to do about a function in the state Failed, by Lambda's reason code."""
    general = "deploy again when the reason is gone; `aws lambda get-function` shows the function's state"
    if reason_code.startswith("EFS"):
        return "check the file system, its mount targets and their security groups"
    return _STATE_HINTS.get(reason_code) or (
        _STATE_HINTS["FunctionError.RuntimeInitError"] if reason_code.startswith("FunctionError") else general
    )
