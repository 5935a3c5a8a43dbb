"""Versions, status, pruning and the end of functions, against the emulated AWS."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from planton_build.deploy.functions import Deployment
from planton_build.deploy.life.destroy import destroy_all, find_doomed
from planton_build.deploy.life.prune import Policy, decide, plan_pruning, prune
from planton_build.deploy.life.status import status_of
from planton_build.deploy.life.target import Target
from planton_build.deploy.life.versions import LATEST, PublishedVersion, list_versions, versions_and_latest
from planton_build.deploy.patience import Patience
from planton_build.emulator.serve import Emulator
from planton_build.errors import FunctionUnknown
from planton_build.manifest.document import Manifest
from planton_build.publish.aws import Aws

LIVE = '[deploy]\nalias = "live"\n'
NOW = datetime(2030, 1, 1, tzinfo=UTC)
QUICK = Policy(1, timedelta())


@pytest.fixture
def published(
    manifest: Callable[..., Manifest], upload: Callable[[str], str], deploy: Callable[..., Any]
) -> Callable[..., Manifest]:
    """Deploy so many versions, each with code and commit of its own; the alias `live` serves the last."""

    def make(count: int = 3, settings: str = LIVE, **fields: str) -> Manifest:
        for number in range(1, count + 1):
            found = manifest(key=upload(f"version = {number}"), settings=settings, **fields)
            deploy(found, commit=f"{number:x}".rjust(40, "c"))
        return found

    return make


def test_versions_are_listed_newest_first_with_what_they_were_built_from(
    published: Callable[..., Manifest], aws: Aws
) -> None:
    published(3)
    found = list_versions("render", aws, "eu-west-1")
    assert [one.number for one in found] == ["3", "2", "1"]
    assert [dict(one.aliases) for one in found] == [{"live": 1.0}, {}, {}]
    assert found[0].record is not None and found[0].record.commit == "3".rjust(40, "c")
    assert len({one.code_sha256 for one in found}) == 3
    assert all(one.size > 0 and one.runtime == "python3.13" for one in found)


def test_all_pages_of_versions_are_read(published: Callable[..., Manifest], aws: Aws, client: Any) -> None:
    published(1)
    for number in range(60):
        client.update_function_configuration(FunctionName="render", Description=f"{number}")
        client.publish_version(FunctionName="render")
    assert len(list_versions("render", aws, "eu-west-1")) == 61


def test_a_description_of_somebody_else_is_shown_as_it_is(
    published: Callable[..., Manifest], aws: Aws, client: Any
) -> None:
    published(1)
    client.update_function_configuration(FunctionName="render", Timeout=9)
    client.publish_version(FunctionName="render", Description="by hand")
    newest = list_versions("render", aws, "eu-west-1")[0]
    assert (newest.record, newest.origin) == (None, "by hand")


def test_versions_of_no_function_are_an_error(aws: Aws) -> None:
    with pytest.raises(FunctionUnknown, match="no function render is deployed in eu-west-1"):
        list_versions("render", aws, "eu-west-1")


def test_latest_comes_last(published: Callable[..., Manifest], target: Callable[..., Target]) -> None:
    published(2)
    assert [one.number for one in versions_and_latest(target())] == ["2", "1", LATEST]


def test_status_says_what_serves_and_that_it_is_as_wanted(
    published: Callable[..., Manifest], target: Callable[..., Target], plan_of: Callable[..., Deployment]
) -> None:
    found = published(2, LIVE + "provisioned-concurrency = 2\n[deploy.url]\nauth = 'AWS_IAM'\n")
    [one] = status_of([target(manifest=found)], lambda manifest: plan_of(manifest).plan)
    assert (one.sync, one.state, one.last_update, one.changes) == ("in sync", "Active", "Successful", 0)
    assert [serving.shown for serving in one.serving] == ["live: 2"]
    assert list(one.urls or {}) == ["live"]
    assert [(ready.qualifier, ready.requested, ready.status) for ready in one.provisioned] == [
        ("live", 2, "READY")
    ]


def test_status_of_what_differs_is_not_there_or_was_only_named(
    published: Callable[..., Manifest],
    manifest: Callable[..., Manifest],
    target: Callable[..., Target],
    plan_of: Callable[..., Deployment],
    client: Any,
) -> None:
    found = published(1)
    client.update_function_configuration(FunctionName="render", Timeout=9)
    unbuilt = manifest("unbuilt")
    targets = [target(manifest=found), target("unbuilt", unbuilt), target("other"), target()]
    states = status_of(targets, lambda one: plan_of(one).plan)
    assert [one.sync for one in states] == ["differs", "not deployed", "not deployed", "unknown"]
    assert states[0].changes
    assert "s3" in states[1].note


def test_weights_are_shown(
    published: Callable[..., Manifest], target: Callable[..., Target], client: Any
) -> None:
    published(2)
    client.update_alias(
        FunctionName="render", Name="live", RoutingConfig={"AdditionalVersionWeights": {"1": 0.25}}
    )
    [one] = status_of([target()], lambda _: pytest.fail("nothing to plan"))
    assert one.serving[0].shown == "live: 2 (75 %), 1 (25 %)"


def numbers(versions: Any) -> list[str]:
    return [getattr(one, "version", one).number for one in versions]


def version(number: int, age_days: int = 100, **more: Any) -> PublishedVersion:
    when = (NOW - timedelta(days=age_days)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return PublishedVersion(str(number), None, "", None, when, **more)


@pytest.mark.parametrize(
    ("versions", "policy", "provisioned", "doomed"),
    [
        ([version(3), version(2), version(1)], Policy(1, timedelta(days=7)), (), ["1", "2"]),
        ([version(3), version(2), version(1)], Policy(5, timedelta(days=7)), (), []),
        ([version(3), version(2, aliases={"live": 0.1}), version(1)], QUICK, (), ["1"]),
        ([version(3), version(2), version(1)], QUICK, ("2",), ["1"]),
        ([version(3, 1), version(2, 6), version(1, 8)], Policy(1, timedelta(days=7)), (), ["1"]),
        ([version(2), PublishedVersion("1", None, "", None, "?")], QUICK, (), []),
        ([version(2), PublishedVersion("$LATEST", None, "", None, "")], QUICK, (), []),
    ],
)
def test_what_may_go(
    target: Callable[..., Target],
    versions: list[PublishedVersion],
    policy: Policy,
    provisioned: tuple[str, ...],
    doomed: list[str],
) -> None:
    found = decide(target(), versions, policy, NOW, provisioned)
    assert numbers(found.doomed) == doomed
    assert len(found.kept) == len(versions) - len(doomed)
    assert all(kept.why for kept in found.kept)


def test_old_versions_are_deleted_and_the_served_one_stays(
    published: Callable[..., Manifest], target: Callable[..., Target], aws: Aws, client: Any, cloud: Emulator
) -> None:
    published(4)
    client.update_alias(FunctionName="render", Name="live", FunctionVersion="1")
    plan = plan_pruning(target(), QUICK, NOW)
    assert numbers(plan.doomed) == ["2", "3"]
    done = prune(plan)
    assert (numbers(done.deleted), done.spared) == (["2", "3"], ())
    assert numbers(list_versions("render", aws, "eu-west-1")) == ["4", "1"]
    assert done.size == plan.size > 0


def test_young_versions_stay(published: Callable[..., Manifest], target: Callable[..., Target]) -> None:
    published(3)
    plan = plan_pruning(target(), Policy(1, timedelta(days=7)), datetime.now(UTC))
    assert plan.doomed == ()


def test_an_alias_that_moves_meanwhile_saves_its_version(
    published: Callable[..., Manifest], target: Callable[..., Target], aws: Aws, client: Any
) -> None:
    published(3)
    plan = plan_pruning(target(), QUICK, NOW)
    client.create_alias(
        FunctionName="render",
        Name="canary",
        FunctionVersion="3",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}},
    )
    done = prune(plan)
    assert numbers(done.deleted) == ["1"]
    assert [(kept.version.number, kept.why) for kept in done.spared] == [("2", "served by canary by now")]


def test_a_version_that_others_may_invoke_by_its_number_stays(
    published: Callable[..., Manifest], target: Callable[..., Target], aws: Aws, client: Any
) -> None:
    published(4)
    client.add_permission(
        FunctionName="render",
        Qualifier="1",
        StatementId="edge",
        Action="lambda:InvokeFunction",
        Principal="edgelambda.amazonaws.com",
    )
    sqs = aws.client("sqs", "eu-west-1")
    queue = sqs.create_queue(QueueName="jobs")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    client.create_event_source_mapping(FunctionName="render:2", EventSourceArn=arn)
    done = prune(plan_pruning(target(), QUICK, NOW))
    assert numbers(done.deleted) == ["3"]
    assert [kept.why for kept in done.spared] == [
        "a policy lets others invoke it by its number",
        "an event source invokes it",
    ]


def test_pruning_again_makes_no_change(
    published: Callable[..., Manifest], target: Callable[..., Target], cloud: Emulator
) -> None:
    published(3)
    prune(plan_pruning(target(), QUICK, NOW))
    cloud.calls.clear()
    prune(plan_pruning(target(), QUICK, NOW))
    assert [call.name for call in cloud.calls if call.changing] == []


def test_a_version_deleted_by_somebody_else_is_no_failure(
    published: Callable[..., Manifest], target: Callable[..., Target], aws: Aws, client: Any
) -> None:
    published(3)
    plan = plan_pruning(target(), QUICK, NOW)
    client.delete_function(FunctionName="render", Qualifier="1")
    prune(plan)
    assert numbers(list_versions("render", aws, "eu-west-1")) == ["3"]


SETTINGS = """
[deploy]
alias = "live"
log-retention = 7
[deploy.url]
auth = "NONE"
[[deploy.event-sources]]
source = "arn:aws:sqs:eu-west-1:123456789012:jobs"
[deploy.alarms]
"""


def test_a_function_goes_with_what_hangs_on_it(
    published: Callable[..., Manifest],
    target: Callable[..., Target],
    aws: Aws,
    patience: Patience,
    cloud: Emulator,
) -> None:
    aws.client("sqs", "eu-west-1").create_queue(QueueName="jobs")
    cloudwatch = aws.client("cloudwatch", "eu-west-1")
    cloudwatch.put_metric_alarm(
        AlarmName="planton-deploy/renderer/errors",
        MetricName="Errors",
        Namespace="AWS/Lambda",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        Statistic="Sum",
        ComparisonOperator="GreaterThanThreshold",
    )
    published(2, SETTINGS, timeoutSeconds="20")
    [doomed] = find_doomed([target()], logs=True)
    assert (doomed.versions, doomed.aliases, len(doomed.urls)) == (2, ("live",), 1)
    assert [mapping.source.rpartition(":")[2] for mapping in doomed.event_sources] == ["jobs"]
    assert len(doomed.alarms) == 4
    assert doomed.log_group == "/aws/lambda/render"
    cloud.behaviour.deletion_reads = 2
    destroy_all([doomed], patience=patience)
    assert cloud.region().functions == {}
    assert all(one["State"] == "Deleting" for one in cloud.region().event_sources.values())
    left = cloudwatch.describe_alarms()["MetricAlarms"]
    assert [one["AlarmName"] for one in left] == ["planton-deploy/renderer/errors"]
    assert aws.client("logs", "eu-west-1").describe_log_groups()["logGroups"] == []


def test_logs_stay_unless_asked_for(
    published: Callable[..., Manifest], target: Callable[..., Target], aws: Aws, patience: Patience
) -> None:
    published(1, LIVE + "log-retention = 7\n")
    destroy_all(find_doomed([target()], logs=False), patience=patience)
    groups = aws.client("logs", "eu-west-1").describe_log_groups()["logGroups"]
    assert [one["logGroupName"] for one in groups] == ["/aws/lambda/render"]


def test_destroying_what_is_gone_changes_nothing(
    published: Callable[..., Manifest], target: Callable[..., Target], cloud: Emulator, patience: Patience
) -> None:
    published(1)
    doomed = find_doomed([target()], logs=True)
    destroy_all(doomed, patience=patience)
    destroy_all(doomed, patience=patience)  # as after a lost answer
    again = find_doomed([target()], logs=False)
    assert again[0].empty
    cloud.calls.clear()
    destroy_all(again, patience=patience)
    assert [call.name for call in cloud.calls if call.changing] == []
