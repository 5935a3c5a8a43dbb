from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from planton_build.deploy.aspects.alarms import AlarmsAspect
from planton_build.deploy.aspects.aspect import Scope
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.emulator.serve import Emulator
from planton_build.settings.model import Alarms

ALARMS = AlarmsAspect()
TOPIC = "arn:aws:sns:eu-west-1:123456789012:ops"


@pytest.fixture
def wanted(desired: Callable[..., DesiredFunction]) -> Callable[..., Any]:
    return lambda alias="live", **members: ALARMS.wanted(desired(alias, alarms=Alarms(**members)))


def alarms(scope: Scope) -> dict[str, Any]:
    found = scope.aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"]: alarm for alarm in found}


def test_the_alarms_watch_the_alias(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    go("alarms", scope, None, wanted(actions=(TOPIC,)))
    made = alarms(scope)
    assert sorted(made) == [
        "planton-deploy/render/live/dead-letters",
        "planton-deploy/render/live/duration",
        "planton-deploy/render/live/errors",
        "planton-deploy/render/live/throttles",
    ]
    errors, duration = made["planton-deploy/render/live/errors"], made["planton-deploy/render/live/duration"]
    assert (errors["Namespace"], errors["MetricName"], errors["Statistic"]) == ("AWS/Lambda", "Errors", "Sum")
    assert errors["Dimensions"] == [
        {"Name": "FunctionName", "Value": "render"},
        {"Name": "Resource", "Value": "render:live"},
    ]
    assert errors["TreatMissingData"] == "notBreaching"
    assert errors["AlarmActions"] == [TOPIC]
    assert (duration["ExtendedStatistic"], duration["Threshold"]) == ("p99", 18_000)  # 90 % of 20 s


def test_without_an_alias_they_watch_the_function_and_not_those_of_its_aliases(
    emulator: Emulator, scope: Scope, bare: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    go("alarms", scope, None, wanted())
    assert ALARMS.observe(bare, None) is None
    go("alarms", bare, None, wanted(None))
    assert ALARMS.observe(bare, None) == wanted(None)
    assert len(alarms(scope)["planton-deploy/render/errors"]["Dimensions"]) == 1
    go("alarms", bare, wanted(None), None)
    assert ALARMS.observe(scope, None) == wanted()


def test_alarms_of_others_stay(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    client = scope.aws.client("cloudwatch")
    others = ["planton-deploy/render/live/by-hand", "planton-deploy/renderer/errors", "errors"]
    for name in others:
        client.put_metric_alarm(
            AlarmName=name, MetricName="M", Namespace="N", Statistic="Sum", Period=60, EvaluationPeriods=1,
            Threshold=1, ComparisonOperator="GreaterThanThreshold",
        )  # fmt: skip
    go("alarms", scope, None, wanted())
    go("alarms", scope, ALARMS.observe(scope, None), None)
    assert sorted(alarms(scope)) == sorted(others)


def test_more_alarms_than_a_page_holds(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    """moto has one page only, so it is cut in two on its way."""
    tokens: list[str | None] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        tokens.append(params.get("NextToken"))

    def cut(parsed: dict[str, Any], **_: Any) -> None:
        found = parsed["MetricAlarms"]
        first = {"MetricAlarms": found[:2], "NextToken": "more"}
        parsed |= first if tokens[-1] is None else {"MetricAlarms": found[2:]}

    go("alarms", scope, None, wanted())
    events = scope.aws.client("cloudwatch").meta.events
    listeners: dict[str, Callable[..., None]] = {
        "before-parameter-build.cloudwatch.DescribeAlarms": note,
        "after-call.cloudwatch": cut,
    }
    for name, listener in listeners.items():
        events.register(name, listener)
    found = ALARMS.observe(scope, None)
    for name, listener in listeners.items():
        events.unregister(name, listener)
    assert found == wanted()
    assert tokens == [None, "more"]


def test_what_is_left_out_is_not_watched(wanted: Callable[..., Any]) -> None:
    assert [alarm.kind for alarm in wanted(throttles=None, duration_percent=None)] == [
        "dead_letters",
        "errors",
    ]
    assert wanted(errors=None, throttles=None, dead_letters=None, duration_percent=None) is None


def test_milliseconds_go_before_a_share_of_the_timeout(wanted: Callable[..., Any]) -> None:
    changes = ALARMS.changes(wanted(), wanted(duration=500))
    assert changes == [
        Change("alarms.duration", "from 18000 ms (p99) within 60 s", "from 500 ms (p99) within 60 s")
    ]


def test_a_change_of_who_is_told_is_shown(wanted: Callable[..., Any]) -> None:
    changes = ALARMS.changes(wanted(), wanted(actions=(TOPIC,)))
    assert len(changes) == 4
    assert all(TOPIC in (change.after or "") and TOPIC not in (change.before or "") for change in changes)


def test_the_order_of_actions_is_no_difference(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    go("alarms", scope, None, wanted(actions=(TOPIC, TOPIC + "2")))
    state = wanted(actions=(TOPIC + "2", TOPIC))
    assert ALARMS.observe(scope, state) == state


def test_an_alarm_changed_by_hand_is_set_right_and_an_undo_brings_it_back(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    state = wanted()
    go("alarms", scope, None, state)
    name = "planton-deploy/render/live/errors"
    scope.aws.client("cloudwatch").put_metric_alarm(
        AlarmName=name, MetricName="Other", Namespace="Mine", Statistic="Average", Period=300,
        EvaluationPeriods=3, DatapointsToAlarm=2, Threshold=2.5, ComparisonOperator="LessThanThreshold",
        Dimensions=[{"Name": "A", "Value": "b"}],
    )  # fmt: skip
    found = ALARMS.observe(scope, state)
    assert [change.field for change in ALARMS.changes(found, state)] == ["alarms.errors"]
    go("alarms", scope, found, state)
    assert ALARMS.observe(scope, state) == state
    go("alarms", scope, state, found)
    assert ALARMS.observe(scope, state) == found
    assert alarms(scope)[name]["DatapointsToAlarm"] == 2


def test_an_alarm_that_was_silenced_stays_silent(
    emulator: Emulator, scope: Scope, wanted: Callable[..., Any], go: Callable[..., None]
) -> None:
    go("alarms", scope, None, wanted())
    name = "planton-deploy/render/live/errors"
    scope.aws.client("cloudwatch").disable_alarm_actions(AlarmNames=[name])
    state = wanted(errors=3)
    found = ALARMS.observe(scope, state)
    assert ALARMS.observe(scope, wanted()) == wanted()
    go("alarms", scope, found, state)
    assert alarms(scope)[name]["ActionsEnabled"] is False
    assert alarms(scope)[name]["Threshold"] == 3
