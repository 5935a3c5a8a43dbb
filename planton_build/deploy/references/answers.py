"""What a source can say to a question: a value, that it has none, or that there is one nobody may take."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from planton_build.deploy.references.path import OutputPath


class Absent(Exception):
    """A source does not know the value; the next one is asked. The text is the reason, for people."""


class Refused(Exception):
    """A source has something that must not be taken; no other is asked. The text is the reason."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Wanted:
    """One `valueFrom` with its defaults filled in.

    `field` is the field of the spec, such as `role_arn`; `kind`, `name` and `env` name the resource, `path`
    where in it the value is. `region` is the function's, "" when the manifest leaves it to the session.
    `folder` is where its manifest lies.
    """

    field: str
    kind: str
    name: str
    env: str
    path: OutputPath
    region: str
    folder: Path

    @property
    def resource(self) -> str:
        """Return the resource for people: `AwsIamRole 'worker' in prod`."""
        return f"{self.kind} {self.name!r}" + (f" in {self.env}" if self.env else "")


@dataclass(frozen=True, slots=True)
class Found:
    """A value, several only for a path with `[*]`, and where it was, for people.

    A `secret` came out of something that is kept encrypted: messages must not quote it.
    """

    values: tuple[str, ...] = field(repr=False)
    source: str
    secret: bool = False


class Source(Protocol):
    """One place where values are looked up. Safe to use from several threads; reads everything once."""

    @property
    def remote(self) -> bool:
        """Tell whether AWS is asked."""

    def find(self, wanted: Wanted) -> Found:
        """Return the value.

        Raises Absent, Refused, or the PlantonError of a place that cannot be read.
        """
