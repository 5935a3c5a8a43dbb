"""`Faults`: what goes wrong on command, call by call.

Connections that break, answers that are lost, errors, delays, and things that happen just before or after a
call. They hold for every service that is served.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from planton_build.emulator.calls import Call
from planton_build.emulator.writing import Answer

Kind: TypeAlias = Literal["error", "answer", "drop", "lose", "lose_connection", "delay", "before", "after"]
KINDS: tuple[Kind, ...] = (
    "error", "answer", "drop", "lose", "lose_connection", "delay", "before", "after",
)  # fmt: skip
_DECIDING = frozenset({"error", "answer", "drop", "lose", "lose_connection"})
ANY, CHANGING = "*", "changing"


@dataclass(slots=True)
class Fault:
    """What happens to the calls that match: from the `nth` that comes on, `times` times.

    `matches` is an operation (`CreateFunction`), a service with one (`s3.PutObject`), a service with `.*`,
    `changing` for all calls that change something, or `*`. The kinds are:

    - `error`: the call is refused with `code`, `status` and `message`, and has no effect;
    - `answer`: it is answered with `status` and `body`, and has no effect;
    - `drop`: the connection is closed before the effect;
    - `lose`: the effect happens, the answer is a 500;
    - `lose_connection`: the effect happens, the connection is closed without an answer;
    - `delay`: it takes `seconds` more;
    - `before`, `after`: `happens` is called, before or after the effect.

    Of several that would decide what a call ends with, the first that was added does, and the others wait.
    """

    matches: str
    kind: Kind
    nth: int = 1
    times: int = 1
    code: str = "ServiceException"
    status: int = 500
    message: str = "An error on command"
    seconds: float = 0.0
    body: Answer | None = None
    happens: Callable[[], object] | None = field(default=None, repr=False)
    seen: int = 0

    def concerns(self, call: Call) -> bool:
        """Tell whether a call matches."""
        if self.matches == CHANGING:
            return call.changing
        return self.matches in {ANY, call.operation, call.name, f"{call.service}.*"}


class Bucket:
    """A token bucket: `rate` calls a second, and as many at once as `burst`."""

    def __init__(self, rate: float, burst: float, now: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._now = rate, burst, now
        self._tokens, self._at = burst, now()

    def take(self) -> bool:
        """Take a token; tell whether there was one."""
        now = self._now()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Faults:
    """The faults that wait for their calls, and the throttling of Lambda's control plane."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._faults: list[Fault] = []
        self._buckets: dict[tuple[str, str, str], Bucket] = {}
        self._rates: dict[str, float] = {}
        self._now: Callable[[], float] = time.monotonic

    def add(self, fault: Fault) -> Fault:
        """Let a fault wait for its calls."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def error(
        self, matches: str, code: str, status: int, message: str, *, nth: int = 1, times: int = 1
    ) -> Fault:
        """Refuse calls."""
        return self.add(Fault(matches, "error", nth, times, code, status, message))

    def drop(self, matches: str, *, nth: int = 1, times: int = 1) -> Fault:
        """Close the connection before the effect."""
        return self.add(Fault(matches, "drop", nth, times))

    def lose(self, matches: str, *, nth: int = 1, times: int = 1, connection: bool = False) -> Fault:
        """Let the effect happen, and answer 500, or close the connection without an answer."""
        return self.add(Fault(matches, "lose_connection" if connection else "lose", nth, times))

    def delay(self, matches: str, seconds: float, *, nth: int = 1, times: int = 1) -> Fault:
        """Let calls take longer."""
        return self.add(Fault(matches, "delay", nth, times, seconds=seconds))

    def before(self, matches: str, happens: Callable[[], object], *, nth: int = 1, times: int = 1) -> Fault:
        """Call something just before the effect, in the server's thread. An exception of it is a 500."""
        return self.add(Fault(matches, "before", nth, times, happens=happens))

    def after(self, matches: str, happens: Callable[[], object], *, nth: int = 1, times: int = 1) -> Fault:
        """Call something after the effect, before it is answered."""
        return self.add(Fault(matches, "after", nth, times, happens=happens))

    def throttle(
        self, control: float | None, *, get_function: float | None = None, get_policy: float | None = None
    ) -> None:
        """Answer 429 to calls of Lambda's control plane above these many a second; None turns it off.

        AWS has 15 for all calls together but for GetFunction (100), GetPolicy (15) and Invoke, in each
        account and region (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html). As many
        may come at once. What is not given is not limited.
        """
        with self._lock:
            rates = {"": control, "GetFunction": get_function, "GetPolicy": get_policy}
            self._rates = {name: rate for name, rate in rates.items() if rate is not None}
            self._buckets.clear()

    def throttles(self, call: Call) -> bool:
        """Tell whether a call comes too soon."""
        if call.service != "lambda" or call.operation.startswith("Invoke"):
            return False
        name = call.operation if call.operation in {"GetFunction", "GetPolicy"} else ""
        with self._lock:
            if (rate := self._rates.get(name)) is None:
                return False
            key = (call.account, call.region, name)
            bucket = self._buckets.setdefault(key, Bucket(rate, rate, self._now))
            return not bucket.take()

    def of(self, call: Call) -> list[Fault]:
        """Return what happens to a call. At most one of these decides what it ends with."""
        with self._lock:
            return list(self._due(call))

    def _due(self, call: Call) -> Iterator[Fault]:
        decided = False
        for fault in list(self._faults):
            deciding = fault.kind in _DECIDING
            if not fault.concerns(call) or (deciding and decided):
                continue
            fault.seen += 1
            if fault.seen >= fault.nth:
                decided = decided or deciding
                if fault.seen >= fault.nth + fault.times - 1:
                    self._faults.remove(fault)
                yield fault

    @property
    def waiting(self) -> list[Fault]:
        """Return the faults that have not happened, or not as often as they will."""
        with self._lock:
            return list(self._faults)

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        with self._lock:
            self._faults.clear()
            self._rates.clear()
            self._buckets.clear()
