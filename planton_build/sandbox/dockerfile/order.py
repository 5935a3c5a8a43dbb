"""`Order`: everything that decides what a build of a Dockerfile gives, and how long it may take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from planton_build.oci.media_types import ARCHITECTURES
from planton_build.sandbox.dockerfile.context import Context
from planton_build.sandbox.dockerfile.from_lines import Choices
from planton_build.sandbox.dockerfile.parse import Dockerfile

SECONDS = 3600
"""Seconds a build may take unless configured."""
WHAT = "building the image"
Log: TypeAlias = Callable[[str], None]
"""Is told every line that the build's programs write."""


@dataclass(frozen=True, slots=True)
class Order:
    """One build.

    `pins` are what stands for each image that the Dockerfile names, by `FromImage.key`: `name@sha256:…`, or
    the ID (`sha256:…`) of one that only the engine has. `secrets` are files by the ids of secret mounts.
    `fresh` makes the engine run every command again.
    """

    dockerfile: Dockerfile
    context: Context
    choices: Choices
    pins: Mapping[tuple[str, str], str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict, repr=False)
    seconds: float = SECONDS
    fresh: bool = False

    @property
    def platform(self) -> str:
        """Return what to build for, as engines call it."""
        return f"linux/{ARCHITECTURES[self.choices.architecture]}"
