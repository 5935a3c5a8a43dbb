"""`Manifest`: one validated `AwsLambda` document, and where in its file each value stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from planton_build.errors import Finding
from planton_build.manifest.model import AwsLambda

FieldPath: TypeAlias = tuple[str | int, ...]
"""Snake-case keys and list indexes from the document's root: `("spec", "role_arn", "value")`."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file; both numbers count from 1."""

    line: int
    column: int


def nearest(positions: Mapping[FieldPath, Position], field: FieldPath) -> Position | None:
    """Return where a field, or the nearest parent that is written down, stands."""
    for end in range(len(field), -1, -1):
        if (found := positions.get(field[:end])) is not None:
            return found
    return None


@dataclass(frozen=True, slots=True)
class Manifest:
    """One `AwsLambda` document of a file.

    `index` is the document's number in its file, from 0. `digest` is the SHA-256 (hex) of the whole file as
    it was read, by which write-back notices an edit in between. `positions` holds where each written value
    starts (its key, when the value is empty). `warnings` are not errors: it can be built and deployed.
    """

    path: Path
    index: int
    model: AwsLambda
    positions: Mapping[FieldPath, Position]
    digest: str
    warnings: tuple[Finding, ...] = ()

    def position(self, *field: str | int) -> Position | None:
        """Return where a field, or the nearest parent that is written down, stands."""
        return nearest(self.positions, field)
