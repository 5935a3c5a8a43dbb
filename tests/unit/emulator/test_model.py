from __future__ import annotations

import re

import pytest

from planton_build.emulator.model import api

LAMBDA = api("lambda")


def concrete(path: str) -> str:
    return re.sub(r"\{(\w+)\+?\}", r"x-\1", path)


@pytest.mark.parametrize("service", ["lambda", "s3"])
def test_every_operation_is_found_by_its_own_request(service: str) -> None:
    known = api(service)
    missed = []
    for name in known.model.operation_names:
        operation = known.operation(name)
        path, _, query = operation.http["requestUri"].partition("?")
        headers, parameters = [], [query] if query else []
        shape = operation.input_shape
        for member in shape.required_members if shape else ():
            serialization = shape.members[member].serialization
            if serialization.get("location") == "header":
                headers.append(serialization["name"].lower())
            elif serialization.get("location") == "querystring":
                parameters.append(f"{serialization['name']}=x")
        found = known.find(operation.http["method"], concrete(path), "&".join(parameters), headers)
        if found is None or found.operation != name:
            missed.append((name, found))
    # S3 has pairs that differ in nothing that a request shows: the older of two APIs, and others' hosts.
    assert len(missed) <= (0 if service == "lambda" else 8), missed


def test_labels_are_decoded_after_the_path_is_split() -> None:
    arn = "arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Ax"
    found = LAMBDA.find("GET", f"/2017-03-31/tags/{arn}", "")
    assert found
    assert found.labels == {"Resource": "arn:aws:lambda:eu-west-1:123456789012:function:x"}
    assert LAMBDA.find("GET", "/2015-03-31/functions/a%2Fcode", "").labels == {"FunctionName": "a/code"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("query", "operation"),
    [
        ("List=ALL", "ListProvisionedConcurrencyConfigs"),
        ("Qualifier=1", "GetProvisionedConcurrencyConfig"),
    ],
)
def test_of_two_operations_at_a_path_the_query_tells_which(query: str, operation: str) -> None:
    found = LAMBDA.find("GET", "/2019-09-30/functions/f/provisioned-concurrency", query)
    assert found
    assert found.operation == operation


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/2015-03-31/functions"),
        ("GET", "/2015-03-31/nothing"),
        ("GET", "/2015-03-31/functions//code"),
    ],
)
def test_what_is_no_operation_is_not_found(method: str, path: str) -> None:
    assert LAMBDA.find(method, path, "") is None


def test_a_slash_at_the_end_does_not_matter() -> None:
    assert LAMBDA.find("GET", "/2015-03-31/functions/", "").operation == "ListFunctions"  # type: ignore[union-attr]
