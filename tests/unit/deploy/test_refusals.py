from __future__ import annotations

import json
from pathlib import Path

import botocore
import pytest
from botocore.exceptions import ClientError

from planton_build.deploy import refusals
from planton_build.deploy.refusals import Refusal, classify, hint_for, state_hint


def answer(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "UpdateFunctionCode")


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("ResourceConflictException", "An update is in progress for resource: arn", Refusal.BUSY),
        (
            "ResourceConflictException",
            "The function is currently in the following state: Pending",
            Refusal.BUSY,
        ),
        ("ResourceConflictException", "Function already exist: render", Refusal.EXISTS),
        ("ResourceConflictException", "something else", Refusal.FINAL),
        ("PreconditionFailedException", "The Revision Id provided does not match", Refusal.STALE),
        ("InvalidParameterValueException", "The role … cannot be assumed by Lambda.", Refusal.PROPAGATING),
        (
            "InvalidParameterValueException",
            "The provided execution role does not have permissions to call CreateNetworkInterface on EC2",
            Refusal.PROPAGATING,
        ),
        (
            "InvalidParameterValueException",
            "Lambda was unable to configure access … because the KMS key is invalid for CreateGrant",
            Refusal.PROPAGATING,
        ),
        (
            "InvalidParameterValueException",
            "Your request has been throttled by EC2",
            Refusal.THROTTLED_BY_EC2,
        ),
        ("InvalidParameterValueException", "Unsupported", Refusal.FINAL),
        ("AccessDeniedException", "cannot be assumed by Lambda", Refusal.FINAL),
        ("TooManyRequestsException", "Rate exceeded", Refusal.THROTTLED),
        ("", "", Refusal.FINAL),
    ],
)
def test_refusals_are_told_apart(code: str, message: str, expected: Refusal) -> None:
    assert classify(answer(code, message)) is expected


def test_a_hint_takes_the_action_from_the_text() -> None:
    text = "The provided execution role does not have permissions to call CreateNetworkInterface on EC2"
    hint = hint_for(answer("InvalidParameterValueException", text))
    assert hint == "allow CreateNetworkInterface in a policy of the function's role"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (
            "The image manifest, config or layer media type for the source image x/y is not supported.",
            "gzip layers",
        ),
        (
            "Lambda does not have permission to access the ECR image. Check the ECR permissions.",
            "ecr:GetDownloadUrlForLayer",
        ),
        (
            "Source image x/y@sha256:00 does not exist. Provide a valid source image.",
            "run `planton-build` again",
        ),
        ("Source image x/y is not valid. Provide a valid source image.", "of its own region"),
        ("Please provide ImageUri when updating a function with packageType Image.", "deploy again"),
        ("Please don't provide ImageUri when updating a function with packageType Zip.", "deploy again"),
        (
            "Lambda layers are not supported for functions created with container images.",
            "what only a ZIP function has",
        ),
    ],
)
def test_what_lambda_says_about_images_has_a_hint(text: str, hint: str) -> None:
    assert hint in (hint_for(answer("InvalidParameterValueException", text)) or "")


def test_an_unknown_refusal_has_no_hint() -> None:
    assert hint_for(answer("InvalidParameterValueException", "who knows")) is None


def test_every_reason_code_with_a_hint_exists_in_lambdas_api() -> None:
    import gzip

    folder = Path(botocore.__file__).parent / "data" / "lambda" / "2015-03-31"
    model = json.loads(gzip.decompress((folder / "service-2.json.gz").read_bytes()))
    known = set(model["shapes"]["StateReasonCode"]["enum"])
    known |= set(model["shapes"]["LastUpdateStatusReasonCode"]["enum"])
    assert set(refusals._STATE_HINTS) <= known


def test_every_reason_code_gets_some_hint() -> None:
    assert "file system" in state_hint("EFSMountTimeout")
    assert "start" in state_hint("FunctionError.Other")
    assert state_hint("")
