from __future__ import annotations

from pathlib import Path

import pytest

from planton_build.local.environment import environment
from planton_build.local.function import RunnableFunction
from planton_build.local.server import LocalAws

LOCAL = LocalAws("http://127.0.0.1:1234", "us-east-1", 1)


def made(**variables: str) -> dict[str, str]:
    arn = "arn:aws:lambda:eu-west-1:111122223333:function:f"
    function = RunnableFunction(
        "f", arn, "7", "python3.13", "app.handler", "eu-west-1", 256, 3, variables, (), Path("x.zip")
    )
    return environment(function, Path("/root-folder"), "127.0.0.1:9", LOCAL)


def test_nothing_of_the_host_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    before = made()
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "HOME", "PATH", "SECRET", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "from the host")
    assert made() == before
    assert "from the host" not in before.values()


def test_lambdas_variables_are_there() -> None:
    found = made()
    assert found["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert found["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert found["AWS_LAMBDA_FUNCTION_VERSION"] == "7"
    assert found["LAMBDA_TASK_ROOT"] == "/root-folder/var/task"
    assert found["AWS_ENDPOINT_URL"] == LOCAL.endpoint
    assert found["AWS_ACCESS_KEY_ID"] == "111122223333"


def test_a_function_replaces_path_and_never_what_lambda_reserves() -> None:
    found = made(PATH="/x", TABLE="t", AWS_REGION="mine", _HANDLER="mine")
    assert (found["PATH"], found["TABLE"]) == ("/x", "t")
    assert (found["AWS_REGION"], found["_HANDLER"]) == ("eu-west-1", "app.handler")
