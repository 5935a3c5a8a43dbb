"""What tests in other processes may ask and set over HTTP: calls, faults, behaviour.

    GET, DELETE          /_planton/calls
    GET, POST, DELETE    /_planton/faults
    GET, POST, DELETE    /_planton/behaviour

Bodies are JSON: a fault has the fields of `Fault`, the behaviour those of `Behaviour` and `throttle` (calls
a second, null for off) and `late_roles` (refusals of each role by its ARN).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from planton_build.emulator.calls import Call, Calls
from planton_build.emulator.faults import KINDS, Fault, Faults
from planton_build.emulator.regions import Regions
from planton_build.emulator.writing import Answer

PRIVATE = "/_planton/"
CALLS_PATH = PRIVATE + "calls"
FAULTS_PATH = PRIVATE + "faults"
BEHAVIOUR_PATH = PRIVATE + "behaviour"
_LARGEST = 1 << 16
_NOT_OVER_HTTP = frozenset({"before", "after", "answer"})
_FAULT_FIELDS: dict[str, Any] = {
    **dict.fromkeys(("matches", "kind", "code", "message"), str),
    **dict.fromkeys(("nth", "times", "status"), int),
    "seconds": (int, float),
}


class Controls:
    """Serves the paths below `PRIVATE`."""

    def __init__(self, calls: Calls, faults: Faults, regions: Regions) -> None:
        self._calls = calls
        self._faults = faults
        self._regions = regions

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Answer a request: 404 for other paths and methods, 400 for a body that does not fit."""
        handlers: dict[tuple[str, str], Callable[[Any], object]] = {
            ("GET", CALLS_PATH): lambda _: [_call(call) for call in self._calls],
            ("DELETE", CALLS_PATH): lambda _: self._calls.clear(),
            ("GET", FAULTS_PATH): lambda _: [_fault(fault) for fault in self._faults.waiting],
            ("POST", FAULTS_PATH): self._add_fault,
            ("DELETE", FAULTS_PATH): lambda _: self._faults.clear(),
            ("GET", BEHAVIOUR_PATH): lambda _: self._behaviour(),
            ("POST", BEHAVIOUR_PATH): self._behave,
            ("DELETE", BEHAVIOUR_PATH): lambda _: self._regions.behave(),
        }
        handler = handlers.get((method, path))
        if handler is None:
            return _json(404, {"message": f"nothing is at {method} {path}"})
        try:
            if len(body) > _LARGEST:
                raise ValueError("too long a body")
            wanted = json.loads(body or b"{}")
            if not isinstance(wanted, dict):
                raise ValueError("not an object")  # noqa: TRY004 - of the request, not of the program
            return _json(200, handler(wanted))
        except (ValueError, TypeError) as error:
            return _json(400, {"message": str(error)})

    def _add_fault(self, wanted: dict[str, Any]) -> object:
        for name, value in wanted.items():
            if name not in _FAULT_FIELDS or not isinstance(value, _FAULT_FIELDS[name]):
                raise ValueError(f"no fault has {name}: {value!r}")
        kind = wanted.get("kind")
        if kind not in KINDS or kind in _NOT_OVER_HTTP or "matches" not in wanted:
            raise ValueError(f"no fault over HTTP is of kind {kind!r}")
        return _fault(self._faults.add(Fault(**wanted)))

    def _behave(self, wanted: dict[str, Any]) -> object:
        behaviour = self._regions.behaviour
        if "throttle" in wanted:
            rate = wanted.pop("throttle")
            self._faults.throttle(None if rate is None else float(rate))
        late = getattr(self._regions.world, "late_roles", None)
        if "late_roles" in wanted and late is not None:
            late.update({str(role): int(times) for role, times in dict(wanted.pop("late_roles")).items()})
        for name, value in wanted.items():
            if name == "now" or not hasattr(behaviour, name):
                raise ValueError(f"no behaviour is called {name}")
            before = getattr(behaviour, name)
            if isinstance(before, dict):
                value = {str(key): tuple(pair) for key, pair in dict(value).items()}  # noqa: PLW2901
            elif isinstance(before, float):
                value = float(value)  # noqa: PLW2901
            elif type(value) is not type(before):
                raise ValueError(f"{name} cannot be {value!r}")
            setattr(behaviour, name, value)
        return self._behaviour()

    def _behaviour(self) -> dict[str, Any]:
        behaviour = self._regions.behaviour
        names = [field.name for field in dataclasses.fields(behaviour) if field.name != "now"]
        return {name: getattr(behaviour, name) for name in names}


def _call(call: Call) -> dict[str, Any]:
    names = ("service", "operation", "account", "region", "status", "error", "changing", "at", "request")
    return {name: getattr(call, name) for name in names}


def _fault(fault: Fault) -> dict[str, Any]:
    return {name: getattr(fault, name) for name in (*_FAULT_FIELDS, "seen")}


def _json(status: int, value: object) -> Answer:
    body = json.dumps(value, default=_bytes).encode()
    return Answer(status, [("content-type", "application/json")], body)


def _bytes(value: object) -> object:
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
