from __future__ import annotations

import pytest
from botocore import exceptions as sdk
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.errors import (
    AccessDenied,
    AwsUnreachable,
    CredentialsMissing,
    DeployRefused,
    PlantonError,
    PublishFailed,
)
from planton_build.publish.aws_errors import clean, explain, explained

NOT_ALLOWED = (
    "User: arn:aws:sts::123456789012:assumed-role/ci/job is not authorized to perform: iam:PassRole on "
    "resource: arn:aws:iam::123456789012:role/render because no identity-based policy allows the action"
)


def answer(
    code: str, message: str = "", status: int = 400, operation: str = "CreateFunction"
) -> sdk.ClientError:
    return sdk.ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        operation,
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (sdk.NoCredentialsError(), CredentialsMissing),
        (sdk.PartialCredentialsError(provider="env", cred_var="x"), CredentialsMissing),
        (sdk.ProfileNotFound(profile="x"), CredentialsMissing),
        (sdk.NoRegionError(), CredentialsMissing),
        (sdk.TokenRetrievalError(provider="sso", error_msg="x"), CredentialsMissing),
        (sdk.UnauthorizedSSOTokenError(), CredentialsMissing),
        (sdk.SSOTokenLoadError(error_msg="x"), CredentialsMissing),
        (sdk.CredentialRetrievalError(provider="x", error_msg="x"), CredentialsMissing),
        (answer("ExpiredTokenException", "expired", 403), CredentialsMissing),
        (answer("UnrecognizedClientException", "invalid", 403), CredentialsMissing),
        (answer("RequestTimeTooSkewed", "skewed", 403), CredentialsMissing),
        (answer("AccessDeniedException", NOT_ALLOWED, 403), AccessDenied),
        (answer("403", "Forbidden", 403, "HeadObject"), AccessDenied),
        (sdk.EndpointConnectionError(endpoint_url="https://x"), AwsUnreachable),
        (sdk.ConnectTimeoutError(endpoint_url="https://x"), AwsUnreachable),
        (sdk.ReadTimeoutError(endpoint_url="https://x"), AwsUnreachable),
        (sdk.SSLError(endpoint_url="https://x", error="x"), AwsUnreachable),
        (sdk.ProxyConnectionError(proxy_url="http://x"), AwsUnreachable),
        (sdk.ConnectionClosedError(endpoint_url="https://x"), AwsUnreachable),
        (sdk.ParamValidationError(report="x"), DeployRefused),
        (answer("InvalidParameterValueException", "bad"), DeployRefused),
        (answer("TooManyRequestsException", "slow", 429), DeployRefused),
        (sdk.ClientError({}, "CreateFunction"), DeployRefused),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_every_failure_has_its_class(error: Exception, expected: type[PlantonError]) -> None:
    found = explain(error, doing="creating x", otherwise=DeployRefused)
    assert type(found) is expected
    assert "creating x" in found.message


def test_the_default_class_carries_code_and_message() -> None:
    found = explain(answer("InvalidParameterValueException", "It is bad."), doing="creating x", hint="fix it")
    assert type(found) is PublishFailed
    assert found.message == "creating x failed; AWS answered InvalidParameterValueException: It is bad."
    assert found.hint == "fix it"


def test_throttling_is_explained_as_such() -> None:
    hint = explain(answer("TooManyRequestsException", "Rate exceeded", 429), doing="creating x").hint
    assert hint
    assert "limits how fast" in hint


def test_a_refusal_names_the_action_and_resource_that_aws_names() -> None:
    found = explain(answer("AccessDeniedException", NOT_ALLOWED, 403), doing="creating x", resource="x")
    assert found.hint
    assert "allow iam:PassRole on arn:aws:iam::123456789012:role/render" in found.hint


def test_a_refusal_without_details_names_the_calls_action_and_resource() -> None:
    found = explain(answer("403", "", 403, "HeadObject"), doing="looking", resource="s3://b/k")
    assert "s3:GetObject on s3://b/k" in found.message


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("The access key AKIAIOSFODNN7EXAMPLE is unknown", "AKIAIOSFODNN7EXAMPLE"),
        ('exceeded the 4KB limit. String measured: {"A":"hunter2\\nx"}', "hunter2"),
        ("Value '{A=hunter2, B='x'}' at 'environment.variables' failed to satisfy", "hunter2"),
        ("Encoded authorization failure message: aGVsbG8gd29ybGQ", "aGVsbG8"),
        ("cannot reach https://me:hunter2@proxy.example/x", "hunter2"),
        ("cannot reach https://b.example/k?X-Amz-Signature=hunter2", "hunter2"),
    ],
    ids=["key", "environment size", "environment name", "authorization", "userinfo", "query"],
)
def test_secrets_that_aws_quotes_are_taken_out(text: str, secret: str) -> None:
    assert secret not in clean(text)
    assert secret not in explain(answer("ValidationException", text), doing="creating x").message


def test_hidden_values_are_taken_out_longest_first() -> None:
    assert clean("pass hunter2 and hunter22", hidden=["hunter2", "hunter22"]) == "pass ••• and •••"


@settings(deadline=None)
@given(st.text(max_size=6000))
def test_foreign_text_is_bounded_and_printable(text: str) -> None:
    shown = clean(text)
    assert shown.isprintable()
    assert len(shown) <= 1300


def test_no_cause_is_chained_that_would_show_what_was_taken_out() -> None:
    with pytest.raises(PublishFailed) as caught, explained("creating x"):
        raise answer("InvalidParameterValueException", "String measured: hunter2")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_other_exceptions_pass() -> None:
    with pytest.raises(KeyError), explained("creating x"):
        raise KeyError
