from __future__ import annotations

import json
from pathlib import Path

import pytest

from planton_build.errors import ConfigInvalid
from planton_build.manifest.load import read_manifests
from planton_build.project.layers import ConfigFiles
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
    ReferenceSource,
    RoleSettings,
    Rollout,
    RuntimeManagement,
)
from planton_build.settings.read import check_settings, settings_for

PROJECTS = Path(__file__).parents[2] / "projects"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
DEAD = "arn:aws:sqs:eu-west-1:123456789012:dead"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alerts"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
ACCESS_POINT = "arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/fsap-0123456789abcdef0"
SIGNING = "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0123456789abcdef0"
IN_VPC = {"subnets": "[{value: subnet-1}]", "securityGroups": "[{value: sg-1}]"}

EVERYTHING = f"""
[deploy]
alias = "live"
provisioned-concurrency = 5
tracing = "Active"
dead-letter = "{DEAD}"
ephemeral-storage = 1024
snap-start = false
code-signing = "{SIGNING}"
recursion = "Terminate"
log-retention = 30
tags = {{ team = "billing", "cost center" = "über" }}

[deploy.rollout]
smoke-event = {{ ping = [1, 2.5, true] }}
steps = [10, 50]
step-seconds = 30
max-errors = 2

[deploy.url]
auth = "NONE"
invoke-mode = "RESPONSE_STREAM"
[deploy.url.cors]
allow-origins = ["https://shop.example"]
allow-methods = ["GET", "*"]
allow-headers = ["content-type"]
expose-headers = ["x-id"]
allow-credentials = true
max-age = 600

[deploy.async]
retries = 0
max-age = 60
on-success = "{TOPIC}"
on-failure = "arn:aws:s3:::acme-failed"

[deploy.logging]
format = "JSON"
level = "WARN"
system-level = "DEBUG"
group = "/acme/orders"

[[deploy.file-systems]]
arn = "{ACCESS_POINT}"
path = "/mnt/data"

[[deploy.permissions]]
id = "bucket"
principal = "s3.amazonaws.com"
source-arn = "arn:aws:s3:::acme-in"
source-account = "123456789012"

[[deploy.permissions]]
id = "organization"
principal = "*"
action = "lambda:GetFunction"
organization = "o-a1b2c3d4e5"

[[deploy.event-sources]]
source = "{QUEUE}"
enabled = false
batch-size = 100
batching-window = 5
max-concurrency = 10
report-batch-item-failures = true
filters = ['{{"body": {{"a": [1]}}}}', {{ body = {{ kind = ["b"] }} }}]

[[deploy.event-sources]]
source = "{STREAM}"
starting-position = "AT_TIMESTAMP"
starting-timestamp = 2026-11-25T16:00:00Z
parallelization = 10
retries = -1
max-record-age = -1
bisect-on-error = true
tumbling-window = 60
on-failure = "{DEAD}"

[deploy.alarms]
errors = 3
throttles = false
duration = 2500
period = 300
periods = 2
actions = ["{TOPIC}"]
ok-actions = ["{TOPIC}"]

[deploy.runtime-management]
update = "Manual"
version-arn = "arn:aws:lambda:eu-west-1::runtime:0123abcd"

[deploy.role]
permissions-boundary = "arn:aws:iam::123456789012:policy/boundary"
path = "/service/"
statements = [{{ Sid = "Table", Effect = "Allow", Action = ["dynamodb:GetItem"], Resource = "*" }}]

[[deploy.references]]
type = "cloudformation"
stack = "{{env}}-{{name}}"
output = "RoleArn"
kinds = ["AwsIamRole"]
env = "prod"

[[deploy.references]]
type = "ssm"
name = "/infra/{{name}}"
decrypt-it = true
"""


def test_without_configuration_nothing_is_managed(settings):
    assert settings("") is NO_SETTINGS
    assert settings("[function.other.deploy]\nalias = 'live'\n") is NO_SETTINGS
    assert settings("[deploy]\n") is NO_SETTINGS


def everything(folder: Path) -> DeploySettings:
    line = EVERYTHING.split("\n").index("[[deploy.references]]") + 1
    return DeploySettings(
        alias="live",
        rollout=Rollout(b'{"ping":[1,2.5,true]}', (10, 50), 30, 2),
        provisioned_concurrency=5,
        url=FunctionUrl(
            "NONE",
            "RESPONSE_STREAM",
            Cors(("https://shop.example",), ("GET", "*"), ("content-type",), ("x-id",), True, 600),
        ),
        asynchronous=AsyncInvocation(0, 60, TOPIC, "arn:aws:s3:::acme-failed"),
        dead_letter=DEAD,
        tracing="Active",
        logging=Logging("JSON", "WARN", "DEBUG", "/acme/orders"),
        log_retention=30,
        ephemeral_storage=1024,
        file_systems=(FileSystem(ACCESS_POINT, "/mnt/data"),),
        snap_start=False,
        code_signing=SIGNING,
        tags={"cost center": "über", "team": "billing"},
        permissions=(
            Permission(
                "bucket",
                "s3.amazonaws.com",
                source_arn="arn:aws:s3:::acme-in",
                source_account="123456789012",
            ),
            Permission("organization", "*", "lambda:GetFunction", organization="o-a1b2c3d4e5"),
        ),
        event_sources=(
            EventSource(
                QUEUE,
                enabled=False,
                batch_size=100,
                batching_window=5,
                max_concurrency=10,
                report_batch_item_failures=True,
                filters=('{"body": {"a": [1]}}', '{"body":{"kind":["b"]}}'),
            ),
            EventSource(
                STREAM,
                starting_position="AT_TIMESTAMP",
                starting_timestamp=1_795_622_400.0,
                parallelization=10,
                retries=-1,
                max_record_age=-1,
                bisect_on_error=True,
                tumbling_window=60,
                on_failure=DEAD,
            ),
        ),
        alarms=Alarms(3, None, 1, 2500, None, 300, 2, (TOPIC,), (TOPIC,)),
        recursion="Terminate",
        runtime_management=RuntimeManagement("Manual", "arn:aws:lambda:eu-west-1::runtime:0123abcd"),
        role=RoleSettings(
            ({"Sid": "Table", "Effect": "Allow", "Action": ["dynamodb:GetItem"], "Resource": "*"},),
            "arn:aws:iam::123456789012:policy/boundary",
            "/service/",
        ),
        references=(
            ReferenceSource(
                "cloudformation",
                {"stack": "{env}-{name}", "output": "RoleArn", "folder": folder},
                ("AwsIamRole",),
                "prod",
                f"planton.toml:{line}",
            ),
            ReferenceSource(
                "ssm",
                {"name": "/infra/{name}", "decrypt_it": True, "folder": folder},
                origin=f"planton.toml:{line + 7}",
            ),
        ),
        files=(folder / "planton.toml",),
    )


@pytest.mark.parametrize("underscores", [False, True])
@pytest.mark.parametrize("table", ["deploy", "function.orders.deploy"])
def test_every_setting_in_every_place_and_spelling(settings, tmp_path, underscores, table):
    text = EVERYTHING.replace("[deploy", f"[{table}")
    if underscores:
        text = "\n".join(
            line.split(" = ")[0].replace("-", "_") + line[len(line.split(" = ")[0]) :]
            for line in text.split("\n")
        )
    found = settings(text, timeoutSeconds=30, **IN_VPC)
    assert found == everything(tmp_path)


def test_everything_works_from_a_pyproject_too(tmp_path, manifest_at):
    (tmp_path / ".git").mkdir()
    text = EVERYTHING.replace("[deploy", "[tool.planton.function.orders.deploy")
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    found = settings_for(manifest_at(tmp_path / "lambda.yaml", timeoutSeconds=30, **IN_VPC))
    assert found.url == everything(tmp_path).url
    assert found.references[0].origin.startswith("pyproject.toml:")


OFFS = """
[deploy]
alias = false
rollout = false
provisioned-concurrency = false
url = false
async = false
dead-letter = false
log-retention = false
code-signing = false
alarms = false
tracing = "PassThrough"
tags = {}
file-systems = []
permissions = []
event-sources = []
[deploy.image]
"""


def test_what_is_to_be_removed_is_not_what_is_not_written(settings):
    found = settings(OFFS, codeSourceType="CODE_SOURCE_TYPE_IMAGE")
    assert (found.alias, found.rollout) == (None, Rollout())
    for field in ("provisioned_concurrency", "url", "asynchronous", "dead_letter", "log_retention"):
        assert getattr(found, field) is OFF
    assert found.code_signing is found.alarms is OFF
    assert (found.tags, found.file_systems, found.permissions, found.event_sources) == ({}, (), (), ())
    assert found.image == ImageSettings()
    assert (found.snap_start, found.logging, found.recursion, found.ephemeral_storage) == (None,) * 4


def test_empty_tables_take_the_defaults(settings):
    found = settings("[deploy.url]\n[deploy.alarms]\n[deploy.async]\n[deploy.logging]\n")
    assert (found.url, found.alarms) == (FunctionUrl(), Alarms())
    assert (found.asynchronous, found.logging) == (AsyncInvocation(), Logging())


PLACES = {
    "near function": ("repo/fn/planton.toml", "[function.orders.deploy]"),
    "near": ("repo/fn/planton.toml", "[deploy]"),
    "far function": ("repo/planton.toml", "[function.orders.deploy]"),
    "far": ("repo/planton.toml", "[deploy]"),
    "near project function": ("repo/fn/pyproject.toml", "[tool.planton.function.orders.deploy]"),
    "near project": ("repo/fn/pyproject.toml", "[tool.planton.deploy]"),
    "far project function": ("repo/pyproject.toml", "[tool.planton.function.orders.deploy]"),
    "far project": ("repo/pyproject.toml", "[tool.planton.deploy]"),
}
"""Every place a setting can come from, strongest first."""


@pytest.mark.parametrize("strongest", range(len(PLACES)))
def test_the_strongest_place_wins_key_by_key(tmp_path, manifest_at, strongest):
    (tmp_path / "repo/.git").mkdir(parents=True)
    manifest = manifest_at(tmp_path / "repo/fn/lambda.yaml")
    present = list(PLACES)[strongest:]
    (tmp_path / "planton.toml").write_text("[deploy]\nnonsense = 1\n")  # outside of the repository
    texts: dict[str, str] = {}
    for number, place in enumerate(present):
        file, table = PLACES[place]
        keys = f'alias = "{place.replace(" ", "-")}"\ntags = {{ all = "{number}", "{place}" = "x" }}\n'
        if number == len(present) - 1:
            keys += "ephemeral-storage = 600\n"
        texts[file] = texts.get(file, "") + f"{table}\n{keys}"
    for file, text in texts.items():
        (tmp_path / file).write_text(text)
    found = settings_for(manifest)
    assert found.alias == present[0].replace(" ", "-")
    assert found.ephemeral_storage == 600
    assert found.tags == {"all": "0", **dict.fromkeys(present, "x")}
    assert found.files == tuple(tmp_path / file for file in dict.fromkeys(PLACES[p][0] for p in present))


def test_a_table_is_replaced_whole(settings):
    found = settings(
        '[deploy]\nalias = "live"\n[deploy.rollout]\nsteps = [10]\nmax-errors = 9\n'
        "[function.orders.deploy.rollout]\nsteps = [50]\n"
    )
    assert found.rollout == Rollout(steps=(50,))


def test_a_smoke_event_is_read_beside_its_file(settings, tmp_path):
    event = tmp_path / "events/smoke.json"
    event.parent.mkdir()
    event.write_bytes(b'\xef\xbb\xbf{"a": 1}\n')
    found = settings('[deploy]\nalias = "live"\nrollout = { smoke-event = "events/smoke.json" }\n')
    assert json.loads(found.rollout.smoke_event) == {"a": 1}


def test_a_changed_file_is_read_again(settings):
    assert settings("[deploy]\nephemeral-storage = 600\n").ephemeral_storage == 600
    assert settings("[deploy]\nephemeral-storage = 700\n").ephemeral_storage == 700


def test_files_that_were_read_already_are_not_read_again(settings, tmp_path):
    files = ConfigFiles()
    settings("[deploy]\nephemeral-storage = 600\n")
    (manifest,) = read_manifests(tmp_path / "lambda.yaml")
    assert settings_for(manifest, files=files).ephemeral_storage == 600
    (tmp_path / "planton.toml").unlink()
    assert settings_for(manifest, files=files).ephemeral_storage == 600


def test_mistakes_of_all_tables_come_together_with_their_places(tmp_path, manifest_at):
    (tmp_path / ".git").mkdir()
    manifest = manifest_at(tmp_path / "fn/lambda.yaml")
    (tmp_path / "planton.toml").write_text("[deploy]\nalias = 7\n[deploy.url]\nauht = 'NONE'\n")
    (tmp_path / "fn/planton.toml").write_text(
        "[function.orders.deploy]\nalias = 'live'\npermissions = [\n  { id = 'a', pricipal = '*' } ]\n"
        "[function.other.deploy]\nnobody = 'looks here'\n"
    )
    with pytest.raises(ConfigInvalid) as caught:
        settings_for(manifest)
    found = {(f.file.parent.name, f.line, f.column, f.message, f.hint) for f in caught.value.findings}
    assert found == {
        (tmp_path.name, 2, 1, "alias must be text, not 7", None),
        (tmp_path.name, 4, 1, "url.auht is not a setting of url", "did you mean 'auth'?"),
        ("fn", 4, 3, "permissions[0] has no principal", None),
        (
            "fn",
            4,
            15,
            "permissions[0].pricipal is not a setting of permissions[0]",
            "did you mean 'principal'?",
        ),
    }
    assert str(caught.value) == "4 options are wrong"


def test_checks_without_a_known_place_stand_at_the_function(manifest_at, tmp_path):
    manifest = manifest_at(tmp_path / "lambda.yaml")
    (finding,) = check_settings(DeploySettings(snap_start=True), manifest)
    assert (finding.file, finding.line) == (manifest.path, 7)
    assert check_settings(DeploySettings(), manifest) == []


@pytest.mark.parametrize(
    ("project", "lines"),
    [("deploy-limits", [4, 5, 6, 9, 12, 16]), ("deploy-clashes", [2, 3, 3, 5, 10, 13])],
)
def test_the_defects(project, lines):
    (manifest,) = read_manifests(PROJECTS / project / "manifest.yaml")
    with pytest.raises(ConfigInvalid) as caught:
        settings_for(manifest)
    assert [finding.line for finding in caught.value.findings] == lines
