from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from planton_build.emulator.model import api
from planton_build.emulator.refusal import Refusal, throttled
from planton_build.emulator.writing import write_answer, write_refusal

LAMBDA = api("lambda")


def test_members_that_the_model_does_not_know_are_left_out() -> None:
    document = {
        "FunctionName": "f",
        "_kept": 1,
        "Environment": {"Variables": {"A": "b"}, "Other": 1, "Error": None},
        "Description": None,
    }
    answer = write_answer(LAMBDA.operation("CreateFunction"), document)
    assert answer.status == 201
    assert json.loads(answer.body) == {"FunctionName": "f", "Environment": {"Variables": {"A": "b"}}}


def test_an_invocation_answers_in_headers_and_with_the_payload_as_it_is() -> None:
    document = {"StatusCode": 202, "ExecutedVersion": "3", "FunctionError": None, "Payload": b'{"a": 1}'}
    answer = write_answer(LAMBDA.operation("Invoke"), document)
    assert (answer.status, answer.body) == (202, b'{"a": 1}')
    assert ("X-Amz-Executed-Version", "3") in answer.headers
    assert "X-Amz-Function-Error" not in dict(answer.headers)


def test_an_operation_without_an_answer_has_no_body() -> None:
    assert write_answer(LAMBDA.operation("DeleteAlias"), None).body == b""
    assert write_answer(LAMBDA.operation("DeleteAlias"), None).status == 204


@pytest.mark.parametrize(
    "moment",
    ["1970-01-01T01:00:00+01:00", datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1), 0],
)
def test_times_are_seconds(moment: object) -> None:
    answer = write_answer(LAMBDA.operation("GetEventSourceMapping"), {"LastModified": moment})
    assert json.loads(answer.body) == {"LastModified": 0}


def test_a_refusal_has_its_code_in_a_header_and_its_members_where_the_model_has_them() -> None:
    refusal = throttled(retry_after=7)
    answer = write_refusal(refusal, LAMBDA.error(refusal.code))
    assert dict(answer.headers)["Retry-After"] == "7"
    assert dict(answer.headers)["x-amzn-errortype"] == "TooManyRequestsException"
    body = json.loads(answer.body)
    assert (body["Reason"], body["message"], body["Type"]) == (
        "CallerRateLimitExceeded",
        "Rate exceeded",
        "User",
    )
    assert "retryAfterSeconds" not in body


def test_an_error_that_the_model_does_not_have_is_written_all_the_same() -> None:
    assert LAMBDA.error("ValidationException") is None
    assert json.loads(write_refusal(Refusal("ValidationException", 400, "no")).body)["message"] == "no"
