"""How long a deployment goes on when Lambda, IAM or EC2 needs time."""

from __future__ import annotations

import time
from dataclasses import dataclass

from planton_build.deploy.refusals import Refusal

MAX_CONFLICTS = 3
"""How often one change is sent again because of another's update."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on, in seconds.

    `settle` bounds one wait for Lambda; its own waiters give up after 300 s, and functions in a VPC may need
    longer. `propagation` is for roles that were just made (IAM is consistent within two minutes, says
    Terraform's provider), `network` for EC2 throttling (the same source gives nine minutes). `appear` is for
    a function that was just created and is not found. `throttle` is for AWS saying "too many requests" to the
    SDK's own tries too. `poll` is the longest pause between two looks.
    """

    settle: float = 600.0
    propagation: float = 120.0
    network: float = 540.0
    appear: float = 10.0
    throttle: float = 120.0
    poll: float = 1.0


class Tries:
    """Counts what may be sent again, and how long, within one change."""

    def __init__(self, patience: Patience) -> None:
        self._started = time.monotonic()
        self._patience = patience
        self._pause = patience.poll
        self._conflicts = 0

    def another(self, refusal: Refusal, after: float = 0.0) -> bool:
        """Tell whether to send once more after this refusal, having paused where time is what it takes.

        `after` is how many seconds AWS asks to wait at least.
        """
        if refusal in (Refusal.BUSY, Refusal.STALE):
            self._conflicts += 1
            return self._conflicts <= MAX_CONFLICTS
        waits = {
            Refusal.PROPAGATING: self._patience.propagation,
            Refusal.THROTTLED_BY_EC2: self._patience.network,
            Refusal.THROTTLED: self._patience.throttle,
            Refusal.NOT_YET: self._patience.appear,
        }
        left = waits.get(refusal, 0.0) - (time.monotonic() - self._started)
        if left <= 0 or after > left:  # not before AWS says
            return False
        time.sleep(min(max(self._pause, after), left))
        self._pause = min(self._pause * 2, 10 * self._patience.poll)
        return True
