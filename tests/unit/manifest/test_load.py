from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from planton_build.errors import Finding, ManifestInvalid, ManifestUnreadable, NotDeployable
from planton_build.manifest import load
from planton_build.manifest.document import Position
from planton_build.manifest.load import looks_like_manifest, read_manifests, require_deployable
from planton_build.manifest.model import Architecture, AwsLambda, CodeSourceType
from planton_build.manifest.references import Dialect, defaults_for

PROJECTS = Path(__file__).parents[2] / "projects"
D1, D2, D3 = (dialect.value for dialect in Dialect)
NO_REFERENCE = "string_value_or_ref.non_empty"
S3_RULE = "s3_requires_runtime_handler_and_excludes_image"
IMAGE_RULE = "image_requires_image_uri_and_excludes_s3"
BOTH = pytest.mark.parametrize("api_version", [D1, D3])

Write = Callable[[str], Path]
Minimal = Callable[..., dict[str, Any]]
Findings = Callable[..., tuple[Finding, ...]]

SAMPLE_ZIP = """\
apiVersion: aws.project-planton.org/v1
kind: AwsLambda
metadata:
  name: invoice-render
  org: acme
  env: staging
  labels:
    project-planton.org/provisioner: pulumi
    pulumi.project-planton.org/stack.fqdn: acme/billing/staging.AwsLambda.invoice-render
spec:
  functionName: invoice-render        # keep equal to metadata.name; modules use the latter
  description: renders invoice PDFs
  roleArn:
    valueFrom:                        # planton-deploy resolves it before apply
      kind: AwsIamRole
      name: invoice-render-role
      fieldPath: status.outputs.role_arn
  codeSourceType: CODE_SOURCE_TYPE_S3
  runtime: python3.12
  handler: invoices.app.handler
  s3:
    bucket: acme-lambda-artifacts
    key: invoice-render/sha256-2f1c.zip
    objectVersion: 9f0KQx
  architecture: ARM64
  memoryMb: 512
  timeoutSeconds: 45
  reservedConcurrency: 5              # accepted, not applied upstream
  environment:
    LOG_LEVEL: info
    FEATURE_X: "true"                 # must be a string
  subnets:
    - value: subnet-0a1b2c3d4e5f60001
    - value: subnet-0a1b2c3d4e5f60002
  securityGroups:
    - valueFrom:
        kind: AwsSecurityGroup
        name: invoice-render-sg
        fieldPath: status.outputs.security_group_id
  layerArns:
    - value: arn:aws:lambda:eu-west-1:123456789012:layer:shared-fonts:4
  kmsKeyArn:
    value: arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000
"""

SAMPLE_IMAGE = """\
apiVersion: aws.planton.dev/v1
kind: AwsLambda
metadata:
  name: thumbnailer
spec:
  region: eu-west-1
  function_name: thumbnailer
  role_arn:
    value: arn:aws:iam::123456789012:role/thumbnailer
  code_source_type: CODE_SOURCE_TYPE_IMAGE
  image_uri: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/thumbnailer@sha256:2f1c
  architecture: X86_64
  memory_mb: 1024
  timeout_seconds: 30
"""


def from_ref(**reference: Any) -> dict[str, Any]:
    """Make a spec whose role is a reference."""
    return {"roleArn": {"valueFrom": reference}}


def restyle(value: Any, style: Callable[[str], str], *, keep: bool = False) -> Any:
    """Rename the keys of a document; the user's own keys (environment, labels) stay."""
    if isinstance(value, dict):
        own = {"environment", "labels", "annotations"}
        return {
            (name if keep else style(name)): restyle(child, style, keep=name in own)
            for name, child in value.items()
        }
    return [restyle(child, style) for child in value] if isinstance(value, list) else value


# The samples


def test_the_zip_sample_is_read_whole(write: Write) -> None:
    path = write(SAMPLE_ZIP)
    (manifest,) = read_manifests(path, level="deployable")
    spec = manifest.model.spec
    assert manifest.path == path
    assert manifest.index == 0
    assert manifest.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert manifest.warnings == ()
    assert manifest.model.api_version == D1
    assert manifest.model.metadata.labels["project-planton.org/provisioner"] == "pulumi"
    assert spec.role_arn is not None
    assert spec.role_arn.value is None
    assert spec.role_arn.value_from is not None
    assert spec.role_arn.value_from.name == "invoice-render-role"
    assert spec.code_source_type is CodeSourceType.S3
    assert spec.s3 is not None
    assert spec.s3.object_version == "9f0KQx"
    assert spec.architecture is Architecture.ARM64
    assert (spec.memory_mb, spec.timeout_seconds, spec.reserved_concurrency) == (512, 45, 5)
    assert spec.environment == {"LOG_LEVEL": "info", "FEATURE_X": "true"}
    assert [subnet.value for subnet in spec.subnets][1] == "subnet-0a1b2c3d4e5f60002"
    require_deployable(manifest)


def test_the_image_sample_is_read_whole(write: Write) -> None:
    (manifest,) = read_manifests(write(SAMPLE_IMAGE), level="deployable")
    spec = manifest.model.spec
    assert spec.region == "eu-west-1"
    assert spec.code_source_type is CodeSourceType.IMAGE
    assert spec.image_uri.endswith("@sha256:2f1c")
    assert spec.s3 is None
    assert spec.reserved_concurrency is None


def test_positions_are_those_of_the_values(write: Write) -> None:
    (manifest,) = read_manifests(write(SAMPLE_ZIP))
    expected = {
        ("api_version",): (1, 13),
        ("metadata", "labels", "project-planton.org/provisioner"): (8, 38),
        ("spec",): (11, 3),
        ("spec", "role_arn", "value_from", "name"): (16, 13),
        ("spec", "s3", "key"): (23, 10),
        ("spec", "environment", "FEATURE_X"): (31, 16),
        ("spec", "subnets", 1): (34, 7),
        ("spec", "subnets", 1, "value"): (34, 14),
        ("spec", "security_groups", 0, "value_from", "field_path"): (39, 20),
    }
    assert {path: manifest.positions[path] for path in expected} == {
        path: Position(*place) for path, place in expected.items()
    }
    assert manifest.position("spec", "s3", "nothing") == Position(22, 5)
    assert manifest.position("spec", "image_uri") == manifest.positions["spec",]


def test_the_position_of_an_empty_value_is_its_key(write: Write, minimal: Minimal) -> None:
    text = yaml.safe_dump(minimal(), sort_keys=False) + "  description:\n"
    (manifest,) = read_manifests(write(text))
    assert manifest.positions["spec", "description"] == Position(text.count("\n"), 3)


# The edge cases of the schema's reference. An expectation is the rule ids, in the order of the document.


@BOTH
@pytest.mark.parametrize(
    ("spec", "rules"),
    [
        pytest.param({}, [], id="minimal S3 manifest"),
        pytest.param(
            {
                "codeSourceType": "CODE_SOURCE_TYPE_IMAGE",
                "s3": None,
                "imageUri": "registry.example/x@sha256:2f1c",
            },
            [],
            id="IMAGE with runtime and handler",
        ),
        pytest.param(
            {"codeSourceType": "CODE_SOURCE_TYPE_IMAGE", "imageUri": "registry.example/x"},
            [IMAGE_RULE],
            id="IMAGE with s3",
        ),
        pytest.param(
            {"codeSourceType": "CODE_SOURCE_TYPE_IMAGE", "s3": None},
            [IMAGE_RULE],
            id="IMAGE without image_uri",
        ),
        pytest.param(
            {"imageUri": "registry.example/x"},
            [S3_RULE],
            id="S3 with image_uri",
        ),
        pytest.param({"runtime": None}, [S3_RULE], id="S3 without runtime"),
        pytest.param({"handler": ""}, [S3_RULE], id="S3 with empty handler"),
        pytest.param({"s3": None}, [S3_RULE], id="S3 without s3"),
        pytest.param({"codeSourceType": None}, ["code_source_type_required"], id="no code_source_type"),
        pytest.param({"codeSourceType": 0}, ["code_source_type_required"], id="code_source_type 0"),
        pytest.param({"s3": {}}, ["string.min_len", "string.min_len"], id="s3 empty"),
        pytest.param({"roleArn": "arn:aws:iam::1:role/x"}, ["parse.type"], id="bare role_arn"),
        pytest.param({"subnets": ["subnet-1"]}, ["parse.type"], id="bare subnet"),
        pytest.param({"roleArn": {}}, [NO_REFERENCE], id="role_arn empty"),
        pytest.param({"roleArn": {"value": ""}}, [NO_REFERENCE], id="role_arn value empty"),
        pytest.param({"roleArn": None}, ["required"], id="no role_arn"),
        pytest.param(
            {"roleArn": {"value": "x", "valueFrom": {"name": "other"}}},
            ["parse.oneof"],
            id="value and valueFrom",
        ),
        pytest.param(from_ref(kind="AwsIamRole"), ["required"], id="valueFrom without name"),
        pytest.param(from_ref(name="other"), [], id="valueFrom by name alone"),
        pytest.param(from_ref(name="other", kind=208), [], id="valueFrom kind by number"),
        pytest.param(
            from_ref(name="other", field="z"),
            ["parse.unknown_field"],
            id="valueFrom.field",
        ),
        pytest.param({"architecture": "arm64"}, ["enum.defined_only"], id="architecture in lower case"),
        pytest.param({"architecture": 2, "codeSourceType": 1}, [], id="enums by number"),
        pytest.param({"architecture": 2.0}, [], id="enum by integral float"),
        pytest.param({"architecture": "2"}, ["enum.defined_only"], id="enum by quoted number"),
        pytest.param({"architecture": 7}, ["enum.defined_only"], id="architecture 7"),
        pytest.param({"architecture": -1}, ["enum.defined_only"], id="architecture -1"),
        pytest.param({"architecture": True}, ["parse.type"], id="architecture true"),
        pytest.param({"memoryMb": "128"}, [], id="quoted integer"),
        pytest.param({"memoryMb": 128.0}, [], id="integral float"),
        pytest.param({"memoryMb": "1e3"}, [], id="quoted integer with exponent"),
        pytest.param({"memoryMb": 128.5}, ["parse.type"], id="fraction"),
        pytest.param({"memoryMb": float("inf")}, ["parse.type"], id="infinity"),
        pytest.param({"memoryMb": 1 << 31}, ["parse.type"], id="more than 32 bits"),
        pytest.param({"memoryMb": True}, ["parse.type"], id="boolean for an integer"),
        pytest.param({"memoryMb": "0128"}, ["parse.type"], id="quoted leading zero"),
        pytest.param({"memoryMb": " 128"}, ["parse.type"], id="quoted space"),
        pytest.param({"environment": {"AA": 1}}, ["parse.type"], id="number in environment"),
        pytest.param({"environment": {"AA": True}}, ["parse.type"], id="boolean in environment"),
        pytest.param({"environment": {"AA": None}}, ["parse.type"], id="null in environment"),
        pytest.param({"environment": ["AA"]}, ["parse.type"], id="environment as a list"),
        pytest.param({"descriptions": "x"}, ["parse.unknown_field"], id="unknown key"),
        pytest.param({"reservedConcurrency": 0}, [], id="reserved_concurrency 0"),
        pytest.param(
            {"functionName": "invoice-render", "function_name": "invoice-render"},
            ["parse.duplicate_key"],
            id="one field in both styles",
        ),
        pytest.param({"function_name": "invoice-render", "functionName": None}, [], id="mixed styles"),
        pytest.param({"functionName": None}, ["string.min_len"], id="no function_name"),
        pytest.param({"subnets": [None]}, ["parse.type"], id="null in a list"),
    ],
)
def test_edge_cases_of_the_schema(
    api_version: str, spec: dict[str, Any], rules: list[str], minimal: Minimal, findings: Findings
) -> None:
    found = findings(minimal(api_version, **spec))
    assert [finding.rule for finding in found] == rules
    assert all(finding.hint and finding.line and finding.column for finding in found)


@BOTH
def test_null_is_unset(api_version: str, minimal: Minimal, write: Write) -> None:
    document = minimal(api_version)
    document["spec"] |= {"description": None, "imageUri": None, "kmsKeyArn": None, "subnets": None}
    (manifest,) = read_manifests(write(yaml.safe_dump(document)), level="deployable")
    assert manifest.model.spec.description == ""
    assert manifest.model.spec.kms_key_arn is None


def test_an_explicit_zero_concurrency_differs_from_none(minimal: Minimal, write: Write) -> None:
    (absent,) = read_manifests(write(yaml.safe_dump(minimal())))
    (zero,) = read_manifests(write(yaml.safe_dump(minimal(reservedConcurrency=0))))
    assert absent.model.spec.reserved_concurrency is None
    assert zero.model.spec.reserved_concurrency == 0


@pytest.mark.parametrize(
    ("api_version", "region", "rules"),
    [
        pytest.param(D1, None, [], id="project-planton without"),
        pytest.param(D1, "eu-west-1", ["parse.unknown_field"], id="project-planton with"),
        pytest.param(D1, "", ["parse.unknown_field"], id="project-planton with an empty one"),
        pytest.param(D2, None, [], id="openmcf without"),
        pytest.param(D2, "eu-west-1", [], id="openmcf with"),
        pytest.param(D3, "eu-west-1", [], id="planton with"),
        pytest.param(D3, "", ["string.min_len"], id="planton with an empty one"),
    ],
)
def test_the_region_depends_on_the_dialect(
    api_version: str, region: str | None, rules: list[str], minimal: Minimal, findings: Findings
) -> None:
    document = minimal(api_version, **({} if region is None else {"region": region}))
    assert [finding.rule for finding in findings(document, "buildable")] == rules


def test_a_planton_manifest_without_region_is_refused(minimal: Minimal, findings: Findings) -> None:
    (finding,) = findings(minimal(D3, region=None))
    assert finding.rule == "string.min_len"
    assert finding.message.startswith("spec.region:")


# The envelope, and which documents count


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        pytest.param({"apiVersion": "aws.project.planton/v1"}, ["string.const"], id="legacy apiVersion"),
        pytest.param({"apiVersion": None}, ["required"], id="no apiVersion"),
        pytest.param({"kind": "AWSLambda"}, ["string.const"], id="kind in another case"),
        pytest.param({"kind": "aws-lambda"}, ["string.const"], id="kind with a hyphen"),
        pytest.param({"metadata": None}, ["required"], id="no metadata"),
        pytest.param({"spec": None}, ["required"], id="no spec"),
        pytest.param({"spec": []}, ["parse.type"], id="spec as a list"),
        pytest.param({"extra": 1}, ["parse.unknown_field"], id="unknown key"),
        pytest.param(
            {"metadata": {"name": "invoice-render", "tags": {"a": "b"}}},
            ["parse.type"],
            id="tags as a mapping",
        ),
        pytest.param(
            {"metadata": {"name": "invoice-render", "relationships": [{"kind": "AwsVpc", "type": "uses"}]}},
            ["required"],
            id="relationship without name",
        ),
        pytest.param({"status": {"outputs": {"function_arn": "x", "layer_arns": ["z"]}}}, [], id="status"),
    ],
)
def test_the_envelope_is_checked(
    change: dict[str, Any], rules: list[str], minimal: Minimal, findings: Findings
) -> None:
    document = {name: value for name, value in (minimal() | change).items() if value is not None}
    assert [finding.rule for finding in findings(document)] == rules


def test_other_kinds_and_empty_documents_are_skipped(minimal: Minimal, write: Write) -> None:
    ours = yaml.safe_dump(minimal())
    text = f"---\n---\nkind: AwsIamRole\nspec: {{x: [1]}}\n---\n{ours}---\n- a list\n---\n{ours}"
    manifests = read_manifests(write(text))
    assert [manifest.index for manifest in manifests] == [2, 4]


def test_a_file_without_a_function_gives_nothing(write: Write) -> None:
    assert read_manifests(write("kind: AwsIamRole\n")) == []
    assert read_manifests(write("")) == []


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.yaml", b"kind: AwsLambda", True),
        ("a.YML", b"\xef\xbb\xbfkind:  'aws_lambda' # x", True),
        ("a.yaml", b'{"kind":"AWS-Lambda"}', True),
        ("a.yaml", b"kind: &k !!str AwsLambda\r\n", True),
        ("a.yaml", "kind: AwsLambda\n".encode("utf-16"), True),
        ("a.yaml", b"kind: AwsLambda\n{{ template }}", True),
        ("a.yaml", b"kind: AwsLambdaAlias", False),
        ("a.yaml", b"# AwsLambda\nkind: {{ .Kind }}", False),
        ("a.json", b'{"kind": "AwsLambda"}', False),
        ("a.yaml", b"kind: AwsLambda\n#" + b"x" * (1 << 20), False),
        ("a.yaml", b"kind: &kind: " * 80_000, False),
    ],
)
def test_discovery_looks_at_the_kind_alone(tmp_path: Path, name: str, content: bytes, expected: bool) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert looks_like_manifest(path) is expected


def test_discovery_passes_over_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    assert not looks_like_manifest(tmp_path / "folder.yaml")
    assert not looks_like_manifest(tmp_path / "missing.yaml")


# Several mistakes, exact places, and remedies


def test_all_mistakes_of_a_file_come_at_once_in_order(minimal: Minimal, write: Write) -> None:
    text = """\
apiVersion: aws.planton.dev/v1
kind: AwsLambda
metadata: {name: x}
spec:
  functionName: 5
  roleArn: {valueFrom: {nme: y}}
  runtime: python3.12
  handler: a.b
  memoryMb: 64
  timeoutSeconds: yes
  environment:
    AA: 1
    on: "x"
    TZ: UTC
  subnets:
    - {}
    - subnet-1
    - value: subnet-2
      bogus: 1
---
apiVersion: aws.planton.dev/v1
kind: AWSLambda
"""
    with pytest.raises(ManifestInvalid, match="14 mistakes") as caught:
        read_manifests(write(text))
    assert [(f.line, f.column, f.rule) for f in caught.value.findings] == [
        (5, 3, "string.min_len"),
        (5, 17, "parse.type"),
        (6, 25, "parse.unknown_field"),
        (9, 13, "memory_range_or_default"),
        (10, 19, "parse.type"),
        (12, 9, "parse.type"),
        (13, 5, "parse.key"),
        (14, 9, "lambda.environment_reserved"),
        (16, 7, "string_value_or_ref.non_empty"),
        (17, 7, "parse.type"),
        (19, 7, "parse.unknown_field"),
        (21, 1, "required"),
        (21, 1, "required"),
        (22, 7, "string.const"),
    ]


def test_a_field_that_cannot_be_read_is_not_called_missing_too(minimal: Minimal, findings: Findings) -> None:
    found = findings(minimal(codeSourceType="S3", runtime=None, roleArn="x", functionName=1))
    assert [finding.rule for finding in found] == ["parse.type", "parse.type", "enum.defined_only"]


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ({"layers": []}, "spec.layers: ", "`layerArns`, a list of {value: …}"),
        ({"kms_key": "x"}, "spec.kms_key: ", "`kms_key_arn`, {value: …}"),
        ({"memory_size": 1}, "spec.memory_size: ", "`memory_mb`"),
        ({"timeoutSecond": 1}, "spec.timeoutSecond: ", "`timeoutSeconds`"),
        ({"zzz": 1}, "spec.zzz: ", "Known here: region, functionName"),
        (
            from_ref(name="x", field="y"),
            "spec.role_arn.value_from.field: ",
            "`fieldPath`",
        ),
        ({"roleArn": "arn:x"}, "spec.role_arn: ", "`roleArn: {value: arn:x}`"),
        ({"roleArn": None, "role_arn": "arn:x"}, "spec.role_arn: ", "`role_arn: {value: arn:x}`"),
        ({"subnets": ["subnet-1"]}, "spec.subnets[0]: ", "`- value: subnet-1`"),
        ({"architecture": "arm64"}, "spec.architecture: ", "`ARM64`"),
        ({"codeSourceType": "s3"}, "spec.code_source_type: ", "`CODE_SOURCE_TYPE_S3`"),
        ({"environment": {"AA": True}}, 'spec.environment["AA"]: ', "as a boolean. Put the value in quotes"),
        (
            from_ref(name="x", kind="aws_iam_role"),
            "spec.role_arn.value_from.kind",
            "`AwsIamRole`",
        ),
        (
            {"imageUri": "x"},
            "spec: when code_source_type is S3",
            "planton-build, which puts `s3` in the place of `imageUri`",
        ),
    ],
)
def test_a_finding_names_the_field_and_the_remedy(
    spec: dict[str, Any], message: str, hint: str, minimal: Minimal, findings: Findings
) -> None:
    (finding,) = findings(minimal(**spec))
    assert finding.message.startswith(message)
    assert hint in (finding.hint or "")


def test_values_of_the_environment_are_never_shown(minimal: Minimal, findings: Findings) -> None:
    text = yaml.safe_dump(minimal()) + "  environment: {AA: 271828, BB: {CC: hunter2}, DD: [hunter2]}\n"
    found = findings(text)
    assert len(found) == 3
    assert not any(secret in str(finding) for finding in found for secret in ("271828", "hunter2"))


@pytest.mark.parametrize("text", ["y", "No", "1e3", "0o7", "1_000", "~"])
def test_an_unquoted_string_that_go_reads_otherwise_is_refused(
    text: str, minimal: Minimal, findings: Findings
) -> None:
    (finding,) = findings(yaml.safe_dump(minimal()) + f"  environment: {{AA: {text}}}\n")
    assert finding.rule == "parse.type"
    assert findings(yaml.safe_dump(minimal()) + f"  environment: {{AA: '{text}'}}\n") == ()


def test_a_leading_zero_is_refused_because_it_would_be_octal(minimal: Minimal, findings: Findings) -> None:
    text = yaml.safe_dump(minimal(memoryMb=77777)).replace("77777", "0512")
    (finding,) = findings(text)
    assert "octal" in finding.message
    assert [f.rule for f in findings(text.replace("0512", "0128"))] == ["parse.type"]


def test_what_only_pydantic_notices_still_has_its_place(tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        AwsLambda.model_validate(
            {"spec": {"image_uri": 1, "s3": {"key": 1}, "subnets": [{"value": "x"}, {"value": 2}]}}
        )
    positions = {(): Position(1, 1), ("spec", "s3"): Position(5, 9), ("spec", "subnets", 1): Position(7, 5)}
    found = load._unforeseen(caught.value, tmp_path, positions)
    assert [(f.line, f.column, f.message.partition(":")[0]) for f in found] == [
        (7, 5, "spec.subnets[1].value"),
        (5, 9, "spec.s3.key"),
        (1, 1, "spec.image_uri"),
    ]


@pytest.mark.parametrize("lines", ["  u{}nknown: 1", "  - 1", "    {}: 1"])
def test_only_the_first_of_very_many_mistakes_are_listed(lines: str, write: Write) -> None:
    parent = {"  -": "  subnets:", "   ": "  environment:"}.get(lines[:3], "  description: x")
    text = "\n".join(["kind: AwsLambda", "spec:", parent, *(lines.format(i) for i in range(10_000))])
    with pytest.raises(ManifestInvalid, match="the first 100 are listed") as caught:
        read_manifests(write(text))
    assert len(caught.value.findings) == 100


def test_an_item_behind_one_that_cannot_be_read_keeps_its_place(minimal: Minimal, findings: Findings) -> None:
    found = findings(minimal(subnets=["subnet-1", {}, {"value": "subnet-3"}, {}]))
    assert [finding.message.partition(":")[0] for finding in found] == [
        "spec.subnets[0]",
        "spec.subnets[1]",
        "spec.subnets[3]",
    ]


# YAML's own sharing


def test_aliases_and_merge_keys_work(write: Write) -> None:
    text = """\
apiVersion: aws.planton.dev/v1
kind: AwsLambda
metadata:
  name: &name shared
  labels: &labels {team: a, tier: b}
  annotations: {<<: *labels, tier: c}
spec:
  <<: [{region: eu-west-1, memoryMb: 256}, {memoryMb: 512, handler: a.b}]
  functionName: *name
  roleArn: &role {value: "arn:aws:iam::123456789012:role/x"}
  kmsKeyArn: *role
  runtime: python3.12
"""
    (manifest,) = read_manifests(write(text))
    spec = manifest.model.spec
    assert manifest.model.metadata.annotations == {"team": "a", "tier": "c"}
    assert (spec.region, spec.memory_mb, spec.handler) == ("eu-west-1", 256, "a.b")
    assert spec.function_name == "shared"
    assert spec.role_arn == spec.kms_key_arn
    assert manifest.positions["spec", "memory_mb"] == Position(8, 38)


def test_a_merge_of_anything_but_mappings_is_refused(minimal: Minimal, findings: Findings) -> None:
    (finding,) = findings(yaml.safe_dump(minimal(), sort_keys=False) + "  <<: [x]\n")
    assert finding.rule == "parse.merge"


# The two levels


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"codeSourceType": None, "s3": None}, id="nothing"),
        pytest.param({"s3": None}, id="type alone"),
        pytest.param({"s3": {"bucket": "x"}}, id="bucket alone"),
        pytest.param({"codeSourceType": None}, id="s3 without type"),
        pytest.param(
            {"codeSourceType": "CODE_SOURCE_TYPE_IMAGE", "s3": None, "runtime": None, "handler": None},
            id="image without uri",
        ),
        pytest.param({"imageUri": "x"}, id="switched from an image"),
        pytest.param({"imageUri": "x", "s3": None}, id="switched from an image, never a ZIP"),
        pytest.param({"codeSourceType": "CODE_SOURCE_TYPE_IMAGE"}, id="switched to an image"),
    ],
)
def test_a_missing_code_source_can_be_built_but_not_deployed(
    spec: dict[str, Any], minimal: Minimal, write: Write
) -> None:
    path = write(yaml.safe_dump(minimal(**spec)))
    (manifest,) = read_manifests(path)
    with pytest.raises(NotDeployable) as caught:
        require_deployable(manifest)
    assert "planton-build" in (caught.value.hint or "")
    assert all(finding.code == "not_deployable" and finding.line for finding in caught.value.findings)
    with pytest.raises(ManifestInvalid):
        read_manifests(path, level="deployable")


@pytest.mark.parametrize(
    ("spec", "rules"),
    [
        pytest.param({"imageUri": "x", "handler": None}, [S3_RULE], id="S3 and image, no handler"),
        pytest.param({"codeSourceType": None, "imageUri": "x"}, ["code_source.ambiguous"], id="both"),
        pytest.param({"codeSourceType": None, "runtime": None}, ["required"], id="no runtime"),
        pytest.param({"codeSourceType": None, "handler": None}, ["required"], id="no handler"),
        pytest.param({"memoryMb": 127}, ["memory_range_or_default"], id="memory"),
    ],
)
def test_a_contradiction_cannot_even_be_built(
    spec: dict[str, Any], rules: list[str], minimal: Minimal, findings: Findings
) -> None:
    assert [finding.rule for finding in findings(minimal(**spec), "buildable")] == rules


def test_another_name_than_the_metadata_is_a_warning(minimal: Minimal, write: Write) -> None:
    (manifest,) = read_manifests(write(yaml.safe_dump(minimal(functionName="other"), sort_keys=False)))
    (warning,) = manifest.warnings
    assert warning.message.startswith("spec.function_name: differs from metadata.name (`invoice-render`)")
    assert (warning.line, warning.column) == (6, 17)


# The broken projects


@pytest.mark.parametrize(
    ("project", "error", "rule", "line", "column"),
    [
        ("bare-role-arn", ManifestInvalid, "parse.type", 7, 12),
        ("duplicate-key", ManifestUnreadable, "parse.duplicate_key", 12, 3),
        ("alias-bomb", ManifestUnreadable, "parse.alias", 9, 46),
        ("wrong-case-enum", ManifestInvalid, "enum.defined_only", 11, 17),
        ("unknown-key", ManifestInvalid, "parse.unknown_field", 11, 3),
        (
            "two-code-sources",
            ManifestInvalid,
            "code_source.ambiguous",
            14,
            13,
        ),
    ],
)
def test_a_broken_project_is_refused_at_its_defect(
    project: str, error: type[ManifestInvalid], rule: str, line: int, column: int
) -> None:
    path = PROJECTS / project / "manifest.yaml"
    assert looks_like_manifest(path)
    with pytest.raises(error) as caught:
        read_manifests(path)
    (finding,) = caught.value.findings
    assert (finding.file, finding.rule, finding.line, finding.column) == (path, rule, line, column)
    assert finding.hint


# References


@pytest.mark.parametrize(
    ("dialect", "field", "expected"),
    [
        (D1, "role_arn", ("AwsIamRole", "status.outputs.role_arn")),
        (D3, "security_groups", ("AwsSecurityGroup", "status.outputs.security_group_id")),
        (D2, "kms_key_arn", ("AwsKmsKey", "status.outputs.key_arn")),
        (D1, "subnets", ("AwsVpc", "")),
        (D3, "subnets", ("AwsSubnet", "status.outputs.subnet_id")),
        (D3, "layer_arns", ("", "")),
    ],
)
def test_references_default_by_dialect_and_field(dialect: str, field: str, expected: tuple[str, str]) -> None:
    assert defaults_for(dialect, field) == expected


# Properties


class Quoting(yaml.SafeDumper):
    """Quotes every string: PyYAML leaves some plain (`y`, `1e3`, `0o7`) that Go reads as something else."""


Quoting.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)

NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufeff"), max_size=30)
REFERENCES = st.builds(lambda value: {"value": value}, TEXTS.filter(bool)) | st.builds(
    lambda name, path: {"value_from": {"name": name, "kind": "AwsIamRole", "field_path": path}}, NAMES, TEXTS
)
SPECS = st.fixed_dictionaries(
    {
        "function_name": NAMES,
        "role_arn": REFERENCES,
        "runtime": st.just("python3.13"),
        "handler": st.from_regex(r"[a-z.]{1,128}", fullmatch=True),
        "code_source_type": st.sampled_from(["CODE_SOURCE_TYPE_S3", 1]),
        "s3": st.fixed_dictionaries(
            {"bucket": NAMES, "key": TEXTS.filter(bool)}, optional={"object_version": TEXTS}
        ),
    },
    optional={
        "description": TEXTS,
        "memory_mb": st.integers(128, 10240) | st.just(0),
        "timeout_seconds": st.integers(0, 900),
        "reserved_concurrency": st.integers(-1, 1000),
        "environment": st.dictionaries(
            st.from_regex(r"[A-Za-z][a-zA-Z0-9_]{1,20}", fullmatch=True).filter(lambda name: name != "TZ"),
            TEXTS,
            max_size=5,
        ),
        "subnets": st.lists(REFERENCES, max_size=4),
        "security_groups": st.lists(REFERENCES, max_size=4),
        "layer_arns": st.lists(REFERENCES, max_size=4),
        "architecture": st.sampled_from(["ARM64", "X86_64", 0, 1, 2]),
        "kms_key_arn": REFERENCES,
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(spec=SPECS, name=NAMES, flow=st.booleans())
def test_both_key_styles_give_the_same_model(
    spec: dict[str, Any], name: str, flow: bool, write: Write
) -> None:
    document = {
        "api_version": D1,
        "kind": "AwsLambda",
        "metadata": {"name": name, "labels": {"a_b": "c", "dE": "f"}},
        "spec": spec,
    }
    models = []
    for style in (to_camel, str):
        styled = restyle(document, style)
        text = yaml.dump(styled, Dumper=Quoting, default_flow_style=flow, allow_unicode=True)
        (manifest,) = read_manifests(write(text), level="deployable")
        models.append(manifest.model)
        for field in spec:
            assert ("spec", field) in manifest.positions
    camel, snake = models
    assert camel == snake
    assert camel.spec.environment == spec.get("environment", {})
    assert camel.spec.function_name == spec["function_name"]
    assert camel.spec.reserved_concurrency == spec.get("reserved_concurrency")
