"""The emulator's controls in short, for the tests of deployments.

Names stand for Lambda functions and operations; whatever is not here is at `emulator`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from planton_build.emulator.faults import Fault
from planton_build.emulator.serve import Emulator
from planton_build.emulator.state import Behaviour, Function, Transition, new_revision
from planton_build.emulator.writing import Answer


class _Names(list[str]):
    """The operations that were called. Clearing it forgets them."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(call.operation for call in emulator.calls)
        self._emulator = emulator

    def clear(self) -> None:
        self._emulator.calls.clear()


class Front:
    """What tests ask and set. A failure, a refusal and the like happen to the next call that fits."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator

    @property
    def behaviour(self) -> Behaviour:
        return self.emulator.behaviour

    @property
    def calls(self) -> list[str]:
        """All calls, in order."""
        return _Names(self.emulator)

    @property
    def changes(self) -> list[str]:
        """The calls that change something, in order, refused ones included."""
        return [call.operation for call in self.emulator.calls.changing]

    def sent(self, operation: str) -> list[dict[str, Any]]:
        """The requests of one operation."""
        return [call.request for call in self.emulator.calls.named(operation)]

    def refuse(self, operation: str, status: int, code: str, message: str, times: int = 1) -> None:
        """Answer the next calls with an error."""
        self.emulator.faults.error(operation, code, status, message, times=times)

    def answer(self, operation: str, document: dict[str, Any]) -> None:
        """Answer the next call with a JSON document."""
        headers = [("content-type", "application/x-amz-json-1.1")]
        body = Answer(200, headers, json.dumps(document).encode())
        self.emulator.faults.add(Fault(operation, "answer", body=body))

    def lose(self, operation: str) -> None:
        """Carry the next call out, and answer 500 as if nothing were known of it."""
        self.emulator.faults.lose(operation)

    def before(self, operation: str, happens: Callable[[], object], times: int = 1) -> None:
        """Let something happen just before the next calls."""
        self.emulator.faults.before(operation, happens, times=times)

    def after(self, operation: str, happens: Callable[[], object]) -> None:
        """Let something happen once, after the effect of the next call."""
        self.emulator.faults.after(operation, happens)

    def function(self, name: str = "render") -> Function:
        """What the emulator holds of a function."""
        return self.emulator.region().functions[name]

    def touch(self, name: str) -> None:
        """Give a function a new revision, as an unmanaged change would."""
        self.function(name).latest.configuration["RevisionId"] = new_revision()

    def make_busy(self, name: str, polls: int, state: str = "Active") -> None:
        """Let an update be in progress that nobody here has started."""
        latest = self.function(name).latest
        running = latest.running
        self.set_status(name, State=state, LastUpdateStatus="InProgress")
        latest.transition = Transition(polls, time.monotonic(), creation=False, previous=running)

    def set_status(self, name: str, **status: Any) -> None:
        """Set what GetFunction tells of a function, which ends a change of its; None leaves a key out."""
        latest = self.function(name).latest
        latest.transition = None
        wanted = latest.configuration | status
        latest.configuration = {key: value for key, value in wanted.items() if value is not None}

    def fail(self, name: str, code: str, reason: str) -> None:
        """Let the next creation or update of a function fail."""
        self.behaviour.failures[name] = (code, reason)
