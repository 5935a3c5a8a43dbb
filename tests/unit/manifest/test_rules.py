from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from planton_build.errors import Finding
from planton_build.manifest import rules
from planton_build.manifest.rules import Level

Minimal = Callable[..., dict[str, Any]]
Findings = Callable[..., tuple[Finding, ...]]


def references(count: int) -> list[dict[str, str]]:
    return [{"value": f"id-{number}"} for number in range(count)]


IMAGE = {"codeSourceType": "CODE_SOURCE_TYPE_IMAGE", "s3": None, "imageUri": "registry.example/x"}


@pytest.mark.parametrize("level", ["buildable", "deployable"])
@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        pytest.param({"memoryMb": 127}, "memory_range_or_default", id="memory 127"),
        pytest.param({"memoryMb": 128}, None, id="memory 128"),
        pytest.param({"memoryMb": 10240}, None, id="memory 10240"),
        pytest.param({"memoryMb": 10241}, "memory_range_or_default", id="memory 10241"),
        pytest.param({"memoryMb": 0}, None, id="memory 0"),
        pytest.param({"memoryMb": -128}, "memory_range_or_default", id="memory negative"),
        pytest.param({"timeoutSeconds": 0}, None, id="timeout 0"),
        pytest.param({"timeoutSeconds": 900}, None, id="timeout 900"),
        pytest.param({"timeoutSeconds": 901}, "timeout_range_or_default", id="timeout 901"),
        pytest.param({"timeoutSeconds": -1}, "timeout_range_or_default", id="timeout -1"),
        pytest.param({"reservedConcurrency": -1}, None, id="concurrency -1"),
        pytest.param({"reservedConcurrency": -2}, "reserved_concurrency_semantics", id="concurrency -2"),
        pytest.param({"functionName": "a" * 64}, None, id="name of 64"),
        pytest.param({"functionName": "a" * 65}, "lambda.function_name", id="name of 65"),
        pytest.param({"functionName": "a b"}, "lambda.function_name", id="name with a space"),
        pytest.param({"functionName": "a\n"}, "lambda.function_name", id="name with a line end"),
        pytest.param({"functionName": "é"}, "lambda.function_name", id="name with an accent"),
        pytest.param({"handler": "a" * 128}, None, id="handler of 128"),
        pytest.param({"handler": "a" * 129}, "lambda.handler", id="handler of 129"),
        pytest.param({"handler": "a.b c"}, "lambda.handler", id="handler with a space"),
        pytest.param({"description": "é" * 256}, None, id="description of 256"),
        pytest.param({"description": "a" * 257}, "lambda.description", id="description of 257"),
        pytest.param({"environment": {"A1": "x"}}, None, id="short variable"),
        pytest.param({"environment": {"A": "x"}}, "lambda.environment_name", id="variable of one letter"),
        pytest.param({"environment": {"A-B": "x"}}, "lambda.environment_name", id="variable with a hyphen"),
        pytest.param({"environment": {"_AB": "x"}}, "lambda.environment_name", id="underscore first"),
        pytest.param({"environment": {"AWS_REGION": "x"}}, "lambda.environment_reserved", id="reserved"),
        pytest.param({"environment": {"_HANDLER": "x"}}, "lambda.environment_reserved", id="_HANDLER"),
        pytest.param({"environment": {"PYTHONPATH": "x"}}, None, id="not reserved"),
        # {"AB":"…"} is 9 characters around the value
        pytest.param({"environment": {"AB": "x" * (4096 - 9)}}, None, id="4 KB"),
        pytest.param({"environment": {"AB": "x" * (4096 - 8)}}, "lambda.environment_size", id="above 4 KB"),
        pytest.param({"environment": {"AB": '"' * 2044}}, "lambda.environment_size", id="escapes"),
        pytest.param({"environment": {"AB": "é" * 2044}}, "lambda.environment_size", id="accents"),
        pytest.param({"environment": {"AB": "é" * 2043}}, None, id="accents of 4 KB"),
        pytest.param({"layerArns": references(5)}, None, id="5 layers"),
        pytest.param({"layerArns": references(6)}, "lambda.layers", id="6 layers"),
        pytest.param({"layerArns": references(1)} | IMAGE, "lambda.layers", id="layers of an image"),
        pytest.param({"subnets": references(16)}, None, id="16 subnets"),
        pytest.param({"subnets": references(17)}, "lambda.subnets", id="17 subnets"),
        pytest.param({"securityGroups": references(5)}, None, id="5 security groups"),
        pytest.param({"securityGroups": references(6)}, "lambda.security_groups", id="6 security groups"),
    ],
)
def test_limits_hold_at_both_levels(
    level: Level, spec: dict[str, Any], rule: str | None, minimal: Minimal, findings: Findings
) -> None:
    found = findings(minimal(**spec), level)
    assert [finding.rule for finding in found] == ([] if rule is None else [rule])


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"codeSourceType": None}, "code_source_type must be set"),
        (
            {"runtime": None},
            "when code_source_type is S3, set s3, runtime, and handler; image_uri must be empty",
        ),
        (
            {"codeSourceType": "CODE_SOURCE_TYPE_IMAGE"},
            "when code_source_type is IMAGE, set image_uri and do not set s3",
        ),
        ({"memoryMb": 1}, "memory_mb must be between 128 and 10240 when set"),
        ({"timeoutSeconds": 1000}, "timeout_seconds must be between 1 and 900 when set"),
        ({"reservedConcurrency": -2}, "reserved_concurrency must be -1, 0, or a positive integer"),
        ({"roleArn": {}}, "a non-empty value or a resource reference must be provided"),
        ({"roleArn": None}, "value is required"),
        ({"functionName": None}, "value length must be at least 1 characters"),
        ({"architecture": 7}, "value must be one of the defined enum values"),
    ],
)
def test_texts_of_upstream_rules_are_literal(
    spec: dict[str, Any], text: str, minimal: Minimal, findings: Findings
) -> None:
    (finding,) = findings(minimal(**spec))
    assert finding.message.partition(": ")[2] == text


def test_a_rule_over_the_spec_points_to_the_field_to_change(minimal: Minimal, findings: Findings) -> None:
    document = minimal(imageUri="registry.example/x", runtime=None)
    (finding,) = findings(document)
    order = ["apiVersion", "kind", "metadata", "name", "spec", *document["spec"]]
    assert finding.line is not None
    assert finding.line > order.index("imageUri")
    assert "in the place of `imageUri`" in (finding.hint or "")
    assert "set `runtime`" in (finding.hint or "")


def test_too_many_items_point_to_the_first_one_too_many(minimal: Minimal, findings: Findings) -> None:
    text = yaml.safe_dump(minimal(layerArns=references(9)), sort_keys=False)
    (fits,) = findings(minimal(layerArns=references(6)))
    (more,) = findings(text)
    assert fits.line == more.line == text.splitlines().index("  - value: id-5") + 1
    assert (fits.hint, more.hint) == ("Remove 1.", "Remove 4.")


def test_reserved_names_are_the_documented_ones() -> None:
    assert len(rules.RESERVED_VARIABLES) == 18
    assert "LD_LIBRARY_PATH" not in rules.RESERVED_VARIABLES
