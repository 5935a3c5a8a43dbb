from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.deploy.desired import desired_state
from planton_build.deploy.role.breadth import Comparison, compare
from planton_build.deploy.role.matching import action_matches, resource_covers
from planton_build.deploy.role.policy import role_policy
from planton_build.deploy.role.read import Granted, ObservedRole
from planton_build.manifest.document import Manifest
from planton_build.settings.model import DeploySettings, EventSource, RoleSettings

ACCOUNT, REGION = "123456789012", "eu-west-1"
GROUP = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/render"
LOGS = {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": f"{GROUP}:*"}


@pytest.fixture
def judged(manifest: Callable[..., Manifest]) -> Callable[..., Comparison]:
    """Compare a role of some statements with what `render` needs; its log group is made for it."""

    def run(*grants: Mapping[str, Any], untold: tuple[str, ...] = (), **written: Any) -> Comparison:
        desired = desired_state(manifest(), DeploySettings(log_retention=30, **written))
        role = ObservedRole("worker", "arn", {}, (Granted("inline", grants),), untold)
        return compare(role, [role_policy(desired, ACCOUNT, REGION)])

    return run


def broader(found: Comparison) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.kind, one.actions) for one in found.broader]


@pytest.mark.parametrize(
    "place", [f"{GROUP}:*", f"{GROUP}:log-stream:*", GROUP.replace("eu-west-1", "*") + ":*"]
)
def test_a_role_with_just_what_is_needed_is_neither_broad_nor_short(
    judged: Callable[..., Comparison], place: str
) -> None:
    found = judged({**LOGS, "Resource": place})
    assert found.missing == ()
    assert [one.kind for one in found.broader] == (["resource"] if ":*:123" in place else [])


@pytest.mark.parametrize(
    ("grant", "kind", "actions"),
    [
        ({"Action": "*", "Resource": "*"}, "everything", ("*",)),
        ({"NotAction": "iam:*", "Resource": "*"}, "everything", ("*",)),
        ({"Action": ["s3:*"], "Resource": ["*"]}, "service", ("s3:*",)),
        ({"Action": "s3:*", "Resource": "arn:aws:s3:::*"}, "service", ("s3:*",)),
        ({"Action": "s3:*", "Resource": "arn:aws:s3:::mine"}, "wildcard", ("s3:*",)),
        ({"Action": "logs:*", "Resource": f"{GROUP}:*"}, "wildcard", ("logs:*",)),
        ({"Action": "dynamodb:Get*", "NotResource": "x"}, "wildcard", ("dynamodb:Get*",)),
        ({"Action": "dynamodb:GetItem", "Resource": "*"}, "unneeded", ("dynamodb:GetItem",)),
        (
            {"Action": "logs:PutLogEvents", "Resource": "arn:aws:logs:*:*:*"},
            "resource",
            ("logs:PutLogEvents",),
        ),
    ],
)
def test_what_is_broader_is_found(
    judged: Callable[..., Comparison], grant: dict[str, Any], kind: str, actions: tuple[str, ...]
) -> None:
    assert broader(judged(LOGS, {"Effect": "Allow", **grant})) == [(kind, actions)]


def test_a_denial_is_never_too_broad(judged: Callable[..., Comparison]) -> None:
    assert judged(LOGS, {"Effect": "Deny", "Action": "*", "Resource": "*"}).broader == ()


def test_a_right_on_a_named_thing_is_the_codes_own_business(judged: Callable[..., Comparison]) -> None:
    grant = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::mine/*"}
    assert judged(LOGS, grant).broader == ()


def test_where_statements_say_what_the_code_does_any_other_right_is_too_much(
    judged: Callable[..., Comparison],
) -> None:
    own = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::mine/*"}
    wild = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::mine/*"}
    other = {**own, "Action": "s3:PutObject"}
    assert broader(judged(LOGS, own, other, role=RoleSettings((own,)))) == [("unneeded", ("s3:PutObject",))]
    assert judged(LOGS, wild, role=RoleSettings((wild,))).broader == ()


def test_what_is_missing_is_found_with_its_reason(judged: Callable[..., Comparison]) -> None:
    (missing,) = judged(LOGS, tracing="Active").missing
    assert missing.actions == ("xray:PutTelemetryRecords", "xray:PutTraceSegments")
    assert "tracing" in missing.reason


def test_a_right_on_something_else_is_still_missing(judged: Callable[..., Comparison]) -> None:
    (missing,) = judged({**LOGS, "Resource": GROUP.replace("render", "other") + ":*"}).missing
    assert missing.actions == ("logs:CreateLogStream", "logs:PutLogEvents")


def test_nothing_is_said_to_be_missing_when_policies_could_not_be_read(
    judged: Callable[..., Comparison],
) -> None:
    assert judged(untold=("which policies",)).missing == ()


@pytest.mark.parametrize(
    "grant",
    [
        {},
        {"Effect": "Allow"},
        {"Effect": "Allow", "Action": 5, "Resource": None},
        {"Effect": "Allow", "Action": ["", "s3"], "Resource": [""]},
        {"Effect": "Allow", "Action": "*" * 5000, "Resource": "*a" * 2000},
    ],
)
def test_statements_that_make_no_sense_do_no_harm(
    judged: Callable[..., Comparison], grant: dict[str, Any]
) -> None:
    assert judged(LOGS, grant).missing == ()


def test_the_case_of_an_action_does_not_count() -> None:
    assert action_matches("S3:get*", "s3:GetObject")
    assert not action_matches("s3:get", "s3:GetObject")


@settings(max_examples=200, deadline=None)
@given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
def test_patterns_match_as_those_of_a_shell(pattern: str, text: str) -> None:
    import fnmatch

    assert resource_covers(pattern, text) is fnmatch.fnmatchcase(text, pattern)


def managed(name: str) -> tuple[Mapping[str, Any], ...]:
    """The statements of an AWS managed policy, as moto ships them."""
    import json

    from moto.iam.aws_managed_policies import aws_managed_policies_data

    return tuple(json.loads(aws_managed_policies_data)[name]["Document"]["Statement"])


PLACE = "eu-west-1:123456789012"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("AWSLambdaSQSQueueExecutionRole", {"event_sources": (EventSource(f"arn:aws:sqs:{PLACE}:jobs"),)}),
        (
            "AWSLambdaKinesisExecutionRole",
            {"event_sources": (EventSource(f"arn:aws:kinesis:{PLACE}:stream/s/consumer/c:1"),)},
        ),
        (
            "AWSLambdaDynamoDBExecutionRole",
            {"event_sources": (EventSource(f"arn:aws:dynamodb:{PLACE}:table/t/stream/1"),)},
        ),
        ("AWSXRayDaemonWriteAccess", {"tracing": "Active"}),
    ],
)
def test_no_more_is_derived_than_what_aws_itself_attaches(
    judged: Callable[..., Comparison], name: str, written: dict[str, Any]
) -> None:
    assert judged(LOGS, *managed(name), **written).missing == ()
    assert judged(LOGS, **written).missing != ()


def test_what_connects_to_a_vpc_is_what_aws_attaches_for_it(manifest: Callable[..., Manifest]) -> None:
    needed = role_policy(desired_state(manifest(subnets="[{value: subnet-a}]")), ACCOUNT, REGION)
    role = ObservedRole("w", "arn", {}, (Granted("aws", managed("AWSLambdaVPCAccessExecutionRole")),))
    assert compare(role, [needed]).missing == ()


def test_kafka_needs_what_aws_attaches_and_what_the_cluster_itself_asks(
    judged: Callable[..., Comparison],
) -> None:
    source = EventSource(f"arn:aws:kafka:{PLACE}:cluster/c/1", topics=("orders",))
    (missing,) = judged(LOGS, *managed("AWSLambdaMSKExecutionRole"), event_sources=(source,)).missing
    assert all(action.startswith("kafka-cluster:") for action in missing.actions)
