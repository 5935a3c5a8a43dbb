"""Everything that can be set: created with it, changed to it, changed back, each read back as desired."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from planton_build.deploy.steps import UpdateConfiguration

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:jobs"
DEAD = "arn:aws:sqs:eu-west-1:123456789012:dead"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alerts"

FIELDS: dict[str, tuple[dict[str, str] | Callable[[Any], dict[str, str]], str]] = {
    "description": ({"description": "prices"}, "Description"),
    "runtime": ({"runtime": "python3.12"}, "Runtime"),
    "handler": ({"handler": "other.handler"}, "Handler"),
    "memory": ({"memoryMb": "256"}, "MemorySize"),
    "timeout": ({"timeoutSeconds": "30"}, "Timeout"),
    "environment": ({"environment": "{MODE: fast}"}, "Environment"),
    "vpc": (lambda account: account.vpc(), "VpcConfig"),
    "architecture": ({"architecture": "ARM64"}, "Architectures"),
    "kms key": (lambda account: account.key(), "KMSKeyArn"),
}
"""Fields of the spec, and where Lambda tells of them."""


def fields_of(name: str, account: Any) -> dict[str, str]:
    fields = FIELDS[name][0]
    return fields if isinstance(fields, dict) else fields(account)


SETTINGS: dict[str, str] = {
    "tracing": 'tracing = "Active"',
    "dead letter": f'dead-letter = "{DEAD}"',
    "ephemeral storage": "ephemeral-storage = 1024",
    "logging": '[deploy.logging]\nformat = "JSON"\nlevel = "WARN"\nsystem-level = "WARN"\ngroup = "/a/logs"',
    "log retention": "log-retention = 14",
    "tags": 'tags = { team = "billing", cost = "7" }',
    "recursion": 'recursion = "Allow"',
    "runtime management": '[deploy.runtime-management]\nupdate = "FunctionUpdate"',
    "url": 'alias = "live"\n[deploy.url]\nauth = "NONE"\ncors = { allow-origins = ["https://a.test"] }',
    "async": f'[deploy.async]\nretries = 1\nmax-age = 120\non-failure = "{DEAD}"',
    "permissions": (
        '[[deploy.permissions]]\nid = "s3"\nprincipal = "s3.amazonaws.com"\n'
        'source-arn = "arn:aws:s3:::uploads"\nsource-account = "123456789012"'
    ),
    "event source": f'[[deploy.event-sources]]\nsource = "{QUEUE}"\nreport-batch-item-failures = true',
    "alarms": f'[deploy.alarms]\nerrors = 3\nduration-percent = 80\nactions = ["{TOPIC}"]',
    "alias": 'alias = "live"',
    "provisioned concurrency": 'alias = "live"\nprovisioned-concurrency = 2',
    "snap start": 'alias = "live"\nsnap-start = true',
}
"""Settings, as they are written below [deploy]."""


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_the_spec_is_set_at_creation_and_read_back(account: Any, name: str) -> None:
    fields = fields_of(name, account)
    account.write(key=account.upload("one"), **fields)
    account.apply()
    account.converged()


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_the_spec_is_changed_and_changed_back(account: Any, name: str) -> None:
    fields, theirs = fields_of(name, account), FIELDS[name][1]
    key = account.upload("one")
    account.write(key=key)
    account.apply()
    before = account.configuration()
    for more in (fields, {}):
        account.write(key=key, **more)
        [planned] = account.plan()
        assert planned.plan.changes
        account.apply([planned])
        account.converged()
        found = account.configuration()
        assert (bare(found.get(theirs)) != bare(before.get(theirs))) is bool(more)


def bare(value: Any) -> Any:
    """A value as it is when what says nothing is left out."""
    if isinstance(value, dict):
        return {key: kept for key, one in value.items() if (kept := bare(one))}
    return value or {}


def test_a_vpc_is_attached_and_detached(account: Any) -> None:
    key = account.upload("one")
    account.write(key=key, **account.vpc())
    account.apply()
    assert len(account.configuration()["VpcConfig"]["SubnetIds"]) == 2
    account.write(key=key)
    account.apply()
    assert not account.configuration().get("VpcConfig", {}).get("SubnetIds")
    account.converged()


def with_settings(name: str) -> str:
    return f"[deploy]\n{SETTINGS[name]}\n"


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_made_at_creation_and_read_back(account: Any, name: str) -> None:
    account.write(key=account.upload("one"), settings=with_settings(name))
    account.apply()
    account.converged()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_added_to_a_function_and_read_back(account: Any, name: str) -> None:
    key = account.upload("one")
    account.write(key=key)
    account.apply()
    account.write(key=key, settings=with_settings(name))
    [planned] = account.plan()
    assert planned.plan.changes
    account.apply([planned])
    account.converged()


def test_a_file_system_is_mounted_in_a_vpc(account: Any) -> None:
    # moto's access points have ids that no access point of AWS has.
    account.emulator.behaviour.strict_world = False
    mount = "arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/fsap-0123456789abcdef0"
    settings = f'[deploy]\n[[deploy.file-systems]]\narn = "{mount}"\npath = "/mnt/models"\n'
    account.write(key=account.upload("one"), settings=settings, **account.vpc())
    account.apply()
    assert account.configuration()["FileSystemConfigs"] == [{"Arn": mount, "LocalMountPath": "/mnt/models"}]
    account.converged()


def test_code_signing_is_attached_and_removed(account: Any) -> None:
    publisher = "arn:aws:signer:eu-west-1:123456789012:/signing-profiles/acme/abcdefghij"
    config = account.aws.lambda_().create_code_signing_config(
        AllowedPublishers={"SigningProfileVersionArns": [publisher]}
    )["CodeSigningConfig"]["CodeSigningConfigArn"]
    key = account.upload("one")
    account.write(key=key, settings=f'[deploy]\ncode-signing = "{config}"\n')
    account.apply()
    account.converged()
    account.write(key=key, settings="[deploy]\ncode-signing = false\n")
    account.apply()
    account.converged()
    assert (
        not account.aws.lambda_()
        .get_function_code_signing_config(FunctionName="orders")
        .get("CodeSigningConfigArn")
    )


OFF = {
    "dead letter": ("dead-letter = false", "DeadLetterConfig"),
    "tracing": ('tracing = "PassThrough"', ""),
    "ephemeral storage": ("ephemeral-storage = 512", ""),
    "log retention": ("log-retention = false", ""),
    "async": ("async = false", ""),
    "permissions": ("permissions = []", ""),
    "event source": ("event-sources = []", ""),
    "alarms": ("alarms = false", ""),
    "url": ('alias = "live"\nurl = false', ""),
    "provisioned concurrency": ('alias = "live"\nprovisioned-concurrency = false', ""),
    "snap start": ('alias = "live"\nsnap-start = false', ""),
}


@pytest.mark.parametrize("name", OFF)
def test_what_is_switched_off_is_removed(account: Any, name: str) -> None:
    key = account.upload("one")
    account.write(key=key, settings=with_settings(name))
    account.apply()
    account.write(key=key, settings=f"[deploy]\n{OFF[name][0]}\n")
    [planned] = account.plan()
    assert planned.plan.changes
    account.apply([planned])
    account.converged()


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_no_longer_mentioned_is_left_alone(account: Any, name: str) -> None:
    key = account.upload("one")
    account.write(key=key, settings=with_settings(name))
    account.apply()
    account.write(key=key)
    account.converged()


def test_every_field_of_the_configuration_is_among_these() -> None:
    from planton_build.deploy.differences import CONFIGURATION

    tested = {"description", "role", "runtime", "handler", "memory_mb", "timeout_seconds", "environment"}
    tested |= {"subnets", "security_groups", "layers", "kms_key", "tracing", "dead_letter", "ephemeral_mb"}
    tested |= {"file_systems", "snap_start", "logging", "image_config"}
    assert set(UpdateConfiguration(CONFIGURATION).fields) == tested


def test_layers_and_the_role_change(account: Any) -> None:
    client = account.aws.lambda_()
    layer = client.publish_layer_version(LayerName="fonts", Content={"ZipFile": ZIP})["LayerVersionArn"]
    trust = account.aws.iam().get_role(RoleName="worker")["Role"]["AssumeRolePolicyDocument"]
    import json

    role = account.aws.iam().create_role(RoleName="other", AssumeRolePolicyDocument=json.dumps(trust))
    key = account.upload("one")
    account.write(key=key)
    account.apply()
    account.write(
        key=key,
        layerArns=f"[{{value: '{layer}'}}]",
        roleArn=f"{{value: '{role['Role']['Arn']}'}}",
    )
    account.apply()
    account.converged()
    assert [one["Arn"] for one in account.configuration()["Layers"]] == [layer]
    account.write(key=key)
    account.apply()
    account.converged()


def _zip() -> bytes:
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("python/font.txt", "x")
    return buffer.getvalue()


ZIP = _zip()


def test_code_changes_and_the_version_that_serves_has_it(account: Any) -> None:
    account.write(key=account.upload("one"), settings='[deploy]\nalias = "live"\n')
    [first] = account.apply()
    account.write(key=account.upload("two"), settings='[deploy]\nalias = "live"\n')
    [second] = account.apply()
    account.converged()
    assert (first.version, second.version) == ("1", "2")
    old, new = account.configuration(qualifier="1"), account.configuration(qualifier="live")
    assert old["CodeSha256"] != new["CodeSha256"]
    assert new["Version"] == "2"
