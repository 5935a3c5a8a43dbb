"""`planton-deploy` as a process, on the local AWS and on what `planton-build --local` has published."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

OWN = f"python{sys.version_info[0]}.{sys.version_info[1]}"
network = pytest.mark.network
APP = """
import alpha

def handler(event, context):
    print("hello from", context.function_name)
    if event.get("fail"):
        raise LookupError("no such order")
    return {"version": alpha.VERSION, "event": event}
"""


@pytest.fixture
def orders(local_bench: Any, request: pytest.FixtureRequest) -> Any:
    """A bench with a function that is built and published, under a name of this test's own."""
    local_bench.wheel("alpha", "3.1")
    local_bench.name = f"orders-{abs(hash(request.node.name)) % 10**8}"
    local_bench.function(local_bench.name, "alpha", folder="orders", app=APP, runtime=OWN)
    local_bench.build("--local")
    return local_bench


def online() -> dict[str, str]:
    """Return how packages are found on this machine: invoking fetches Lambda's own runtime client."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PIP_") or "proxy" in name.lower()
    }
    return {
        "PIP_NO_INDEX": "0",
        "PIP_FIND_LINKS": "",
        "HOME": str(Path.home()),
        "PIP_CONFIG_FILE": "",
        **kept,
    }


def test_plan_apply_plan_apply(orders: Any) -> None:
    before = {path: path.read_bytes() for path in orders.folder.rglob("*") if path.is_file()}
    planned = orders.deploy("plan", "--local", expect=10)
    assert planned.out.splitlines()[0] == f"+ {orders.name} (eu-west-1): create"
    assert planned.out.splitlines()[-1] == "1 to deploy, 0 unchanged"
    assert planned.err == ""
    assert orders.deploy("plan", "--local", "--quiet", expect=10).out == ""
    applied = orders.deploy("--local")
    assert applied.out.splitlines()[-1] == "1 deployed, 0 unchanged"
    unchanged = orders.deploy("plan", "--local")
    assert unchanged.out.splitlines() == [
        f"= {orders.name} (eu-west-1): unchanged",
        "0 to deploy, 1 unchanged",
    ]
    assert orders.deploy("--local").out.splitlines()[-1] == "0 deployed, 1 unchanged"
    assert {path: path.read_bytes() for path in orders.folder.rglob("*") if path.is_file()} == before


def test_a_new_build_is_an_update_of_the_code_alone(orders: Any) -> None:
    orders.deploy("--local")
    first = orders.build("--local", "--json").json["functions"][0]["sha256"]
    (orders.folder / "orders" / "app.py").write_text(APP + "\n# changed\n")
    second = orders.build("--local", "--json").json["functions"][0]["sha256"]
    (function,) = orders.deploy("plan", "--local", "--json", expect=10).json["functions"]
    assert function["action"] == "update"
    assert [(c["field"], c["before"], c["after"]) for c in function["changes"]] == [("code", first, second)]
    (function,) = orders.deploy("--local", "--json").json["functions"]
    assert (function["changed"], function["action"]) == (True, "update")
    orders.deploy("plan", "--local")


def test_json_tells_what_is_planned_and_done(orders: Any) -> None:
    (planned,) = orders.deploy("plan", "--local", "--json", expect=10).json["functions"]
    assert list(planned) == [
        "function_name",
        "region",
        "action",
        "changes",
        "code",
        "references",
        "steps",
        "notes",
        "warnings",
    ]
    assert (planned["function_name"], planned["region"], planned["action"]) == (
        orders.name,
        "eu-west-1",
        "create",
    )
    fields = {change["field"]: change["after"] for change in planned["changes"]}
    assert (fields["runtime"], fields["handler"], fields["architecture"]) == (OWN, "app.handler", "arm64")
    (done,) = orders.deploy("--local", "--json").json["functions"]
    assert {key: done[key] for key in planned} == planned
    assert done["changed"] is True
    assert done["calls"] > 0
    (again,) = orders.deploy("--local", "--json").json["functions"]
    assert (again["changed"], again["calls"], again["action"], again["changes"]) == (
        False,
        0,
        "unchanged",
        [],
    )


def test_secrets_of_the_environment_are_never_shown(orders: Any) -> None:
    manifest = orders.folder / "orders" / "lambda.yaml"
    manifest.write_text(manifest.read_text() + "  environment:\n    TOKEN: very-secret\n")
    for arguments in (
        ("plan", "--local"),
        ("plan", "--local", "--json"),
        ("--local",),
    ):
        outcome = orders.deploy(*arguments, expect=None)
        assert "TOKEN" in outcome.out
        assert "very-secret" not in outcome.out + outcome.err


def test_github_gets_a_summary(orders: Any, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    orders.deploy("--local", env=env)
    assert f"| {orders.name} | eu-west-1 | create | function, code" in summary.read_text()


def lambda_client(bench: Any) -> Any:
    """Return a client of the embedded AWS, in the account of the bench's functions."""
    import boto3

    endpoint = bench.deploy("local", "status", "--json").json["endpoint"]
    keys = {"aws_access_key_id": "111122223333", "aws_secret_access_key": "local"}
    return boto3.client("lambda", region_name="eu-west-1", endpoint_url=endpoint, **keys)


def test_an_image_function_becomes_a_zip_only_when_replacing_it_is_allowed(orders: Any) -> None:
    orders.deploy("--local")
    client = lambda_client(orders)
    role = client.get_function(FunctionName=orders.name)["Configuration"]["Role"]
    client.delete_function(FunctionName=orders.name)
    uri = f"111122223333.dkr.ecr.eu-west-1.amazonaws.com/orders@sha256:{'ab' * 32}"
    client.create_function(FunctionName=orders.name, Role=role, PackageType="Image", Code={"ImageUri": uri})
    planned = orders.deploy("plan", "--local", expect=10)
    assert planned.out.splitlines()[0] == f"-/+ {orders.name} (eu-west-1): replace"
    assert "    package: Image → Zip" in planned.out
    assert "its versions and aliases" in planned.out
    (function,) = orders.deploy("plan", "--local", "--json", expect=10).json["functions"]
    assert (function["action"], function["changes"][0]["field"]) == ("replace", "package")
    refused = orders.deploy("--local", expect=67)
    assert "error[replacement_required]" in refused.err
    assert "--replace" in refused.err
    assert client.get_function(FunctionName=orders.name)["Configuration"]["PackageType"] == "Image"
    assert orders.deploy("--local", "--replace").out.splitlines()[-1] == "1 deployed, 0 unchanged"
    assert client.get_function(FunctionName=orders.name)["Configuration"]["PackageType"] == "Zip"
    orders.deploy("plan", "--local")


def test_a_zip_function_stays_when_there_is_no_image_to_replace_it(orders: Any) -> None:
    orders.deploy("--local")
    manifest = orders.folder / "orders" / "lambda.yaml"
    text = manifest.read_text()
    head, _, code = text.partition("  s3:")
    rest = [line for line in code.splitlines()[1:] if not line.startswith("    ")]
    uri = f"111122223333.dkr.ecr.eu-west-1.amazonaws.com/orders@sha256:{'ab' * 32}"
    image = "\n".join([head + f"  imageUri: {uri}", *rest, ""]).replace("TYPE_S3", "TYPE_IMAGE")
    manifest.write_text(image)
    outcome = orders.deploy("--local", "--replace", expect=None)
    assert outcome.code not in (0, 1)
    assert "Traceback" not in outcome.err
    manifest.write_text(text)
    orders.deploy("plan", "--local")


@network
def test_the_deployed_code_runs(orders: Any, tmp_path: Path) -> None:
    orders.deploy("--local")
    event = tmp_path / "event.json"
    event.write_text('{"id": "é"}')
    told = orders.deploy("invoke", orders.name, "--local", "--payload", f"@{event}", env=online())
    assert json.loads(told.out) == {"version": "3.1", "event": {"id": "é"}}
    assert f"hello from {orders.name}" in told.err
    result = orders.deploy("invoke", orders.name, "--local", "--json", env=online())
    assert result.err == ""
    assert list(result.json) == [
        *("function_name", "payload", "log", "error", "init_ms", "duration_ms", "max_memory_bytes"),
    ]
    assert (result.json["payload"], result.json["error"]) == ({"version": "3.1", "event": {}}, None)
    assert "hello from" in result.json["log"]


@network
def test_an_error_in_the_handler_exits_73_with_the_log(orders: Any) -> None:
    orders.deploy("--local")
    arguments = ("invoke", orders.name, "--local", "--payload", '{"fail": true}')
    told = orders.deploy(*arguments, env=online(), expect=73, traceback=True)
    assert json.loads(told.out)["errorType"] == "LookupError"
    assert "hello from" in told.err
    assert "error[invocation_failed]" in told.err
    assert "no such order" in told.err
    result = orders.deploy(*arguments, "--json", env=online(), expect=73).json
    assert result["error"] == "LookupError"
    assert result["payload"]["errorMessage"] == "no such order"


def test_invoke_explains_what_is_missing(local_bench: Any) -> None:
    unknown = local_bench.function("never-deployed")
    outcome = local_bench.deploy("invoke", "no-such-function", "--local", expect=66)
    assert "no manifest here describes a function no-such-function" in outcome.err
    assert "never-deployed" in outcome.err
    outcome = local_bench.deploy("invoke", "never-deployed", "--local", expect=60)
    assert "never-deployed/lambda.yaml" in outcome.err
    local_bench.build("--local")
    outcome = local_bench.deploy("invoke", "never-deployed", "--local", expect=66)
    assert "no function never-deployed is deployed" in outcome.err
    elsewhere = local_bench.root / "elsewhere"
    elsewhere.mkdir()
    outcome = local_bench.deploy(
        "invoke", "never-deployed", "--local", "--manifest", unknown, cwd=elsewhere, expect=66
    )
    assert "no function never-deployed is deployed" in outcome.err


@pytest.mark.parametrize("payload", ["{", "@nowhere.json", "@", "NaN", ""])
def test_a_payload_that_is_no_json_is_explained(local_bench: Any, payload: str) -> None:
    local_bench.function("orders")
    outcome = local_bench.deploy("invoke", "orders", "--local", "--payload", payload, expect=25)
    assert "--payload" in outcome.err


def test_a_manifest_without_code_source_is_not_deployed_and_nothing_is_changed(local_bench: Any) -> None:
    local_bench.function("built", folder="a")
    local_bench.build("--local")
    local_bench.function("unbuilt", folder="b")
    for command in (("plan",), ("apply",)):
        outcome = local_bench.deploy(*command, "--local", expect=60)
        assert "error[not_deployable]: b/lambda.yaml" in outcome.err
        assert "planton-build" in outcome.err
    assert local_bench.deploy("plan", "a", "--local", expect=10).out.startswith("+ built")


def test_nothing_to_deploy_is_explained(local_bench: Any) -> None:
    assert "error[no_function_found]" in local_bench.deploy("--local", expect=20).err


def test_two_functions_of_one_file_are_deployed(local_bench: Any) -> None:
    first = local_bench.function("twin-one", folder="both")
    second = local_bench.function("twin-two", folder="other")
    first.write_text(first.read_text() + "---\n" + second.read_text())
    second.unlink()
    local_bench.build("--local")
    done = local_bench.deploy("--local", "--json").json["functions"]
    assert [(one["function_name"], one["changed"]) for one in done] == [
        ("twin-one", True),
        ("twin-two", True),
    ]
    assert local_bench.deploy("plan", "--local").out.endswith("0 to deploy, 2 unchanged\n")


def test_roles_in_two_accounts_are_two_accounts(local_bench: Any) -> None:
    for account in ("111122223333", "444455556666"):
        role = {"value": f"arn:aws:iam::{account}:role/orders"}
        local_bench.function(f"in-{account}", roleArn=role)
    local_bench.build("--local")
    done = local_bench.deploy("--local", "--json").json["functions"]
    assert [one["changed"] for one in done] == [True, True]
    assert local_bench.deploy("plan", "--local").out.endswith("0 to deploy, 2 unchanged\n")


# The local AWS


def test_start_status_and_stop_leave_nothing_behind(bench: Any) -> None:
    assert bench.deploy("local", "status").out == "not running\n"
    assert bench.deploy("local", "status", "--json").json == {"endpoint": None, "pid": None}
    assert not bench.state.exists()
    endpoint = bench.deploy("local", "start").out.strip()
    assert endpoint.startswith("http://127.0.0.1:")
    again = bench.deploy("local", "start", "--json").json
    assert again["endpoint"] == endpoint
    assert bench.deploy("local", "status").out == f"running at {endpoint} (process {again['pid']})\n"
    assert bench.deploy("local", "status", "--json").json == again
    assert bench.deploy("local", "stop").out == "stopped\n"
    assert not bench.state.exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", urlsplit(endpoint).port)) != 0
    assert bench.deploy("local", "stop", "--json").json == {"stopped": False}
    assert not bench.state.exists()
    assert list((bench.root / "tmp").iterdir()) == []


def test_invoke_without_a_local_aws_says_how_to_start_one(bench: Any) -> None:
    manifest = bench.function("orders")
    manifest.write_text(
        manifest.read_text() + "  codeSourceType: CODE_SOURCE_TYPE_S3\n  s3: {bucket: acme, key: k.zip}\n"
    )
    outcome = bench.deploy("invoke", "orders", "--local", expect=71)
    assert "no local AWS is running" in outcome.err
    assert not bench.state.exists()


def test_without_credentials_the_error_comes_quickly_and_says_what_to_set(bench: Any) -> None:
    manifest = bench.function("orders")
    manifest.write_text(
        manifest.read_text() + "  codeSourceType: CODE_SOURCE_TYPE_S3\n  s3: {bucket: acme, key: k.zip}\n"
    )
    env = {"AWS_EC2_METADATA_DISABLED": "true"}
    outcome = bench.deploy("plan", env=env, expect=53)
    assert "error[credentials_missing]" in outcome.err
    assert "AWS_PROFILE" in outcome.err
