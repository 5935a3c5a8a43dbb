"""Invoking in AWS: what the service answers is handed on, and what is missing is named."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from planton_build.deploy.invocation import invoke_deployed
from planton_build.errors import CredentialsMissing, FunctionUnknown
from planton_build.publish.aws import Aws, AwsSettings


def post(endpoint: str, path: str, value: object) -> None:
    request = urllib.request.Request(
        f"{endpoint}{path}", json.dumps(value).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    urllib.request.urlopen(request).close()


@pytest.fixture
def answering(endpoint: str, front: Any) -> Iterator[Callable[[str], None]]:
    """Let moto answer the next invocation with a text; it runs no code without a container."""
    post(endpoint, "/moto-api/config", {"lambda": {"use_docker": False}})

    def answer(text: str) -> None:
        where = {"account_id": "123456789012", "region": "eu-west-1"}
        post(endpoint, "/moto-api/static/lambda-simple/response", {"results": [text], **where})

    yield answer
    post(endpoint, "/moto-api/config", {"lambda": {"use_docker": True}})


def test_the_answer_and_the_end_of_the_log_are_handed_on(
    deploy: Any, manifest: Any, key: str, aws: Aws, answering: Callable[[str], None]
) -> None:
    deploy(manifest(key=key))
    answering('{"price": "12,50"}')
    answer = invoke_deployed("render", b"{}", aws, "eu-west-1")
    assert json.loads(answer.payload) == {"price": "12,50"}
    assert isinstance(answer.log, str)
    assert answer.error is None


def test_a_function_that_is_not_deployed_is_named_with_the_region(aws: Aws) -> None:
    with pytest.raises(FunctionUnknown, match="no function nobody is deployed in eu-west-1"):
        invoke_deployed("nobody", b"{}", aws, "eu-west-1")


def test_a_region_is_needed(endpoint: str) -> None:
    with pytest.raises(CredentialsMissing, match="region"):
        invoke_deployed("render", b"{}", Aws(AwsSettings(endpoint_url=endpoint)), None)
