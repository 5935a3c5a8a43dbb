"""How fast Lambda's control plane is called: never faster than the account allows, however many threads call.

Lambda allows GetFunction 100 times a second, GetPolicy 15 times, and all its other calls but Invoke together
15 times, in one account and region (AWS Lambda Developer Guide, "Lambda quotas", API requests).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Final

CALLS_PER_SECOND: Final = 12
"""Control-plane calls a second unless told otherwise; the rest of 15 is for the account's other callers."""
_GET_FUNCTION_PER_SECOND: Final = 90
_WINDOW_SECONDS: Final = 1.02
"""A second, and what clocks may be wrong by."""
_ON_ITS_WAY_SECONDS: Final = 2 * _WINDOW_SECONDS
"""A call without an answer counts as long as this: it has arrived by then, though it may take longer."""
_LOOK_SECONDS: Final = 0.02
_ALARMS_PER_SECOND: Final = 3
"""PutMetricAlarm; Amazon CloudWatch User Guide, "CloudWatch service quotas". DeleteAlarms shares it here."""
_DESCRIBE_ALARMS_PER_SECOND: Final = 9
"""DescribeAlarms, from the same page."""
_FREE: Final = frozenset({"Invoke", "InvokeAsync", "InvokeWithResponseStream"})


class Pace:
    """Lets so many calls through that no more arrive within a second; the others wait for their turn.

    When a call leaves, nobody knows when it arrives; but that was before its answer came. So a call counts
    until a second after its answer.
    """

    def __init__(self, per_second: int) -> None:
        self._lock = threading.Lock()
        self._most = per_second
        self._calls: list[_Call] = []

    def wait(self) -> _Call:
        """Return when it is the caller's turn, with what is to be told when the call is answered."""
        while True:
            with self._lock:
                now = time.monotonic()
                self._calls = [call for call in self._calls if call.counts_until > now]
                if len(self._calls) < self._most:
                    mine = _Call(now + _ON_ITS_WAY_SECONDS)
                    self._calls.append(mine)
                    return mine
                left = min(call.counts_until for call in self._calls) - now
            # An answer may come any time, and make it less.
            time.sleep(min(left, _LOOK_SECONDS))


@dataclass(slots=True)
class _Call:
    """A call on its way, or answered lately."""

    counts_until: float

    def answered(self) -> None:
        """Note that the answer has come."""
        self.counts_until = min(self.counts_until, time.monotonic() + _WINDOW_SECONDS)


class _Listener:
    """Listens to botocore's `before-send` and `response-received`, which each try of the SDK's passes.

    Both come in the thread that makes the call, one after the other.
    """

    def __init__(self) -> None:
        self._under_way = threading.local()

    def pace_of(self, operation: str) -> Pace | None:
        """Return the pace of an operation, None for one that is free."""
        raise NotImplementedError

    def before_send(self, *, event_name: str, **_: Any) -> None:
        """Wait before a request of the operation that the event names goes out."""
        pace = self.pace_of(event_name.rpartition(".")[2])
        self._under_way.call = pace.wait() if pace else None

    def response_received(self, **_: Any) -> None:
        """Note that the answer, or none, has come."""
        if (call := getattr(self._under_way, "call", None)) is not None:
            call.answered()


class LambdaPace(_Listener):
    """The pace of a Lambda client."""

    def __init__(self, per_second: int = CALLS_PER_SECOND) -> None:
        super().__init__()
        self._others = Pace(per_second)
        self._named = {
            "GetFunction": Pace(_GET_FUNCTION_PER_SECOND),
            "GetPolicy": Pace(min(per_second, CALLS_PER_SECOND)),
        }

    def pace_of(self, operation: str) -> Pace | None:
        """Return the pace of an operation; invocations are free."""
        return None if operation in _FREE else self._named.get(operation, self._others)


class AlarmPace(_Listener):
    """The pace of a CloudWatch client, as far as alarms are concerned."""

    def __init__(self) -> None:
        super().__init__()
        setting = Pace(_ALARMS_PER_SECOND)
        self._named = {
            "PutMetricAlarm": setting,
            "DeleteAlarms": setting,
            "DescribeAlarms": Pace(_DESCRIBE_ALARMS_PER_SECOND),
        }

    def pace_of(self, operation: str) -> Pace | None:
        """Return the pace of an operation; what is not about alarms is free."""
        return self._named.get(operation)
