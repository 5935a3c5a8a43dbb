"""docs/references.md: its examples are sources, and what it says about defaults is so."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from planton_build.deploy.references.resolver import References
from planton_build.deploy.references.template import PLACEHOLDERS
from planton_build.manifest.references import Dialect, defaults_for
from planton_build.settings.model import ReferenceSource

PAGE = (Path(__file__).parents[4] / "docs" / "references.md").read_text(encoding="utf-8")


def fences(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", fences("toml"))
def test_every_example_is_taken(text: str) -> None:
    tables: list[dict[str, Any]] = tomllib.loads(text)["deploy"]["references"]
    sources = [
        ReferenceSource(
            table.pop("type"), kinds=tuple(table.pop("kinds", ())), env=table.pop("env", ""), options=table
        )
        for table in tables
    ]
    assert References(sources, aws=None)


def test_the_example_of_outputs_holds_what_it_says(
    refer: Callable[..., Any], source: Callable[..., Any], resolve: Callable[..., Any], repo: Path
) -> None:
    example = next(text for text in fences("yaml") if "private_subnets.0.id" in text)
    (repo / "o.yaml").write_text(example)
    one = source("outputs", file="o.yaml")
    subnets = (
        "[{valueFrom: {kind: AwsVpc, name: network, fieldPath: 'status.outputs.private_subnets.[*].id'}}]"
    )
    manifest = refer(
        env="prod", subnets=subnets, kmsKeyArn="{valueFrom: {name: data}}",
        securityGroups="[{valueFrom: {name: worker}}]",
    )  # fmt: skip
    assert resolve(manifest, one).values == ("arn:aws:iam::123456789012:role/worker",)
    assert resolve(manifest, one, field="subnets", index=0).values == ("subnet-0a1b2c3d4e5f60001",)
    assert resolve(manifest, one, field="security_groups", index=0).values == ("sg-0a1b2c3d4e5f60001",)
    assert (
        resolve(manifest, one, field="kms_key_arn")
        .values[0]
        .endswith(":key/00000000-0000-0000-0000-000000000000")
    )


def test_the_defaults_of_fields_are_those_of_the_code() -> None:
    names = {"role_arn": "roleArn", "kms_key_arn": "kmsKeyArn", "security_groups": "securityGroups"}
    for field, shown in names.items():
        default = defaults_for(Dialect.PLANTON, field)
        assert f"| `{shown}` | `{default.kind}` | `{default.field_path}` |" in PAGE
    assert f"| `{defaults_for(Dialect.PLANTON, 'subnets').kind}`, or `AwsVpc` in" in PAGE


def test_every_placeholder_is_listed() -> None:
    assert re.findall(r"^\| `\{(\w+)\}`", PAGE, re.MULTILINE) == list(PLACEHOLDERS)


def test_the_example_of_a_manifest_is_yaml() -> None:
    manifest = next(text for text in fences("yaml") if "roleArn" in text)
    assert json.dumps(yaml.safe_load(manifest))
