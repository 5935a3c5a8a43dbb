"""`FunctionProject`: a manifest with its source folder, its target and its options."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from planton_build.manifest.document import Manifest
from planton_build.runtimes.target import Target


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What a function's build depends on, after flags, environment, files and defaults were merged.

    `source` is the absolute source folder. `dependencies` is the dependency input to use, absolute, or None
    to look for one (`ecosystems/python/inputs.py` has the order). `include` and `exclude` are gitignore-style
    patterns over the source folder, `package_exclude` over the files that packages bring (archive paths).
    `max_size` is a budget in unzipped bytes.
    """

    source: Path
    dependencies: Path | None = None
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    package_exclude: tuple[str, ...] = ()
    scripts: bool = False
    bucket: str | None = None
    prefix: str = ""
    max_size: int | None = None
    config_files: tuple[Path, ...] = field(default=())
    """The files options came from, nearest first; for messages only."""


@dataclass(frozen=True, slots=True)
class FunctionProject:
    """One function to build."""

    manifest: Manifest
    target: Target
    options: BuildOptions

    @property
    def name(self) -> str:
        """Return the function's name in AWS."""
        return self.manifest.model.spec.function_name
