"""What `planton-deploy … --json` prints is what docs/json.md promises, command by command."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from planton_build.cli import deploy_schema, life_schema
from planton_build.local.server import DEFAULT_ACCOUNT

SETTINGS = """
[deploy]
alias = "live"
log-retention = 30
alarms = {}
url = {}
"""


@pytest.fixture
def orders(local_bench: Any) -> Any:
    """A bench with one function, built for the local AWS, whose alias has a URL and alarms."""
    # A function that is only named is looked for in the account of the local AWS's own credentials.
    role = {"value": f"arn:aws:iam::{DEFAULT_ACCOUNT}:role/contracts"}
    manifest = local_bench.function("contracts", roleArn=role, environment={"TOKEN": "canary"})
    (manifest.parent / "planton.toml").write_text(SETTINGS)
    local_bench.build("--local")
    yield local_bench
    local_bench.deploy("destroy", "contracts", "--logs", "--yes", "--local", expect=None)


def checked(model: type[BaseModel], value: object) -> Any:
    """Hold a value against its contract, which knows no other fields, and return it."""
    model.model_validate(value)
    assert "canary" not in json.dumps(value)
    return value


def test_every_command_keeps_its_contract(orders: Any) -> None:
    def run(model: type[BaseModel], *arguments: str, expect: int = 0) -> Any:
        return checked(model, orders.deploy(*arguments, "--local", "--json", expect=expect).json)

    planned = run(deploy_schema.PlanOut, "plan", expect=10)["functions"][0]
    assert {"alias.live", "url.auth", "alarms.errors"} <= {one["field"] for one in planned["changes"]}
    (applied,) = run(deploy_schema.ApplyOut, "apply")["functions"]
    assert (applied["changed"], applied["version"], applied["moved"]) == (True, "1", True)

    manifest = orders.folder / "contracts" / "lambda.yaml"
    manifest.write_text(manifest.read_text() + "  memoryMb: 512\n")
    (drifted,) = run(life_schema.DriftOut, "drift", "--who", expect=10)["functions"]
    assert [(one["field"], one["cause"]) for one in drifted["changes"]] == [("memory_mb", "manifest")]
    run(deploy_schema.ApplyOut, "apply")
    (status,) = run(life_schema.StatusOut, "status")["functions"]
    assert (status["manifest"], status["aliases"], list(status["urls"])) == (
        "in sync",
        {"live": {"2": 1}},
        ["live"],
    )
    (moved,) = run(deploy_schema.RollbackOut, "rollback")["functions"]
    assert (moved["before"], moved["version"]) == ("2", "1")
    (versions,) = run(life_schema.VersionsOut, "versions")["functions"]
    assert [(one["version"], one["aliases"]) for one in versions["versions"]] == [
        ("2", {}),
        ("1", {"live": 1}),
    ]

    place = ("--region", "eu-west-1", "--output", "adopted")
    (adopted,) = run(life_schema.AdoptOut, "adopt", "contracts", *place)["functions"]
    assert adopted["settings"] and adopted["secret"] and not adopted["deployable"]
    old = ("contracts", "--keep", "1", "--older-than", "0s")
    assert run(life_schema.PruneDryRunOut, "prune", *old, "--dry-run")["functions"][0]["would_delete"] == []
    assert run(life_schema.PruneOut, "prune", *old)["functions"][0]["deleted"] == []
    run(deploy_schema.RoleOut, "role", "contracts")
    run(deploy_schema.RoleCreateOut, "role", "contracts", "--create")
    (gone,) = run(life_schema.DestroyOut, "destroy", "contracts", "--logs", "--yes")["functions"]
    assert (gone["versions"], gone["aliases"], len(gone["urls"]), len(gone["alarms"])) == (2, ["live"], 1, 4)
    (status,) = run(life_schema.StatusOut, "status", "contracts")["functions"]
    assert status["manifest"] == "not deployed"


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (life_schema.LogEventOut, {"time": "2026-11-25T17:15:38.061+00:00", "message": ""}),
        (deploy_schema.InvokeOut, {"function_name": "orders", "payload": None, "log": ""}),
    ],
)
def test_a_contract_refuses_what_lacks_a_field(model: type[BaseModel], value: object) -> None:
    with pytest.raises(ValueError, match="Field required"):
        model.model_validate(value)
