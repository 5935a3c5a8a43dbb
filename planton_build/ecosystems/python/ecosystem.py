"""`PythonEcosystem`: the steps of this folder in the order the pipeline asks for them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.audit.handler import check_python_handler
from planton_build.cache import Store
from planton_build.ecosystems.protocol import Package
from planton_build.ecosystems.python.inputs import DependencyInput, find_input
from planton_build.ecosystems.python.lock import Lock
from planton_build.ecosystems.python.locking import LockMode, ensure_lock
from planton_build.errors import WheelInvalid
from planton_build.events import Listener, Note
from planton_build.project.function import FunctionProject

if TYPE_CHECKING:
    from planton_build.ecosystems.python.index import Index
    from planton_build.ecosystems.python.requirements import IndexOptions
    from planton_build.ecosystems.python.resolver import Upgrade
    from planton_build.ecosystems.python.settings import IndexSettings
    from planton_build.runtimes.target import Target


@dataclass(frozen=True, slots=True)
class PythonDependencies:
    """A function's locked packages. `state` says for people what became of the lock."""

    lock: Lock | None
    lock_path: Path | None
    fingerprint: object
    carries_sources: bool
    state: str
    fetch: Callable[[], Sequence[Package]]

    @property
    def package_count(self) -> int:
        """Return how many packages go in, local projects included."""
        return len(self.lock.packages) + len(self.lock.local) if self.lock else 0

    def packages(self) -> Sequence[Package]:
        """Fetch the missing wheels and return every package as members."""
        return self.fetch()


class Indexes:
    """Index settings and indexes of a run: read and opened at the first need, shared by all functions."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self._pip: IndexSettings | None = None
        self._opened: dict[IndexSettings, Index] = {}

    def settings(self, options: IndexOptions | None = None) -> IndexSettings:
        """Return pip's settings with the options of an input merged over them."""
        from planton_build.ecosystems.python.settings import read_pip_settings

        with self._lock:
            if self._pip is None:
                self._pip = read_pip_settings()
        return options.applied_to(self._pip) if options else self._pip

    def index(self, options: IndexOptions | None = None) -> Index:
        """Return the index for an input's options."""
        from planton_build.ecosystems.python.index import Index

        settings = self.settings(options)
        with self._lock:
            if settings not in self._opened:
                self._opened[settings] = Index(settings, warn=self._warn)
            return self._opened[settings]

    def _warn(self, message: str) -> None:
        self._listener(Note("", message))


class PythonEcosystem:
    """Python functions, from wheels. See `catalog.ecosystems` for the arguments."""

    def __init__(
        self,
        store: Store,
        *,
        mode: LockMode,
        jobs: int,
        listener: Listener,
        environment: Mapping[str, str],
        upgrade: bool = False,
        upgrade_packages: Collection[str] = (),
    ) -> None:
        self._store = store
        self._mode = mode
        self._jobs = jobs
        self._listener = listener
        self._environment = environment
        self._upgrade = (upgrade, frozenset(upgrade_packages))
        self._indexes = Indexes(listener)

    def dependencies(self, project: FunctionProject) -> PythonDependencies:
        """Read the lock, or make it where the mode allows."""
        source = find_input(project, variables=self._environment)
        if source is None:
            return PythonDependencies(None, None, [], False, "no dependencies", list)
        outcome = ensure_lock(
            project,
            source,
            _LateResolver(self._environment),
            self._narrower(source.index_options),
            settings=self._indexes.settings,
            mode=self._mode,
            upgrade=self._wanted_upgrade(),
            store=self._store,
            environment=self._environment,
            listener=self._listener,
        )
        lock = outcome.lock
        digests = _local_digests(lock)
        own = os.path.realpath(project.options.source)
        return PythonDependencies(
            lock=lock,
            lock_path=outcome.path,
            fingerprint=[*_pins(lock), *digests],
            carries_sources=any(os.path.realpath(local.folder) == own for local in lock.local),
            state=outcome.state,
            fetch=lambda: self._packages(project, lock, digests, source.index_options),
        )

    def _packages(
        self, project: FunctionProject, lock: Lock, digests: Sequence[str], options: IndexOptions
    ) -> Sequence[Package]:
        from planton_build.ecosystems.python.wheel import wheel_members
        from planton_build.ecosystems.python.wheelhouse import Wheelhouse, damaged

        wheelhouse = Wheelhouse(
            self._store,
            lambda: self._indexes.index(options),
            jobs=self._jobs,
            listener=self._listener,
            function=project.name,
        )
        wheels = wheelhouse.fetch(lock)
        scripts = project.target if project.options.scripts else None

        def read() -> list[Package]:
            return [
                Package(
                    wheel.name,
                    wheel.version,
                    wheel_members(wheel, self._store, scripts=scripts, jobs=self._jobs),
                )
                for wheel in wheels
            ]

        with ThreadPoolExecutor(1, thread_name_prefix="intact") as executor:
            # Hashing the wheels lets other threads run: the member tables are read meanwhile.
            broken = executor.submit(damaged, wheels, self._store, jobs=self._jobs)
            try:
                packages = read()
            except WheelInvalid:
                if not broken.result():
                    raise
                packages = []
            if broken.result():
                wheelhouse.fetch(lock)  # damaged wheels are gone from the store: fetch them again
                packages = packages or read()
        return [*packages, *self._local_packages(project, lock, digests, options)]

    def _local_packages(
        self, project: FunctionProject, lock: Lock, digests: Sequence[str], options: IndexOptions
    ) -> Sequence[Package]:
        if not lock.local:
            return []
        # Only here: what it needs of `packaging` takes 10 ms to import.
        from planton_build.ecosystems.python.local_project import local_package

        return [
            local_package(
                local,
                project.target,
                self._store,
                lambda: self._indexes.settings(options),
                digest=digest,
                scripts=project.options.scripts,
                environment=self._environment,
            )
            for local, digest in zip(lock.local, digests, strict=True)
        ]

    def check_handler(self, project: FunctionProject, paths: Collection[str]) -> None:
        """Raise HandlerMissing when the archive's paths hold no module for the handler."""
        check_python_handler(project.manifest, paths)

    def _narrower(self, options: IndexOptions) -> Callable[[Lock], Lock]:
        def narrowed(lock: Lock) -> Lock:
            from planton_build.ecosystems.python.selection import narrow

            return narrow(lock, self._indexes.index(options), jobs=self._jobs)

        return narrowed

    def _wanted_upgrade(self) -> Upgrade | None:
        everything, packages = self._upgrade
        if not everything and not packages:
            return None
        from planton_build.ecosystems.python.resolver import Upgrade

        return Upgrade(everything, packages)


@dataclass(frozen=True, slots=True)
class _LateResolver:
    """The uv resolver, imported only when a lock must be made."""

    environment: Mapping[str, str]

    def resolve(
        self,
        dependencies: DependencyInput,
        target: Target,
        settings: IndexSettings,
        *,
        pins: Mapping[str, str],
        upgrade: Upgrade | None = None,
    ) -> Lock:
        from planton_build.ecosystems.python.resolver import Upgrade, UvResolver

        resolver = UvResolver(self.environment)
        return resolver.resolve(dependencies, target, settings, pins=pins, upgrade=upgrade or Upgrade())


def _pins(lock: Lock) -> list[object]:
    """Return what decides the files of the locked packages."""
    return [(package.name, package.version, sorted(package.hashes)) for package in lock.packages]


def _local_digests(lock: Lock) -> list[str]:
    """Return what decides the files of the local projects: their own contents."""
    if not lock.local:
        return []
    from planton_build.ecosystems.python.project_files import project_digest

    return [project_digest(local.folder) for local in lock.local]
