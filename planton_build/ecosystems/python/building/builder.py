"""`Builder`: a function's sdists and local projects become packages, in a container where that is needed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.ecosystems.protocol import Package
from planton_build.ecosystems.python.building.build_lock import LockedBuild
from planton_build.ecosystems.python.building.room import BuildRoom
from planton_build.ecosystems.python.building.sdist import Sdist
from planton_build.ecosystems.python.building.source import ProjectSource
from planton_build.ecosystems.python.building.wheel_builder import BuiltWheel, WheelBuilder
from planton_build.ecosystems.python.local_project import local_package, package_of
from planton_build.ecosystems.python.lock import LocalProject, Lock, LockedPackage
from planton_build.ecosystems.python.requirements import IndexOptions
from planton_build.ecosystems.python.resolving import resolver_for
from planton_build.ecosystems.python.run import Run
from planton_build.ecosystems.python.wheelhouse import WheelFile, Wheelhouse
from planton_build.errors import ContainerRequired, DependencyInputInvalid, LocalProjectFailed, LockOutdated
from planton_build.events import Note
from planton_build.parallel import each
from planton_build.project.function import FunctionProject

if TYPE_CHECKING:
    from planton_build.sandbox.build_image import BuildImage

_COMPILED = frozenset({".c", ".cc", ".cpp", ".cxx", ".f", ".f90", ".pxd", ".pyx", ".rs", ".go"})
"""Suffixes of sources in languages that are compiled."""


class Builder:
    """Builds what one function needs built, and puts it on record.

    Args:
        run: what all functions share.
        room: the function's way into containers.
        house: where build requirements come from.
        options: the index options of the function's dependency input.
    """

    def __init__(self, run: Run, room: BuildRoom, house: Wheelhouse, options: IndexOptions) -> None:
        self._run = run
        self._room = room
        self._house = house
        self._options = options
        self._project: FunctionProject = room.project
        self._builds: dict[str, LockedBuild] = {}

    def sdists(self, sdists: Sequence[Sdist]) -> list[WheelFile]:
        """Return the wheels of sdists, from the store or built now. Raises as `WheelBuilder.build` does."""
        # One by one: compilers use all processors themselves, and memory is counted per container.
        built = each(sdists, self._sdist, jobs=1)
        return [one.wheel for one in built]

    def local(self, projects: Sequence[LocalProject], digests: Sequence[str]) -> list[Package]:
        """Return local projects as packages, built on the host where they are pure, else in a container."""
        pairs = list(zip(projects, digests, strict=True))
        return [self._local(project, digest) for project, digest in pairs]

    def record(self) -> None:
        """Put everything that was built for this function into its build lock."""
        if self._builds:
            self._room.record(self._builds)
            self._room.save()

    def _sdist(self, sdist: Sdist) -> BuiltWheel:
        target = self._project.target
        reason = f"{sdist.label} has no wheel for {target.name} and must be built from its sdist"

        def say() -> None:
            way = self._house.avoiding(sdist.name, sdist.version, target)
            self._say(f"{reason}, in a container" + (f"; to avoid that, {way}" if way else ""))

        built = self._builder(reason, say).build(sdist)
        self._builds.update(built.builds)
        return built

    def _local(self, project: LocalProject, digest: str) -> Package:
        key = _key_of(project, self._room.path)
        recorded = self._room.locked is not None and key in self._room.locked.builds
        if self._project.options.container == "always" or recorded:
            return self._inside(project, digest, key, f"{project.folder.name} is built in a container")
        try:
            return local_package(
                project,
                self._project.target,
                self._run.store,
                lambda: self._run.indexes.settings(self._options),
                digest=digest,
                scripts=self._project.options.scripts,
                environment=self._run.environment,
            )
        except ContainerRequired as error:
            if self._project.options.container == "never":
                raise
            return self._inside(project, digest, key, error.message)
        except LocalProjectFailed:
            if self._project.options.container == "never" or not has_compiled_sources(project.folder):
                raise
            reason = f"{project.folder.name} cannot be built on this machine and has sources to compile"
            return self._inside(project, digest, key, reason)

    def _inside(self, project: LocalProject, digest: str, key: str, reason: str) -> Package:
        from planton_build.ecosystems.python.project_files import project_files

        source = ProjectSource(key, project.folder, project_files(project.folder), digest)
        built = self._builder(reason, lambda: self._say(f"{reason}; building it in a container")).build(
            source
        )
        self._builds.update(built.builds)
        return package_of(
            built.wheel.filename,
            built.wheel.path,
            self._project.target,
            self._run.store,
            scripts=self._project.options.scripts,
        )

    def _builder(self, reason: str, say: Callable[[], None]) -> WheelBuilder:
        said = False

        def image() -> BuildImage:
            nonlocal said
            if not said and self._project.options.container != "never":
                said = True
                say()
            return self._room.image(reason)

        return WheelBuilder(
            store=self._run.store,
            target=self._project.target,
            image=image,
            sandbox=lambda: self._room.sandbox(reason),
            supply=self,
            recorded=self._room.locked,
            limits=self._room.limits,
            listener=self._run.listener,
            function=self._project.name,
        )

    def _say(self, message: str) -> None:
        self._run.listener(Note(self._project.name, message))

    def resolve(self, requirements: Sequence[str]) -> Sequence[LockedPackage]:
        """Return the exact packages for build requirements: `Supply.resolve`."""
        from planton_build.ecosystems.python.inputs import requirements_input
        from planton_build.ecosystems.python.selection import narrow

        if not self._room.may_lock:
            raise LockOutdated(
                f"{self._room.path.name} does not lock the build requirements {', '.join(requirements)}",
                hint="run `planton-build lock` and commit the build lock",
                file=self._room.path,
            )
        settings = self._run.indexes.settings(self._options)
        with tempfile.TemporaryDirectory(prefix="planton-requires-") as folder:
            path = Path(folder).resolve() / "build-requirements.in"
            path.write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
            source = requirements_input(path, None)
            if source is None:
                return ()
            if source.is_locked:
                raise DependencyInputInvalid(f"build requirements with hashes are not read: {requirements}")
            resolver = resolver_for(self._run, self._project, lambda: self._room, mode="auto")
            found = resolver.resolve(source, self._project.target, settings, pins={})
        index = self._run.indexes.index(self._options)
        return narrow(found, index, jobs=self._run.jobs, sdists=True).packages

    def fetch(self, packages: Sequence[LockedPackage]) -> Sequence[WheelFile | Sdist]:
        """Return the files of locked build requirements: `Supply.fetch`."""
        fetched = self._house.fetch(Lock(self._project.target, tuple(packages)))
        by_name: dict[str, WheelFile | Sdist] = {file.name: file for file in fetched.wheels}
        by_name.update((file.name, file) for file in fetched.sdists)
        return [by_name[package.name] for package in packages]


def _key_of(project: LocalProject, beside: Path) -> str:
    """Return a local project's name in a build lock: its folder, relative to the lock."""
    relative = Path(os.path.relpath(project.folder, beside.parent)).as_posix()
    return relative if relative.startswith(".") else f"./{relative}"


def has_compiled_sources(folder: Path) -> bool:
    """Tell whether a project has sources in a language that is compiled."""
    from planton_build.ecosystems.python.project_files import project_files

    return any(Path(file.relative).suffix.lower() in _COMPILED for file in project_files(folder))
