"""`ProjectSource`: a local project on its way into a build container. `Sdist` is its sibling for packages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.ecosystems.python.building.build_lock import LockedBuild
from planton_build.ecosystems.python.building.system import BuildSystem, read_build_system
from planton_build.ecosystems.python.project_files import ProjectFile, copy_project, digest_of
from planton_build.errors import LocalProjectFailed
from planton_build.sandbox.files import Input
from planton_build.sandbox.job import IN

if TYPE_CHECKING:
    from packaging.version import Version

_PYPROJECT = "pyproject.toml"
_NAME = "project"
"""Of the folder in the container: the same whatever it is called here."""


@dataclass(frozen=True, slots=True)
class ProjectSource:
    """A project in a folder. `key` names it in a build lock (`./libs/shared`), `digest` is of `files`."""

    key: str
    folder: Path
    files: Sequence[ProjectFile]
    digest: str

    @property
    def label(self) -> str:
        """Return its name for people."""
        return self.folder.name

    @property
    def input_name(self) -> str:
        """Return what it is called among the inputs of a build."""
        return _NAME

    def is_of(self, recorded: LockedBuild) -> bool:
        """Tell whether a recorded build has all that the project requires now."""
        return recorded.sdist is None and set(self.build_system().requires) <= set(recorded.asked)

    def is_named(self, name: str, version: Version) -> bool:
        """Tell whether a wheel of this name may come of it: any may."""
        return bool(name and version)

    def build_system(self) -> BuildSystem:
        """Return how it is built.

        Raises:
            CompileFailed: its `pyproject.toml` is wrong.
            LocalProjectFailed: the file cannot be read.
        """
        content = None
        for file in self.files:
            if file.relative == _PYPROJECT:
                try:
                    content = file.path.read_bytes()
                except OSError as error:
                    raise LocalProjectFailed(
                        f"{file.path} cannot be read: {error.strerror or error}", file=file.path
                    ) from error
        return read_build_system(content, self.label)

    def inputs(self, staging: Path) -> list[Input]:
        """Copy the project into the new folder `staging` and return that as input of a build.

        Raises:
            LocalProjectFailed: a file cannot be read, or changed since the digest was taken.
        """
        staging.mkdir(parents=True)
        copy_project(list(self.files), staging)
        copied = [replace(file, path=staging / file.relative) for file in self.files]
        if digest_of(copied) != self.digest:
            raise LocalProjectFailed(
                f"{self.label} was changed while it was being built",
                hint="build again when nothing writes to the project",
                file=self.folder,
            )
        return [Input(f"{IN}/{self.input_name}", staging)]
