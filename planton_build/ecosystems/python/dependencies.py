"""`PythonDependencies`: a function's locked packages, fetched, built where they must be, and completed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.archive.member import Member
from planton_build.ecosystems.protocol import Package
from planton_build.ecosystems.python.inputs import DependencyInput
from planton_build.ecosystems.python.lock import LocalProject, Lock, build_lock_path
from planton_build.ecosystems.python.locking import LockOutcome
from planton_build.ecosystems.python.run import Run
from planton_build.errors import LockOutdated, WheelInvalid
from planton_build.project.function import FunctionProject

if TYPE_CHECKING:
    from planton_build.ecosystems.python.building.builder import Builder
    from planton_build.ecosystems.python.building.room import BuildRoom
    from planton_build.ecosystems.python.requirements import IndexOptions
    from planton_build.ecosystems.python.wheelhouse import WheelFile, Wheelhouse


class PythonDependencies:
    """What the pipeline asks of a function's packages. With a fresh lock, making one opens nothing heavy."""

    def __init__(
        self,
        project: FunctionProject,
        run: Run,
        source: DependencyInput | None = None,
        outcome: LockOutcome | None = None,
    ) -> None:
        self._project = project
        self._run = run
        self._source = source
        self._outcome = outcome
        self._room: BuildRoom | None = None
        self._digests = _local_digests(self.lock) if self.lock is not None else []

    def with_lock(self, outcome: LockOutcome) -> PythonDependencies:
        """Return these dependencies with their lock; what was opened to make it stays open."""
        made = PythonDependencies(self._project, self._run, self._source, outcome)
        made._room = self._room
        return made

    @property
    def lock(self) -> Lock | None:
        """Return the lock, None for a function without dependencies."""
        return self._outcome.lock if self._outcome is not None else None

    @property
    def lock_path(self) -> Path | None:
        """Return the lock file that was read or written."""
        return self._outcome.path if self._outcome is not None else None

    @property
    def state(self) -> str:
        """Say for people what became of the lock."""
        return self._outcome.state if self._outcome is not None else "no dependencies"

    @property
    def package_count(self) -> int:
        """Return how many packages go in, local projects included."""
        return len(self.lock.packages) + len(self.lock.local) if self.lock else 0

    @property
    def carries_sources(self) -> bool:
        """Tell whether one of the packages is the function's own project."""
        own = os.path.realpath(self._project.options.source)
        return self.lock is not None and any(
            os.path.realpath(local.folder) == own for local in self.lock.local
        )

    @property
    def fingerprint(self) -> object:
        """Return what decides the packages' files: the lock and, where there is one, the build lock."""
        pins = (
            [(one.name, one.version, sorted(one.hashes)) for one in self.lock.packages] if self.lock else []
        )
        opened = self._room is not None or self._build_lock().is_file()
        digest = self.room.digest if opened else None
        return [*pins, *self._digests, *([digest] if digest is not None else [])]

    @property
    def room(self) -> BuildRoom:
        """Return the way into containers."""
        if self._room is None:
            from planton_build.ecosystems.python.building.room import BuildRoom

            self._room = BuildRoom(
                self._project,
                self._build_lock(),
                self._run.containers,
                mode=self._run.mode,
                upgrade=self._run.upgrade_everything,
            )
        return self._room

    def packages(self) -> Sequence[Package]:
        """Fetch the missing files, build what has no wheel, and return every package as members."""
        if self.lock is None:
            return []
        from planton_build.ecosystems.python.wheelhouse import damaged

        lock, house = self.lock, self.wheelhouse()
        if self._project.options.container == "always":
            self._download_inside(house, lock)
        fetched = house.fetch(lock)
        builder = self._builder(house) if fetched.sdists or lock.local else None
        built = builder.sdists(fetched.sdists) if builder is not None else []
        with ThreadPoolExecutor(1, thread_name_prefix="intact") as executor:
            # Hashing the wheels lets other threads run: the member tables are read meanwhile.
            broken = executor.submit(damaged, fetched.wheels, self._run.store, jobs=self._run.jobs)
            wheels = [*fetched.wheels, *built]
            try:
                packages = self._read(wheels)
            except WheelInvalid:
                if not broken.result():
                    raise
                packages = []
            if broken.result():
                house.fetch(lock)  # damaged wheels are gone from the store: fetch them again
                packages = packages or self._read(wheels)
        if builder is not None:
            packages += builder.local(lock.local, self._digests)
            builder.record()
        return packages

    def generated(self, groups: Sequence[Sequence[Member]], own: Sequence[Member]) -> Sequence[Member]:
        """Return what the function's commands make, and the bytecode of everything."""
        options = self._project.options
        made: list[Member] = []
        if options.commands:
            from planton_build.ecosystems.python.building.commands import command_members

            made = command_members(own, self.room, self._run.store, self._run.listener)
        if options.bytecode:
            replaced = {member.path for member in made}
            sources = [*(member for member in own if member.path not in replaced), *made]
            made += self._bytecode([*groups, sources])
        if self._room is not None:
            self._room.save()
        return made

    def lock_builds(self) -> None:
        """Make the build lock whole, as far as the mode allows, building what that takes.

        Raises:
            LockOutdated: it is not, and may not be written.
        """
        options = self._project.options
        sdists = self.lock.sdists if self.lock is not None else frozenset()
        local = self.lock.local if self.lock is not None else ()
        required = bool(sdists or options.bytecode or options.commands or self._build_lock().is_file())
        if self._run.mode in ("check", "frozen"):
            if required:
                self._check_builds()
            return
        if sdists or (local and (required or self._compiles(local))):
            self.packages()
        if required:
            self.room.pin(f"{self._project.name} is built in a container")
        if self._room is not None:
            self._room.save()  # also of a container that only resolved: its image is the one from now on

    def wheelhouse(self) -> Wheelhouse:
        """Return where this function's files come from."""
        from planton_build.ecosystems.python.wheelhouse import Wheelhouse

        return Wheelhouse(
            self._run.store,
            lambda: self._run.indexes.index(self._options),
            jobs=self._run.jobs,
            listener=self._run.listener,
            function=self._project.name,
        )

    @property
    def _options(self) -> IndexOptions:
        assert self._source is not None  # noqa: S101 - only asked for a function with dependencies
        return self._source.index_options

    def _build_lock(self) -> Path:
        """Return where the build lock is: beside the lock, or beside the manifest where there is none."""
        target = self._project.target
        if self._outcome is not None:
            return build_lock_path(self._outcome.path, target)
        if self._source is not None:
            from planton_build.ecosystems.python.lock import lock_path

            own = self._source.path if self._source.is_locked else lock_path(self._source, target)
            return build_lock_path(own, target)
        return build_lock_without_lock(self._project)

    def _read(self, wheels: Sequence[WheelFile]) -> list[Package]:
        from planton_build.ecosystems.python.wheel import wheel_members

        scripts = self._project.target if self._project.options.scripts else None
        run = self._run
        return [
            Package(
                wheel.name, wheel.version, wheel_members(wheel, run.store, scripts=scripts, jobs=run.jobs)
            )
            for wheel in wheels
        ]

    def _download_inside(self, house: Wheelhouse, lock: Lock) -> None:
        """Let the target's own pip fetch what the store lacks: `--container always`."""
        from planton_build.ecosystems.python.pip_tools.download import ContainerDownload

        missing = house.missing_wheels(lock)
        if not missing:
            return
        reason = "--container always fetches packages in a container"
        room, run = self.room, self._run
        download = ContainerDownload(
            sandbox=lambda: room.sandbox(reason),
            image=lambda: room.image(reason),
            limits=room.limits,
            environment=run.environment,
        )
        settings = run.indexes.settings(self._options)
        for package, filename, sha256 in download.fetch(missing, lock.target, settings, run.store):
            house.keep_downloaded(package, lock.target, filename, sha256)

    def _builder(self, house: Wheelhouse) -> Builder:
        # Only here: what it needs of `packaging` takes 10 ms to import.
        from planton_build.ecosystems.python.building.builder import Builder

        return Builder(self._run, self.room, house, self._options)

    def _bytecode(self, groups: Sequence[Sequence[Member]]) -> list[Member]:
        from planton_build.ecosystems.python.building.bytecode import bytecode_members

        reason = f"{self._project.name} has `bytecode = true`, which the runtime's own interpreter compiles"
        room, run = self.room, self._run
        made = bytecode_members(
            groups,
            self._project.target,
            run.store,
            sandbox=lambda: room.sandbox(reason),
            image=lambda: room.image(reason),
            pin=room.pin(reason),
            limits=room.limits,
            listener=run.listener,
            function=self._project.name,
        )
        return [member for group in made for member in group]

    def _compiles(self, local: Sequence[LocalProject]) -> bool:
        """Tell whether a local project may need the container: only its build shows whether it does."""
        from planton_build.ecosystems.python.building.builder import has_compiled_sources

        return any(has_compiled_sources(one.folder) for one in local)

    def _check_builds(self) -> None:
        locked = self.room.locked
        keys = (
            {f"{one.name}=={one.version}" for one in self.lock.packages if one.name in self.lock.sdists}
            if self.lock
            else set()
        )
        if locked is None or keys - set(locked.builds):
            missing = not self.room.path.is_file()
            raise LockOutdated(
                f"{self.room.path.name} is {'missing' if missing else 'outdated'}: it does not say how "
                f"{', '.join(sorted(keys)) or self._project.name} is built for {self._project.target.name}",
                hint="run `planton-build lock` and commit the build lock",
                file=self.room.path,
            )


def build_lock_without_lock(project: FunctionProject) -> Path:
    """Return where the build lock of a function without dependencies is: beside its manifest."""
    beside = project.manifest.path.with_name(f"{project.name}.{project.target.name}.lock")
    return build_lock_path(beside, project.target)


def _local_digests(lock: Lock) -> list[str]:
    """Return what decides the files of the local projects: their own contents."""
    if not lock.local:
        return []
    from planton_build.ecosystems.python.project_files import project_digest

    return [project_digest(local.folder) for local in lock.local]
