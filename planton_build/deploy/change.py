"""`Change`: one difference between what is and what should be, as people are shown it."""

from __future__ import annotations

from dataclasses import dataclass

MASK = "•••"
"""What stands for the value of an environment variable wherever a plan is shown."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, for people. None stands for absent; a `secret` has its values masked already."""

    field: str
    before: str | None
    after: str | None
    secret: bool = False
