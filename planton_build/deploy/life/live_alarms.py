"""The alarms of a live function, as settings would describe them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from planton_build.deploy.aspects.alarms import AlarmsAspect
from planton_build.deploy.aspects.aspect import Scope
from planton_build.settings.model import Alarms


def live_alarms(scope: Scope, note: Callable[[str], None]) -> Alarms | None:
    """Return the alarms of what serves that bear our names, None when there are none.

    Alarms that settings cannot say together, such as with different periods, are left to `note`.
    Raises AccessDenied, CredentialsMissing, AwsUnreachable or DeployRefused.
    """
    watching = AlarmsAspect().observe(scope, None)
    if not watching:
        return None
    found = {alarm.kind: json.loads(alarm.definition) for alarm in watching}
    first: Mapping[str, Any] = next(iter(found.values()))
    alarms = Alarms(
        errors=_threshold(found.get("errors")),
        throttles=_threshold(found.get("throttles")),
        dead_letters=_threshold(found.get("dead_letters")),
        duration=_threshold(found.get("duration")),
        duration_percent=None,
        period=_whole(first.get("Period")) or 60,
        periods=_whole(first.get("EvaluationPeriods")) or 1,
        actions=_texts(first.get("AlarmActions")),
        ok_actions=_texts(first.get("OKActions")),
    )
    if len(found) != len([one for one in (_threshold(one) for one in found.values()) if one is not None]):
        note("the alarms have thresholds that settings cannot say; they are left as they are")
        return None
    return alarms


def _threshold(alarm: Mapping[str, Any] | None) -> int | None:
    """Return a threshold as settings have it: a whole number from 1."""
    value = alarm.get("Threshold") if alarm else None
    return int(value) if isinstance(value, int | float) and value >= 1 and value == int(value) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
