"""CloudWatch alarms on what serves: errors, throttles, duration, dead letters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Final, TypeAlias

from planton_build.deploy.aspects.aspect import UNMANAGED, Answer, Call, Phase, Scope, Unmanaged
from planton_build.deploy.aspects.reading import ask, mappings, pages, text
from planton_build.deploy.change import Change
from planton_build.deploy.desired import DesiredFunction
from planton_build.settings.model import OFF, Alarms

_PREFIX: Final = "planton-deploy"
_METRICS: Final = {
    "errors": "Errors",
    "throttles": "Throttles",
    "dead_letters": "DeadLetterErrors",
    "duration": "Duration",
}
"""Our alarms, and the metric of AWS/Lambda that each watches. All come in the dimensions FunctionName, and
FunctionName with Resource, which is `name:alias` (AWS Lambda Developer Guide, "Types of metrics")."""
_KINDS: Final = {kind.replace("_", "-"): kind for kind in _METRICS}
_COMPARED: Final = (
    "AlarmDescription",
    "OKActions",
    "AlarmActions",
    "InsufficientDataActions",
    "MetricName",
    "Namespace",
    "Statistic",
    "ExtendedStatistic",
    "Dimensions",
    "Period",
    "Unit",
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "Threshold",
    "ComparisonOperator",
    "TreatMissingData",
    "Metrics",
)
"""What DescribeAlarms tells and PutMetricAlarm takes. Whether actions are enabled is not compared: who has
silenced an alarm for a while wants it silent."""
_GONE: Final = frozenset({"ResourceNotFound", "ResourceNotFoundException"})


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm: of which kind, and its definition as members of PutMetricAlarm, in canonical JSON.

    Any definition fits, so that one which somebody has changed can be restored as it was. `muted` tells that
    its actions are disabled.
    """

    kind: str
    definition: str
    muted: bool = field(default=False, compare=False)


Watching: TypeAlias = tuple[Alarm, ...]
"""Alarms, sorted by kind; never empty."""


class AlarmsAspect:
    """The configured alarms. Ours are those named `planton-deploy/FUNCTION[/ALIAS]/KIND`."""

    name: ClassVar[str] = "alarms"
    phase: ClassVar[Phase] = Phase.SERVING
    at_creation: ClassVar[bool] = False

    def wanted(self, desired: DesiredFunction) -> Watching | Unmanaged | None:
        """Return the alarms; that on the duration is a share of the function's timeout or milliseconds."""
        alarms = desired.settings.alarms
        if alarms is None:
            return UNMANAGED
        if alarms is OFF:
            return None
        thresholds = {
            "errors": alarms.errors,
            "throttles": alarms.throttles,
            "dead_letters": alarms.dead_letters,
            "duration": _duration(alarms, desired.timeout_seconds),
        }
        alias = desired.settings.alias or ""
        return _sorted(
            Alarm(kind, _canonical(_definition(kind, threshold, alarms, desired.name, alias)))
            for kind, threshold in thresholds.items()
            if threshold is not None
        )

    def observe(self, scope: Scope, wanted: Watching | None) -> Watching | None:  # noqa: ARG002
        """Read our alarms. The prefix of a function's is that of its aliases' too, whose names go on."""
        client = scope.aws.client("cloudwatch", scope.region)
        prefix = _prefix(scope)

        def read() -> Answer:
            request = partial(client.describe_alarms, AlarmNamePrefix=prefix, AlarmTypes=["MetricAlarm"])
            return {"all": list(pages(lambda mark: request(**mark), "MetricAlarms", *_MARKS))}

        answer = ask(scope, "reading the alarms on", read) or {}
        return _sorted(
            Alarm(kind, _canonical(alarm), muted=alarm.get("ActionsEnabled") is False)
            for alarm in mappings(answer, "all")
            if (kind := _KINDS.get(text(alarm, "AlarmName").removeprefix(prefix)))
        )

    def changes(self, before: Watching | None, after: Watching | None) -> list[Change]:
        """Return one difference for each alarm."""
        old, new = _by_kind(before), _by_kind(after)
        changes = []
        for kind in _METRICS:
            one, other = old.get(kind), new.get(kind)
            if one == other:
                continue
            was, will = _shown(one), _shown(other)
            if was == will:  # the difference is in what is not shown, such as who is told
                was, will = _shown(one, full=True), _shown(other, full=True)
            changes.append(Change(f"{self.name}.{kind}", was, will))
        return changes

    def calls(self, scope: Scope, before: Watching | None, after: Watching | None) -> Sequence[Call]:
        """Return what sets the alarms that differ, and deletes those that are no more."""
        client = scope.aws.client("cloudwatch", scope.region)
        old, new = _by_kind(before), _by_kind(after)
        calls = []
        for kind in _METRICS:
            one, other = old.get(kind), new.get(kind)
            name = _prefix(scope) + kind.replace("_", "-")
            if other is None and one is not None:
                delete = partial(client.delete_alarms, AlarmNames=[name])
                calls.append(Call("DeleteAlarms", f"deleting the {_spoken(kind)} alarm of", delete, _GONE))
            elif other is not None and one != other:
                muted = other.muted or (one is not None and one.muted)
                request = {"AlarmName": name, "ActionsEnabled": not muted, **json.loads(other.definition)}
                put = partial(client.put_metric_alarm, **request)
                calls.append(Call("PutMetricAlarm", f"setting the {_spoken(kind)} alarm of", put))
        return calls


_MARKS: Final = ("NextToken", "NextToken")


def _prefix(scope: Scope) -> str:
    return "/".join(part for part in (_PREFIX, scope.name, scope.qualifier) if part) + "/"


def _duration(alarms: Alarms, timeout_seconds: int) -> int | None:
    """Return the threshold in milliseconds; one that is written as such goes before a share."""
    if alarms.duration is not None or alarms.duration_percent is None:
        return alarms.duration
    return timeout_seconds * 10 * alarms.duration_percent


def _definition(kind: str, threshold: int, alarms: Alarms, name: str, alias: str) -> dict[str, Any]:
    metric = _METRICS[kind]
    statistic = {"ExtendedStatistic": "p99"} if kind == "duration" else {"Statistic": "Sum"}
    resource = [{"Name": "Resource", "Value": f"{name}:{alias}"}] if alias else []
    return {
        "AlarmDescription": f"{metric} of the function {name}{f':{alias}' if alias else ''}",
        "AlarmActions": list(alarms.actions),
        "OKActions": list(alarms.ok_actions),
        "MetricName": metric,
        "Namespace": "AWS/Lambda",
        **statistic,
        "Dimensions": [{"Name": "FunctionName", "Value": name}, *resource],
        "Period": alarms.period,
        "EvaluationPeriods": alarms.periods,
        "Threshold": threshold,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
    }


def _canonical(alarm: Answer) -> str:
    """Return what is compared of an alarm as JSON, in one way of writing it."""
    found = {key: alarm[key] for key in _COMPARED if alarm.get(key) not in (None, [], "")}
    if found.get("DatapointsToAlarm") == found.get("EvaluationPeriods"):
        found.pop("DatapointsToAlarm", None)
    for key in ("AlarmActions", "OKActions", "InsufficientDataActions"):
        if isinstance(found.get(key), list):
            found[key] = sorted(map(str, found[key]))
    if isinstance(found.get("Dimensions"), list):
        found["Dimensions"] = sorted(found["Dimensions"], key=lambda one: json.dumps(one, default=str))
    if isinstance(found.get("Threshold"), int):
        found["Threshold"] = float(found["Threshold"])
    return json.dumps(found, sort_keys=True, default=str)


def _sorted(alarms: Iterable[Alarm]) -> Watching | None:
    return tuple(sorted(alarms, key=lambda alarm: alarm.kind)) or None


def _by_kind(alarms: Watching | None) -> dict[str, Alarm]:
    return {alarm.kind: alarm for alarm in alarms or ()}


def _spoken(kind: str) -> str:
    return kind.replace("_", " ")


def _shown(alarm: Alarm | None, *, full: bool = False) -> str | None:
    if alarm is None:
        return None
    found = json.loads(alarm.definition)
    if full or "Threshold" not in found:
        return ", ".join(f"{key} {_plain(value)}" for key, value in found.items())
    unit = " ms (p99)" if found.get("ExtendedStatistic") == "p99" else ""
    times = found.get("EvaluationPeriods", 1)
    within = f" in {times} periods" if times != 1 else ""
    return f"from {_plain(found['Threshold'])}{unit} within {found.get('Period', '?')} s{within}"


def _plain(value: object) -> str:
    match value:
        case float():
            return f"{value:g}"
        case list():
            return " ".join(_plain(item) for item in value)
        case dict():
            return " ".join(str(item) for item in value.values())
        case _:
            return str(value)
