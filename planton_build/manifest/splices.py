"""Replacing ranges of a text, so that it stays known which characters are the original ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Splice:
    """`text[start:end]` becomes `new`."""

    start: int
    end: int
    new: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the text: taken from the original at `origin`, or inserted if that is None."""

    text: str
    origin: int | None

    def cut(self, start: int, end: int) -> Piece:
        """Return the part from `start` to `end`, counted inside the piece."""
        return Piece(self.text[start:end], None if self.origin is None else self.origin + start)


class SplicedText:
    """A text made of pieces of the original and insertions; what no splice touched is the original."""

    def __init__(self, original: str) -> None:
        self.original = original
        self._pieces = [Piece(original, 0)] if original else []

    @property
    def text(self) -> str:
        """The text as it is now."""
        return "".join(piece.text for piece in self._pieces)

    def apply(self, splices: Iterable[Splice]) -> None:
        """Apply splices, all of which count in the text as it is now. They must not overlap.

        Of two insertions at one offset, the first given comes first in the text.
        """
        for splice in sorted(splices, key=lambda one: (one.start, one.end))[::-1]:
            before = self._between(0, splice.start)
            after = self._between(splice.end, None)
            self._pieces = [*before, *([Piece(splice.new, None)] if splice.new else []), *after]

    @property
    def changes(self) -> list[Splice]:
        """All that was done so far as splices of the original, in order, joined where they touch."""
        found: list[Splice] = []
        position, new = 0, ""
        for piece in [*self._pieces, Piece("", len(self.original))]:
            if piece.origin is None:
                new += piece.text
                continue
            if new or piece.origin > position:
                found.append(Splice(position, piece.origin, new))
            position, new = piece.origin + len(piece.text), ""
        return found

    def _between(self, start: int, end: int | None) -> list[Piece]:
        found: list[Piece] = []
        position = 0
        for piece in self._pieces:
            stop = position + len(piece.text)
            low = max(start, position)
            high = stop if end is None else min(end, stop)
            if low < high:
                found.append(piece.cut(low - position, high - position))
            position = stop
        return found
