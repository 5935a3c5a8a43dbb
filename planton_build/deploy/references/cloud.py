"""AWS for the sources that ask it: opened when the first of them does, in the region that is meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from planton_build.deploy.references.answers import Refused, Wanted
from planton_build.deploy.references.reading import Kept
from planton_build.publish.aws import Aws


class Place(NamedTuple):
    """Clients, and the region to ask."""

    aws: Aws
    region: str


class Cloud:
    """What a command may ask of AWS; None when it asks nothing."""

    def __init__(self, opened: Callable[[], tuple[Aws, str]] | None) -> None:
        self._open = opened
        self._kept: Kept[tuple[Aws, str]] = Kept()

    def at(self, wanted: Wanted, region: str) -> Place:
        """Return where to ask: `region` of the source, else the function's, else the session's.

        Raises Refused when AWS must not be asked, and what opening it raises.
        """
        if self._open is None:
            raise Refused("AWS would have to be asked, which this command does not do")
        aws, ambient = self._kept.get("aws", self._open)
        return Place(aws, region or wanted.region or ambient)
