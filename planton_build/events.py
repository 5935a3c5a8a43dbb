"""What the core tells its caller while it works. The core prints nothing; a command listens and shows it.

Events are plain values. A listener must be quick and must not raise; it may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["bytes", "files", "packages", "steps"]


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step of one function began. `total` counts `unit`s, or is None when it is not known yet."""

    function: str
    step: str
    total: int | None = None
    unit: Unit = "steps"


@dataclass(frozen=True, slots=True)
class StepAdvanced:
    """`amount` more units of a step are done."""

    function: str
    step: str
    amount: int


@dataclass(frozen=True, slots=True)
class StepOutput:
    """A program that a step runs has written a line. `step` says what it does, such as `building crcmod`."""

    function: str
    step: str
    line: str


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step ended well. `detail` is one short phrase for people, such as `38 wheels, 12 fetched`."""

    function: str
    step: str
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know. `warning` means: true today, a problem tomorrow."""

    function: str
    message: str
    level: Literal["info", "warning"] = "info"


Event: TypeAlias = StepStarted | StepAdvanced | StepOutput | StepFinished | Note
Listener: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""
    del event
