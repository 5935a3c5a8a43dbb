"""Invoking in AWS: what the service answers is handed on, and what is missing is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from planton_build.deploy.invocation import invoke_deployed
from planton_build.errors import CredentialsMissing, FunctionUnknown
from planton_build.publish.aws import Aws, AwsSettings


def test_the_answer_and_the_end_of_the_log_are_handed_on(
    deploy: Any, manifest: Any, key: str, aws: Aws, front: Any
) -> None:
    deploy(manifest(key=key))
    front.emulator.scripted.answer("render", b'{"price": "12,50"}', log="priced")
    answer = invoke_deployed("render", b"{}", aws, "eu-west-1")
    assert json.loads(answer.payload) == {"price": "12,50"}
    assert "priced" in answer.log
    assert answer.error is None


def test_a_function_that_is_not_deployed_is_named_with_the_region(aws: Aws) -> None:
    with pytest.raises(FunctionUnknown, match="no function nobody is deployed in eu-west-1"):
        invoke_deployed("nobody", b"{}", aws, "eu-west-1")


def test_a_region_is_needed(endpoint: str) -> None:
    with pytest.raises(CredentialsMissing, match="region"):
        invoke_deployed("render", b"{}", Aws(AwsSettings(endpoint_url=endpoint)), None)
