"""`Target`: the pair of runtime and architecture that everything in a build is made for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Architecture: TypeAlias = Literal["x86_64", "arm64"]
"""Lambda's names for its two instruction sets."""


@dataclass(frozen=True, slots=True)
class Target:
    """A runtime on an architecture, with what a package must satisfy to load there.

    `runtime` is Lambda's identifier, for example `python3.13`; `family` its letters (`python`); `version` the
    language's (major, minor). `system` is `al2` or `al2023`, `glibc` its (major, minor).
    """

    runtime: str
    architecture: Architecture
    family: str
    version: tuple[int, int]
    system: Literal["al2", "al2023"]
    glibc: tuple[int, int]

    @property
    def name(self) -> str:
        """Return the short name used in lock file names and messages, such as `python3.13-arm64`."""
        return f"{self.runtime}-{self.architecture}"

    @property
    def machine(self) -> Literal["x86_64", "aarch64"]:
        """Return the name that wheels, ELF and `uname -m` use for the architecture."""
        return "aarch64" if self.architecture == "arm64" else "x86_64"
