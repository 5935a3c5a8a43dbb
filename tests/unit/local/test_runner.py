"""Invocations through the API of the local AWS: what this machine cannot run is said, not hidden.

That functions run for real is in the system tests: it takes Lambda's runtime client.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planton_build.emulator.state import Code, Function, Version
from planton_build.local.registry_keeper import Keeper
from planton_build.local.runner import NOT_RUN, LocalRunner

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:render"
IMAGE = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/render@sha256:{'ab' * 32}"


@pytest.fixture
def runner(tmp_path: Path) -> LocalRunner:
    made = LocalRunner(tmp_path, Keeper(tmp_path))
    made.endpoint = "http://127.0.0.1:1"
    return made


def function(code: Code, **configuration: Any) -> Function:
    usual = {"FunctionName": "render", "FunctionArn": ARN, "Handler": "app.handler"}
    return Function("render", ARN, Version({**usual, **configuration}, code))


def refused(runner: LocalRunner, made: Function, version: str = "$LATEST") -> str:
    payload, log, error = runner(made, version, b"{}")
    answer = json.loads(payload)
    assert (error, answer["errorType"]) == ("Unhandled", NOT_RUN)
    assert answer["errorMessage"] in log
    return str(answer["errorMessage"])


def zipped(path: Path) -> Code:
    content = path.read_bytes()
    return Code("Zip", "00", len(content), 10, read=lambda: content)


def test_another_language_is_not_run(runner: LocalRunner, make_zip: Callable[[dict[str, str]], Path]) -> None:
    made = function(zipped(make_zip({"app.js": "x"})), Runtime="nodejs22.x")
    assert "not invoked locally" in refused(runner, made)


def test_the_version_that_is_asked_for_is_run(
    runner: LocalRunner, make_zip: Callable[[dict[str, str]], Path]
) -> None:
    made = function(Code("Zip", "00", 1, 1), Runtime="python3.13")
    assert "does not have the function's code" in refused(runner, made)
    code = zipped(make_zip({"app.js": "x"}))
    made.versions["1"] = Version({**made.latest.configuration, "Runtime": "ruby3.4"}, code)
    assert "ruby3.4" in refused(runner, made, "1")


def test_what_ran_before_an_update_that_failed_is_run(
    runner: LocalRunner, make_zip: Callable[[dict[str, str]], Path]
) -> None:
    made = function(Code("Zip", "00", 1, 1), Runtime="python3.13")
    before = {**made.latest.configuration, "Runtime": "ruby3.4"}
    made.latest.fallback = before, zipped(make_zip({"app.rb": "x"}))
    assert "ruby3.4" in refused(runner, made)


def test_an_image_without_a_registry_that_serves_it_is_not_run(runner: LocalRunner) -> None:
    made = function(Code("Image", "ab" * 32, 0, 0, image_uri=IMAGE))
    assert "has no registry that serves 123456789012.dkr.ecr" in refused(runner, made)
