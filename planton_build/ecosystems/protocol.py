"""What a language family must offer to the pipeline: a lock, packages made of members, a handler check."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from planton_build.archive.member import Member
from planton_build.project.function import FunctionProject


@dataclass(frozen=True, slots=True)
class Package:
    """One package of an artifact and the members it brings. `name` is normalised and equals their origin."""

    name: str
    version: str
    members: Sequence[Member]


class Dependencies(Protocol):
    """A function's locked dependencies. Making one is cheap when the lock is fresh: no network, no tools."""

    @property
    def fingerprint(self) -> object:
        """A JSON value that differs whenever the packages' files may differ. Building may complete it."""

    @property
    def lock_path(self) -> Path | None:
        """The lock file that was read or written, or None when there is nothing to lock."""

    @property
    def state(self) -> str:
        """What became of the lock, for people: `up to date`, `created`, …"""

    @property
    def package_count(self) -> int:
        """How many packages go in."""

    @property
    def carries_sources(self) -> bool:
        """Whether a package holds the function's own code, so that loose sources stay out."""

    def packages(self) -> Sequence[Package]:
        """Fetch or build what is missing and return every package as members."""

    def lock_builds(self) -> None:
        """Lock what building takes, such as images and build requirements, or check that it is locked."""

    def generated(self, groups: Sequence[Sequence[Member]], own: Sequence[Member]) -> Sequence[Member]:
        """Return what is made of the packages' members and the function's own, such as bytecode.

        Where such a member has the path of another, it takes its place.
        """


class Ecosystem(Protocol):
    """A language family."""

    def dependencies(self, project: FunctionProject) -> Dependencies:
        """Read the lock, or make it where the mode allows."""

    def check_handler(self, project: FunctionProject, paths: Collection[str]) -> None:
        """Raise HandlerMissing when the archive's paths hold no module for the handler."""
