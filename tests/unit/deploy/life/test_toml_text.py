from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planton_build.deploy.life.toml_text import toml_of
from planton_build.manifest.document import Manifest
from planton_build.manifest.load import read_manifests
from planton_build.settings.model import (
    NO_SETTINGS,
    OFF,
    Alarms,
    AsyncInvocation,
    Cors,
    DeploySettings,
    EventSource,
    FileSystem,
    FunctionUrl,
    ImageSettings,
    Logging,
    Permission,
    RuntimeManagement,
    SourceAccess,
)
from planton_build.settings.read import settings_for

ARN = "arn:aws:sqs:eu-west-1:123456789012:jobs"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:broker-a1b2c3"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"
FULL = DeploySettings(
    alias="live",
    provisioned_concurrency=3,
    url=FunctionUrl(
        "NONE", "RESPONSE_STREAM", Cors(("https://a.example",), ("GET",), ("x-a",), ("x-b",), True, 60)
    ),
    asynchronous=AsyncInvocation(1, 600, "", ARN),
    dead_letter=ARN,
    tracing="Active",
    logging=Logging("JSON", "DEBUG", "WARN", "/acme/logs"),
    log_retention=30,
    ephemeral_storage=1024,
    file_systems=(
        FileSystem(
            "arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/fsap-0123456789abcdef0", "/mnt/a"
        ),
    ),
    code_signing="arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0123456789abcdef0",
    tags={"team": "billing", "cost centre": "7/8"},
    permissions=(
        Permission(
            "s3", "s3.amazonaws.com", source_arn="arn:aws:s3:::uploads", source_account="123456789012"
        ),
    ),
    event_sources=(
        EventSource(ARN, enabled=False, batch_size=5, filters=('{"body": {"a": ["it"]}}',)),
        EventSource(
            "arn:aws:mq:eu-west-1:123456789012:broker:b:b-1",
            queues=("orders",),
            access=(SourceAccess("BASIC_AUTH", SECRET), SourceAccess("VIRTUAL_HOST", "/shop")),
        ),
        EventSource(
            "arn:aws:rds:eu-west-1:123456789012:cluster:docs",
            starting_position="LATEST",
            database="shop",
            collection="orders",
            full_document="UpdateLookup",
            access=(SourceAccess("BASIC_AUTH", SECRET),),
        ),
        EventSource(
            "",
            servers=("a.example.com:9092", "b.example.com:9092"),
            topics=("orders",),
            starting_position="LATEST",
            access=(
                SourceAccess("IAM_AUTH"),
                SourceAccess("VPC_SUBNET", "subnet:subnet-1"),
                SourceAccess("VPC_SECURITY_GROUP", "security_group:sg-1"),
            ),
        ),
    ),
    alarms=Alarms(2, None, 1, None, 80, 300, 2, (TOPIC,), (TOPIC,)),
    recursion="Allow",
    runtime_management=RuntimeManagement("FunctionUpdate"),
)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    (tmp_path / ".git").mkdir()
    path = tmp_path / "lambda.yaml"
    path.write_text(
        "apiVersion: aws.planton.dev/v1\nkind: AwsLambda\nmetadata: {name: render}\nspec:\n"
        "  region: eu-west-1\n  functionName: render\n"
        "  roleArn: {value: 'arn:aws:iam::123456789012:role/r'}\n"
        "  subnets: [{value: subnet-1}]\n  securityGroups: [{value: sg-1}]\n"
        "  codeSourceType: CODE_SOURCE_TYPE_S3\n  runtime: python3.13\n  handler: app.handler\n"
    )
    return read_manifests(path)[0]


def read_back(value: DeploySettings, manifest: Manifest) -> DeploySettings:
    manifest.path.with_name("planton.toml").write_text(toml_of(value))
    return replace(settings_for(manifest), files=())


def test_everything_is_read_back(manifest: Manifest) -> None:
    assert read_back(FULL, manifest) == FULL


@pytest.mark.parametrize(
    "value",
    [
        DeploySettings(url=OFF, asynchronous=OFF, alarms=OFF, dead_letter=OFF, log_retention=OFF),
        DeploySettings(permissions=(), event_sources=(), file_systems=()),
        DeploySettings(alarms=Alarms(duration=900, duration_percent=None)),
        DeploySettings(alarms=Alarms(errors=None, throttles=None, dead_letters=None, duration_percent=None)),
        DeploySettings(url=FunctionUrl()),
        DeploySettings(logging=Logging()),
        DeploySettings(alias="live", snap_start=True),
    ],
)
def test_what_is_off_or_empty_is_read_back(value: DeploySettings, manifest: Manifest) -> None:
    assert read_back(value, manifest) == value


def test_nothing_is_written_for_nothing() -> None:
    assert toml_of(NO_SETTINGS) == ""


def test_an_image_has_its_table() -> None:
    value = DeploySettings(image=ImageSettings(("/bin/sh", "-c"), ("a b",), "/srv"))
    assert tomllib.loads(toml_of(value)) == {
        "deploy": {
            "image": {"entry-point": ["/bin/sh", "-c"], "command": ["a b"], "working-directory": "/srv"}
        }
    }


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(text, text, max_size=3), text)
def test_any_text_is_toml(tags: dict[str, str], command: str) -> None:
    value = DeploySettings(tags=tags, image=ImageSettings(working_directory=command))
    read = tomllib.loads(toml_of(value))["deploy"]
    assert read.get("tags", {}) == tags
    assert read["image"].get("working-directory", "") == command
