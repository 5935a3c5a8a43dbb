"""What the AWS SDK raises, turned into this tool's errors: the one place that knows botocore's exceptions."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from planton_build.errors import (
    AccessDenied,
    AwsUnreachable,
    CredentialsMissing,
    PlantonError,
    PublishFailed,
)

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_MAX_TEXT = 1200
"""Longest text taken over from AWS, in characters."""

_CREDENTIAL_CODES: Final = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
"""Codes by which AWS refuses the credentials themselves ("Common errors" of S3, Lambda and STS)."""

_DENIED_CODES: Final = frozenset(
    {"403", "AccessDenied", "AccessDeniedException", "AllAccessDisabled", "UnauthorizedOperation"}
)

_THROTTLE_CODES: Final = frozenset(
    {
        "RequestLimitExceeded",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)

_NAMED_ALIKE: Final = {
    "lambda": (
        "AddPermission CreateAlias CreateEventSourceMapping CreateFunction CreateFunctionUrlConfig "
        "DeleteAlias "
        "DeleteEventSourceMapping DeleteFunction DeleteFunctionCodeSigningConfig DeleteFunctionConcurrency "
        "DeleteFunctionEventInvokeConfig DeleteFunctionUrlConfig DeleteProvisionedConcurrencyConfig "
        "GetAccountSettings GetAlias GetFunction GetFunctionCodeSigningConfig GetFunctionConcurrency "
        "GetFunctionConfiguration GetFunctionEventInvokeConfig GetFunctionRecursionConfig "
        "GetFunctionUrlConfig GetPolicy GetProvisionedConcurrencyConfig GetRuntimeManagementConfig "
        "ListAliases "
        "ListEventSourceMappings ListFunctions ListTags ListVersionsByFunction PublishVersion "
        "PutFunctionCodeSigningConfig PutFunctionConcurrency PutFunctionEventInvokeConfig "
        "PutFunctionRecursionConfig PutProvisionedConcurrencyConfig PutRuntimeManagementConfig "
        "RemovePermission TagResource UntagResource UpdateAlias UpdateEventSourceMapping UpdateFunctionCode "
        "UpdateFunctionConfiguration UpdateFunctionUrlConfig"
    ),
    "logs": (
        "CreateLogGroup DeleteLogGroup DeleteRetentionPolicy DescribeLogGroups DescribeLogStreams "
        "FilterLogEvents PutRetentionPolicy"
    ),
    "cloudwatch": "DeleteAlarms DescribeAlarms GetMetricData PutMetricAlarm",
    "cloudformation": "DescribeStacks ListExports",
    "cloudtrail": "LookupEvents",
    "ssm": "GetParameters",
    "ecr": (
        "BatchGetImage CreateRepository GetAuthorizationToken GetRepositoryPolicy PutLifecyclePolicy "
        "SetRepositoryPolicy"
    ),
    "iam": (
        "CreateRole GetPolicy GetPolicyVersion GetRole GetRolePolicy ListAttachedRolePolicies "
        "ListRolePolicies PutRolePolicy"
    ),
    "s3": "GetObject PutObject",
}
_ACTIONS: Final = {
    "HeadObject": "s3:GetObject",
    "HeadBucket": "s3:ListBucket",
    "Invoke": "lambda:InvokeFunction",
    # What IAM and Lambda both call so is Lambda's here.
    **{
        operation: f"{service}:{operation}"
        for service, operations in reversed(_NAMED_ALIKE.items())
        for operation in operations.split()
    },
}
"""The IAM action an API call needs, for refusals that do not name it."""

_DENIED = re.compile(r"not authorized to perform: (?P<action>[\w:*-]+)(?: on resource: (?P<resource>\S+))?")

_HINT_CREDENTIALS = (
    "sign in (for example `aws sso login`), set AWS_PROFILE, or give the CI job a role; "
    "`aws sts get-caller-identity` shows who you are"
)

_REDACTIONS: Final = (
    # Lambda quotes the whole environment back when it is too large, or when a name in it is wrong.
    (re.compile(r"(String measured:).*", re.DOTALL), r"\1 •••"),
    (re.compile(r"Value '.*?' at '(environment[^']*)'", re.DOTALL), r"Value ••• at '\1'"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"), "•••"),
    (re.compile(r"(Encoded authorization failure message:)\s*\S+", re.IGNORECASE), r"\1 •••"),
    (re.compile(r"(https?://)[^/\s\"'@]*@"), r"\1"),
    (re.compile(r"(https?://[^?\s\"']*)\?[^\s\"']*"), r"\1"),
)


def error_code(error: ClientError) -> str:
    """Return AWS's code of an error answer, or "" when the answer has none."""
    return str(_detail(error).get("Code") or "")


def error_status(error: ClientError) -> int:
    """Return the HTTP status of an error answer, or 0 when it is not known."""
    metadata: Any = error.response.get("ResponseMetadata") or {}
    status = metadata.get("HTTPStatusCode")
    return status if isinstance(status, int) else 0


def error_text(error: ClientError) -> str:
    """Return AWS's message of an error answer as it came: for comparing, never for showing."""
    return str(_detail(error).get("Message") or "")


def _detail(error: ClientError) -> dict[str, Any]:
    detail = error.response.get("Error")
    return dict(detail) if isinstance(detail, dict) else {}


def clean(text: str, *, hidden: Iterable[str] = ()) -> str:
    """Return a foreign text fit to show: bounded, one line, without credentials and `hidden` values."""
    for secret in sorted((value for value in hidden if len(value) > 3), key=len, reverse=True):
        text = text.replace(secret, "•••")
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    text = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * _MAX_TEXT])
    text = " ".join(text.split())
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + " …"


def explain(
    error: Exception,
    *,
    doing: str,
    otherwise: type[PlantonError] = PublishFailed,
    resource: str | None = None,
    hint: str | None = None,
    hidden: Iterable[str] = (),
) -> PlantonError:
    """Turn an exception of botocore or boto3 into a typed error that says what to do.

    `doing` is what was going on, as a phrase such as `reading the function render`. `resource` names what
    the call was about, for refusals that do not say it themselves. `otherwise` and `hint` serve for all
    else than credentials, permissions and the network. `hidden` values never show up.
    """
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        return _explain_answer(
            error, doing=doing, otherwise=otherwise, resource=resource, hint=hint, hidden=tuple(hidden)
        )
    return _explain_client(error, doing=doing, otherwise=otherwise, hint=hint, hidden=tuple(hidden))


def _explain_answer(
    error: ClientError,
    *,
    doing: str,
    otherwise: type[PlantonError],
    resource: str | None,
    hint: str | None,
    hidden: tuple[str, ...],
) -> PlantonError:
    code, text = error_code(error), clean(error_text(error), hidden=hidden)
    if code == "RequestTimeTooSkewed":
        return CredentialsMissing(
            f"AWS refused the signature while {doing}: this computer's clock is wrong", hint="set the clock"
        )
    if code in _CREDENTIAL_CODES:
        return CredentialsMissing(
            f"AWS does not accept the credentials while {doing}: {code}: {text}", hint=_HINT_CREDENTIALS
        )
    if code in _DENIED_CODES or (error_status(error) == 403 and not code):
        return _denied(error, text, doing=doing, resource=resource)
    if code in _THROTTLE_CODES:
        hint = "AWS limits how fast it answers this account; run the command again, or with fewer jobs"
    if code == "400" and hint is None:
        hint = "S3 does not say why it refuses a HEAD request; expired credentials are the usual reason"
    said = f"{code}: {text}" if code else text or "an error without a code"
    return otherwise(f"{doing} failed; AWS answered {said}", hint=hint)


def _denied(error: ClientError, text: str, *, doing: str, resource: str | None) -> AccessDenied:
    found = _DENIED.search(text)
    action = (found and found["action"]) or _ACTIONS.get(error.operation_name) or error.operation_name
    target = (found and found["resource"]) or resource
    where = f" on {target}" if target else ""
    hint = f"allow {action}{where} to the caller; `aws sts get-caller-identity` shows who that is"
    if error.operation_name in ("HeadObject", "PutObject", "HeadBucket"):
        hint += "; a bucket policy, or a bucket of another account, is refused in the same words"
    elif action == "ecr:GetAuthorizationToken":
        hint += "; it is not about one repository, so allow it on *"
    elif action.startswith("ecr:"):
        hint += "; for a repository of another account, the policy of that repository must allow it too"
    return AccessDenied(f"AWS does not allow {action}{where} while {doing}: {text or 'Forbidden'}", hint=hint)


def _explain_client(
    error: Exception, *, doing: str, otherwise: type[PlantonError], hint: str | None, hidden: tuple[str, ...]
) -> PlantonError:
    from botocore import exceptions as sdk

    text = clean(str(error), hidden=hidden)
    if isinstance(error, sdk.NoRegionError):
        return CredentialsMissing(
            f"no AWS region is known while {doing}",
            hint="set `spec.region` in the manifest, pass --region, or set AWS_REGION",
        )
    if isinstance(
        error,
        (
            sdk.NoCredentialsError,
            sdk.PartialCredentialsError,
            sdk.CredentialRetrievalError,
            sdk.ProfileNotFound,
            sdk.ConfigNotFound,
            sdk.ConfigParseError,
            sdk.TokenRetrievalError,
            sdk.UnauthorizedSSOTokenError,
            sdk.SSOTokenLoadError,
            sdk.SSOError,
            getattr(sdk, "LoginError", sdk.SSOError),  # botocore 1.41 and later
            sdk.RefreshWithMFAUnsupportedError,
            sdk.MetadataRetrievalError,
            sdk.InvalidConfigError,
        ),
    ):
        return CredentialsMissing(
            f"the AWS SDK has no usable credentials while {doing}: {text}", hint=_HINT_CREDENTIALS
        )
    if isinstance(error, (sdk.HTTPClientError, sdk.ConnectionError)):
        return AwsUnreachable(
            f"AWS cannot be reached while {doing}: {text}",
            hint="check the network, the proxy settings, the region's name and AWS_ENDPOINT_URL",
        )
    return otherwise(f"{doing} failed: {text}", hint=hint)


@contextlib.contextmanager
def explained(
    doing: str,
    *,
    otherwise: type[PlantonError] = PublishFailed,
    resource: str | None = None,
    hint: str | None = None,
    hidden: Iterable[str] = (),
) -> Iterator[None]:
    """Run a block of SDK calls whose exceptions come out as this tool's errors; see `explain`."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error) as error:
        # Not chained: AWS quotes requests back, and a traceback would show what `clean` took out.
        raise explain(
            error, doing=doing, otherwise=otherwise, resource=resource, hint=hint, hidden=hidden
        ) from None
