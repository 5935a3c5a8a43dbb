from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from planton_build.cli.role import role
from planton_build.errors import ConfigInvalid, DeployRefused

MANIFEST = """\
apiVersion: aws.planton.dev/v1
kind: AwsLambda
metadata: {{name: {name}}}
spec:
  region: eu-west-1
  functionName: {name}
  roleArn: {role}
  runtime: python3.13
  handler: app.handler
"""
LITERAL = "{value: 'arn:aws:iam::999999999999:role/team/worker'}"
REFERENCE = "{valueFrom: {name: worker}}"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def iam(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An AWS of its own, named by the environment."""
    import urllib.request

    for name in [one for one in os.environ if one.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")).close()
    return boto3.client("iam", region_name="eu-west-1")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command on functions, given as name and role, with a configuration."""
    monkeypatch.chdir(tmp_path)

    def call(*options: str, config: str = "", **functions: str) -> Result:
        for name, its in (functions or {"render": LITERAL}).items():
            Path(name).mkdir(exist_ok=True)
            Path(name, "lambda.yaml").write_text(MANIFEST.format(name=name, role=its))
        Path("planton.toml").write_text(config)
        return CliRunner().invoke(role, list(options), catch_exceptions=False)

    return call


def test_the_policy_itself_goes_to_stdout_and_its_reasons_to_stderr(run: Callable[..., Result]) -> None:
    """Neither code nor credentials are there yet: the role's ARN tells the account."""
    outcome = run(config='[deploy]\ntracing = "Active"\n')
    assert outcome.exit_code == 0
    policy = json.loads(outcome.stdout)
    assert [one["Sid"] for one in policy["Statement"]] == ["WriteLogs", "CreateLogGroup", "SendTraces"]
    assert policy["Statement"][0]["Resource"].startswith("arn:aws:logs:eu-west-1:999999999999:")
    assert "render: SendTraces: tracing is on" in outcome.stderr


def test_quiet_leaves_the_policy_alone(run: Callable[..., Result]) -> None:
    outcome = run("--quiet")
    assert json.loads(outcome.stdout)["Version"] == "2012-10-17"
    assert outcome.stderr == ""


def test_several_functions_are_one_object(run: Callable[..., Result]) -> None:
    outcome = run(render=LITERAL, resize=LITERAL)
    found = json.loads(outcome.stdout)["functions"]
    assert [(one["function_name"], one["role_name"]) for one in found] == [
        ("render", "worker"),
        ("resize", "worker"),
    ]


def test_json_has_everything(run: Callable[..., Result]) -> None:
    (found,) = json.loads(run("--json").stdout)["functions"]
    assert found["policy_name"] == "planton-render"
    assert set(found["reasons"]) == {one["Sid"] for one in found["policy"]["Statement"]}
    assert found["trust_policy"]["Statement"][0]["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_a_role_that_is_only_referred_to_is_named_after_the_function(
    run: Callable[..., Result], iam: Any
) -> None:
    """AWS tells the account then."""
    (found,) = json.loads(run("--json", render=REFERENCE).stdout)["functions"]
    assert (found["role_name"], found["account"]) == ("render-role", "123456789012")


def test_create_makes_the_role_and_the_second_time_nothing(run: Callable[..., Result], iam: Any) -> None:
    config = '[deploy.role]\npath = "/team/"\n'
    outcome = run("--create", config=config, render=REFERENCE)
    assert outcome.exit_code == 0
    assert outcome.stdout == "arn:aws:iam::123456789012:role/team/render-role\n"
    assert "render: created" in outcome.stderr
    policy = iam.get_role_policy(RoleName="render-role", PolicyName="planton-render")["PolicyDocument"]
    assert policy == json.loads(run(render=REFERENCE).stdout)
    again = run("--create", "--json", config=config, render=REFERENCE)
    (found,) = json.loads(again.stdout)["functions"]
    assert (found["action"], found["calls"]) == ("unchanged", 0)


def test_create_shows_what_becomes_of_the_policy(run: Callable[..., Result], iam: Any) -> None:
    run("--create", render=REFERENCE)
    outcome = run("--create", config='[deploy]\ntracing = "Active"\n', render=REFERENCE)
    assert "render: updated" in outcome.stderr
    assert '+        "xray:PutTraceSegments"' in outcome.stderr


def test_the_name_may_be_given_for_one_function_only(run: Callable[..., Result], iam: Any) -> None:
    outcome = run("--create", "--name", "mine", render=REFERENCE)
    assert outcome.stdout == "arn:aws:iam::123456789012:role/mine\n"
    assert run("--name", "mine", render=LITERAL, resize=LITERAL).exit_code == ConfigInvalid.exit_code


def test_a_role_of_another_account_than_the_credentials_is_refused(
    run: Callable[..., Result], iam: Any
) -> None:
    outcome = run("--create")
    assert outcome.exit_code == DeployRefused.exit_code
    assert "999999999999" in outcome.stderr
    assert iam.list_roles()["Roles"] == []


def test_the_configuration_of_the_page_is_understood(run: Callable[..., Result]) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "roles.md").read_text(encoding="utf-8")
    _, _, rest = page.partition("```toml\n")
    outcome = run(config=rest.partition("```")[0])
    policy = json.loads(outcome.stdout)
    assert policy["Statement"][-1]["Sid"] == "ReadTemplates"
