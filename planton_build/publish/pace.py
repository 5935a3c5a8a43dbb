"""How fast Lambda's control plane is called: never faster than the account allows, however many threads call.

Lambda allows GetFunction 100 times a second, GetPolicy 15 times, and all its other calls but Invoke together
15 times, in one account and region (AWS Lambda Developer Guide, "Lambda quotas", API requests).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Final

CALLS_PER_SECOND: Final = 12
"""Control-plane calls a second unless told otherwise; the rest of 15 is for the account's other callers."""
_GET_FUNCTION_PER_SECOND: Final = 90
_WINDOW_SECONDS: Final = 1.05
"""A little more than a second, because calls do not arrive at the distances at which they leave."""
_ALARMS_PER_SECOND: Final = 3
"""PutMetricAlarm; Amazon CloudWatch User Guide, "CloudWatch service quotas". DeleteAlarms shares it here."""
_DESCRIBE_ALARMS_PER_SECOND: Final = 9
"""DescribeAlarms, from the same page."""
_FREE: Final = frozenset({"Invoke", "InvokeAsync", "InvokeWithResponseStream"})


class Pace:
    """Lets at most so many callers through in a second; the others wait for their turn."""

    def __init__(self, per_second: int) -> None:
        self._lock = threading.Lock()
        self._turns: deque[float] = deque(maxlen=per_second)

    def wait(self) -> None:
        """Return when it is the caller's turn."""
        with self._lock:
            now = turn = time.monotonic()
            if len(self._turns) == self._turns.maxlen:
                turn = max(now, self._turns[0] + _WINDOW_SECONDS)
            self._turns.append(turn)
        if turn > now:
            time.sleep(turn - now)


class LambdaPace:
    """The pace of a Lambda client: a listener for botocore's `before-send`, which retries pass too."""

    def __init__(self, per_second: int = CALLS_PER_SECOND) -> None:
        self._others = Pace(per_second)
        self._get_function = Pace(_GET_FUNCTION_PER_SECOND)
        self._get_policy = Pace(min(per_second, CALLS_PER_SECOND))

    def __call__(self, *, event_name: str, **_: Any) -> None:
        """Wait before a request of the operation that the event names goes out."""
        operation = event_name.rpartition(".")[2]
        if operation in _FREE:
            return
        named = {"GetFunction": self._get_function, "GetPolicy": self._get_policy}
        named.get(operation, self._others).wait()


class AlarmPace:
    """The pace of a CloudWatch client, as far as alarms are concerned."""

    def __init__(self) -> None:
        self._setting = Pace(_ALARMS_PER_SECOND)
        self._describing = Pace(_DESCRIBE_ALARMS_PER_SECOND)

    def __call__(self, *, event_name: str, **_: Any) -> None:
        """Wait before a request of the operation that the event names goes out."""
        operation = event_name.rpartition(".")[2]
        if operation in ("PutMetricAlarm", "DeleteAlarms"):
            self._setting.wait()
        elif operation == "DescribeAlarms":
            self._describing.wait()
