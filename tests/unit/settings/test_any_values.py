"""Whatever TOML holds, there are settings within the limits, or mistakes with their places."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from planton_build.settings.deploy_table import read_deploy
from planton_build.settings.model import OFF, Alarms, AsyncInvocation, DeploySettings, FunctionUrl
from planton_build.settings.read import check_settings
from planton_build.settings.table import Table
from planton_build.settings.values import LOG_RETENTION_DAYS

ARNS = [
    "arn:aws:sqs:eu-west-1:123456789012:orders",
    "arn:aws:sqs:eu-west-1:123456789012:orders.fifo",
    "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
    "arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/fsap-0123456789abcdef0",
    "arn:aws:s3:::acme",
    "arn:aws:mq:eu-west-1:123456789012:broker:b:b-1",
    "arn:aws:rds:eu-west-1:123456789012:cluster:docs",
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:broker-a1b2c3",
]
WORDS = [
    "live", "1", "", " ", "Active", "JSON", "Text", "INFO", "NONE", "LATEST", "AT_TIMESTAMP", "Manual", "*",
    "ssm", "s3.amazonaws.com", "/mnt/a", "Allow", "{}", "\x00", "é",
    "BASIC_AUTH", "VPC_SUBNET", "IAM_AUTH", "subnet-1", "kafka:9092",
]  # fmt: skip
KEYS = [
    "alias", "rollout", "provisioned-concurrency", "url", "async", "dead-letter", "tracing", "logging",
    "log_retention", "ephemeral-storage", "file-systems", "snap-start", "image", "code-signing", "tags",
    "permissions", "event-sources", "alarms", "recursion", "runtime-management", "role", "references",
]  # fmt: skip
INNER = [
    "smoke-event", "steps", "step_seconds", "max-errors", "auth", "invoke-mode", "cors", "allow-origins",
    "allow-methods", "max-age", "retries", "on-failure", "format", "level", "group", "arn", "path", "command",
    "update", "version-arn", "id", "principal", "source-arn", "organization", "source", "batch-size",
    "batching-window", "starting-position", "starting-timestamp", "max-concurrency", "filters", "topics",
    "queues", "errors", "duration", "duration-percent", "period", "periods", "actions", "statements",
    "Effect", "Action", "Resource", "type", "kinds", "env", "servers", "access", "uri", "database",
    "collection", "full-document",
]  # fmt: skip

numbers = st.one_of(
    st.integers(-2, 20_000), st.sampled_from([30, 60, 600, 2**63, 16**3000, -(16**3000)]), st.floats()
)
scalars = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(ARNS),
    st.text(max_size=5),
    st.booleans(),
    numbers,
    st.just(dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),
    st.sampled_from([dt.datetime(1, 1, 1), dt.date(2026, 1, 1), dt.time(1)]),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(INNER) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=10,
)
tables = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), values, min_size=1, max_size=4)


def within(found: DeploySettings) -> None:
    assert found.alias is None or 1 <= len(found.alias) <= 128
    assert found.ephemeral_storage is None or 512 <= found.ephemeral_storage <= 10_240
    assert found.log_retention in (None, OFF, *LOG_RETENTION_DAYS)
    assert found.provisioned_concurrency in (None, OFF) or found.provisioned_concurrency >= 1
    assert all(1 <= step <= 99 for step in found.rollout.steps)
    if isinstance(found.asynchronous, AsyncInvocation):
        assert 0 <= found.asynchronous.retries <= 2
        assert 60 <= found.asynchronous.max_age <= 21_600
    if isinstance(found.url, FunctionUrl):
        assert found.url.auth in ("AWS_IAM", "NONE")
        assert found.url.cors is None or 0 <= found.url.cors.max_age <= 86_400
    if isinstance(found.alarms, Alarms):
        assert found.alarms.period % 60 == 0
        assert found.alarms.periods * found.alarms.period <= 604_800
    for source in found.event_sources or ():
        assert 0 <= source.batch_size <= 10_000
        assert 0 <= source.batching_window <= 300
        assert source.source or source.servers
        assert len(source.access) <= 23
        assert len(source.servers) <= 10
        assert all(len(access.uri) <= 220 and access.type for access in source.access)


def read(values) -> tuple[Table, DeploySettings | None]:
    table = Table(values)
    found = read_deploy(table, Path("/nowhere"), lambda index: f"planton.toml:{index}")
    names = {"async": "asynchronous"}
    if table.faults:
        return table, None
    fields = {names.get(key, key.replace("-", "_")): value for key, (_, value) in found.items()}
    return table, DeploySettings(**fields)


@examples(max_examples=300, deadline=None)
@given(tables)
def test_any_values_give_settings_within_the_limits_or_mistakes(values):
    table, found = read(values)
    if found is not None:
        within(found)
    for fault in table.faults:
        assert fault.message.isprintable()
        assert len(fault.message) < 1000
        inside = values
        for part in fault.path[:-1]:
            inside = inside[part]


def test_any_values_against_a_manifest(manifest_at, tmp_path):
    manifest = manifest_at(tmp_path / "lambda.yaml")

    @examples(max_examples=100, deadline=None)
    @given(tables)
    def check(values):
        _, found = read(values)
        if found is not None:
            check_settings(found, manifest)

    check()
