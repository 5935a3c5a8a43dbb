"""`Calls`: what came in, call by call, whoever asked."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from planton_build.emulator.operations import Document

_READING = re.compile(
    r"(?:Get|List|Describe|Head|Lookup|Invoke|BatchGet|BatchCheck|Search|Filter|Query|Scan|Select|Simulate|"
    r"Validate|Test|Assume|Decode|Estimate|Detect|StartQuery|StopQuery|StartLiveTail|Receive|Check)(?![a-z])"
)
MAX_CALLS = 10_000
"""The oldest calls are forgotten above this many: a local AWS runs for days."""


@dataclass(slots=True)
class Call:
    """A call. `at` is of the monotonic clock in seconds, `moment` the time of day.

    `request` holds the members of a Lambda request (environment values included), and those of a body in
    JSON to other services. `status` is the HTTP status of the answer, 0 while there is none and where the
    connection was cut. `version` is the API version of Lambda's path, such as `20150331`.
    """

    service: str
    operation: str
    account: str
    region: str
    request: Document = field(default_factory=dict, repr=False)
    status: int = 0
    error: str = ""
    version: str = ""
    at: float = field(default_factory=time.monotonic)
    moment: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def name(self) -> str:
        """Return service and operation, such as `lambda.CreateFunction`."""
        return f"{self.service}.{self.operation}"

    @property
    def changing(self) -> bool:
        """Tell whether the operation changes something. Invocations do not count."""
        return not (_READING.match(self.operation) or self.operation.startswith(("GET ", "HEAD ")))


class Calls:
    """All calls in the order in which they came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[Call] = []

    def add(self, call: Call) -> None:
        """Add a call, before it is answered."""
        with self._lock:
            self._calls.append(call)
            if len(self._calls) > MAX_CALLS:
                del self._calls[: MAX_CALLS // 10]

    def __iter__(self) -> Iterator[Call]:
        """Return the calls so far."""
        with self._lock:
            return iter(list(self._calls))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._calls)

    @property
    def changing(self) -> list[Call]:
        """Return the calls that change something, refused ones included."""
        return [call for call in self if call.changing]

    def named(self, *names: str) -> list[Call]:
        """Return the calls of operations (`CreateFunction`) or of service and operation (`s3.PutObject`)."""
        return [call for call in self if call.operation in names or call.name in names]

    def names(self) -> list[str]:
        """Return service and operation of each call."""
        return [call.name for call in self]

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._calls.clear()
