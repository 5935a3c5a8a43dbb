from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planton_build.deploy.functions import Deployment
from planton_build.deploy.saved import check_plan, load_plan, save_plan
from planton_build.errors import PlanOutdated
from planton_build.manifest.document import Manifest

Write = Callable[..., Manifest]
PlanOf = Callable[[Manifest], Deployment]


def saved(deployment: Deployment, folder: Path) -> Path:
    path = folder / "plan.json"
    save_plan([deployment], path, tool="1")
    return path


def test_a_plan_fits_as_long_as_nothing_changes(
    manifest: Write, plan_of: PlanOf, key: str, tmp_path: Path
) -> None:
    path = saved(plan_of(manifest(key=key)), tmp_path)
    check_plan(load_plan(path), [plan_of(manifest(key=key))])


def test_a_plan_file_is_its_owners_and_has_no_environment_values(
    manifest: Write, plan_of: PlanOf, key: str, tmp_path: Path
) -> None:
    path = saved(plan_of(manifest(key=key, environment="{TOKEN: hunter2hunter2}")), tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "hunter2" not in path.read_text()
    assert "environment.TOKEN" in path.read_text()


def test_a_changed_manifest_makes_a_plan_outdated_even_in_a_secret(
    manifest: Write, plan_of: PlanOf, key: str, tmp_path: Path
) -> None:
    path = saved(plan_of(manifest(key=key, environment="{TOKEN: one}")), tmp_path)
    with pytest.raises(PlanOutdated, match="render: its manifest, its configuration or a reference"):
        check_plan(load_plan(path), [plan_of(manifest(key=key, environment="{TOKEN: two}"))])


def test_a_function_that_was_touched_in_aws_makes_a_plan_outdated(
    manifest: Write, plan_of: PlanOf, deploy: Any, front: Any, key: str, tmp_path: Path
) -> None:
    deploy(manifest(key=key))
    path = saved(plan_of(manifest(key=key, memoryMb="256")), tmp_path)
    front.touch("render")
    with pytest.raises(PlanOutdated, match="in AWS its revision was"):
        check_plan(load_plan(path), [plan_of(manifest(key=key, memoryMb="256"))])


def test_a_function_that_was_created_meanwhile_makes_a_plan_outdated(
    manifest: Write, plan_of: PlanOf, deploy: Any, key: str, tmp_path: Path
) -> None:
    path = saved(plan_of(manifest(key=key)), tmp_path)
    deploy(manifest(key=key))
    with pytest.raises(PlanOutdated, match="its revision was none") as raised:
        check_plan(load_plan(path), [plan_of(manifest(key=key))])
    assert any("its code was none" in finding.message for finding in raised.value.findings)


def test_functions_that_are_gone_or_new_make_a_plan_outdated(
    manifest: Write, plan_of: PlanOf, key: str, tmp_path: Path
) -> None:
    path = saved(plan_of(manifest(key=key)), tmp_path)
    with pytest.raises(PlanOutdated) as raised:
        check_plan(load_plan(path), [plan_of(manifest("other", key=key))])
    told = [finding.message for finding in raised.value.findings]
    assert "render: its manifest is gone" in told[0]
    assert "other in eu-west-1 is not in the plan" in told[1]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2}', "\x00", "{" * 10000])
def test_what_is_no_plan_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(PlanOutdated, match="is no plan of this tool"):
        load_plan(path)
    with pytest.raises(PlanOutdated, match="cannot be read"):
        load_plan(tmp_path / "none.json")


def test_the_file_lists_changes_and_steps_for_people(
    manifest: Write, plan_of: PlanOf, key: str, tmp_path: Path
) -> None:
    document = json.loads(saved(plan_of(manifest(key=key)), tmp_path).read_text())
    [function] = document["functions"]
    assert function["steps"] == ["create the function", "wait until Lambda is ready"]
    assert {"field": "function", "before": None, "after": "render", "secret": False} in function["changes"]
