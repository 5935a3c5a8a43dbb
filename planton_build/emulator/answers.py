"""What many answers are made of: pages of lists, times as text, documents as they are shown."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from planton_build.emulator.refusal import invalid
from planton_build.emulator.state import Behaviour

Item = TypeVar("Item")
PAGE = 50
"""Items of a page where the request gives no MaxItems, and the most that most lists allow."""


def stamp() -> str:
    """Return the time as most of Lambda's documents have it, such as `2026-11-25T16:31:00.123+0000`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def short_stamp() -> str:
    """Return the time to the second, as provisioned concurrency has it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "+0000")


def url_stamp() -> str:
    """Return the time as function URLs have it, ending in `Z`."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def shown(document: dict[str, Any]) -> dict[str, Any]:
    """Return the members that an answer has. What the emulator keeps beside them begins with `_`."""
    return {name: value for name, value in document.items() if not name.startswith("_")}


def page(
    items: Iterable[Item], key: Callable[[Item], str], request: dict[str, Any], most: int = PAGE
) -> tuple[list[Item], dict[str, Any]]:
    """Return the page that `Marker` and `MaxItems` ask for, and `NextMarker` when there is more.

    The list is in the order of `key`, which is unique. A page begins behind the last item of the one before
    it, whatever has come or gone meanwhile. `most` is how many items a page has at most.

    Raises:
        Refusal: the marker is none that a page has told.
    """
    rest = sorted(items, key=key)
    marker = request.get("Marker")
    if marker:
        last = _opened(str(marker))
        rest = [item for item in rest if key(item) > last]
    size = min(int(request.get("MaxItems") or most), most)
    if len(rest) <= size:
        return rest, {}
    return rest[:size], {"NextMarker": _sealed(key(rest[size - 1]))}


def _sealed(last: str) -> str:
    """Return a marker: opaque, as AWS's are."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def _opened(marker: str) -> str:
    try:
        return base64.b64decode(marker.encode(), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error) as error:
        raise invalid("Invalid Marker specified.") from error


@dataclass(slots=True)
class Waiting:
    """A state that lasts for `reads` more reads, and until the clock of `Behaviour.now` shows `until`."""

    reads: int
    until: float

    def over(self, behaviour: Behaviour) -> bool:
        """Count one read, and tell whether the state is over."""
        if self.reads > 0:
            self.reads -= 1
            return False
        return behaviour.now() >= self.until


def waiting(behaviour: Behaviour, reads: int | None = None) -> Waiting:
    """Return the wait that a change just made takes: `reads` reads, those of the behaviour without it."""
    return Waiting(behaviour.reads if reads is None else reads, behaviour.now() + behaviour.seconds)
