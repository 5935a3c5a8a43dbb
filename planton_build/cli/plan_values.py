"""A planned function as it is drawn: the values that every form of a plan shares."""

from __future__ import annotations

from dataclasses import dataclass

_SIGNS = {"create": "+", "update": "~", "replace": "-/+"}
STYLES = {"create": "green", "update": "yellow", "replace": "red"}
NONE = "(none)"
"""What stands for a value that is taken away."""


@dataclass(frozen=True, slots=True)
class Row:
    """One change. None stands for absent."""

    field: str
    now: str | None
    planned: str | None


@dataclass(frozen=True, slots=True)
class ShownStep:
    """A step in words, and how it is undone when a later one fails; "" when it is not."""

    text: str
    undone: str


@dataclass(frozen=True, slots=True)
class PlanView:
    """A planned function, ready to be drawn: every text is one line, no secret is left.

    `code` says in one phrase how the code changes, `packages` in several; both are empty when it is not
    known. `sources` are fields with where their values came from. `ordered` tells that the order of the
    steps means something: traffic moves, or things besides the function change.
    """

    name: str
    region: str
    verb: str
    rows: tuple[Row, ...]
    code: str = ""
    packages: tuple[str, ...] = ()
    sources: tuple[tuple[str, str], ...] = ()
    steps: tuple[ShownStep, ...] = ()
    ordered: bool = False
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def sign(self) -> str:
        """Return the sign that begins its line."""
        return _SIGNS.get(self.verb, "=")
