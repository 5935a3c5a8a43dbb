"""`PythonEcosystem`: Python functions, from wheels, and from sources where there are no wheels."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from planton_build.audit.handler import check_python_handler
from planton_build.cache import Store
from planton_build.ecosystems.python.building.containers import Containers
from planton_build.ecosystems.python.dependencies import PythonDependencies
from planton_build.ecosystems.python.inputs import DependencyInput, find_input
from planton_build.ecosystems.python.lock import Lock
from planton_build.ecosystems.python.locking import LockMode, ensure_lock
from planton_build.ecosystems.python.resolving import resolver_for
from planton_build.ecosystems.python.run import Indexes, Run
from planton_build.events import Listener
from planton_build.project.function import FunctionProject


class PythonEcosystem:
    """Python functions. See `catalog.ecosystems` for the arguments."""

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
        indexes = Indexes(listener)
        self._run = Run(
            store=store,
            mode=mode,
            jobs=jobs,
            listener=listener,
            environment=environment,
            indexes=indexes,
            containers=Containers(
                store, indexes.index, environment=environment, listener=listener, jobs=jobs
            ),
            upgrade_everything=upgrade,
            upgrade_packages=frozenset(upgrade_packages),
        )

    def dependencies(self, project: FunctionProject) -> PythonDependencies:
        """Read the lock, or make it where the mode allows."""
        run = self._run
        source = find_input(project, variables=run.environment)
        if source is None:
            return PythonDependencies(project, run)
        before = PythonDependencies(project, run, source)
        outcome = ensure_lock(
            project,
            source,
            resolver_for(run, project, lambda: before.room),
            lambda lock: self._narrowed(lock, project, source),
            settings=run.indexes.settings,
            mode=run.mode,
            upgrade=run.upgrade,
            store=run.store,
            environment=run.environment,
            listener=run.listener,
        )
        return before.with_lock(outcome)

    def _narrowed(self, lock: Lock, project: FunctionProject, source: DependencyInput) -> Lock:
        from planton_build.ecosystems.python.requirements import read_requirements
        from planton_build.ecosystems.python.selection import narrow

        run = self._run
        written = source.path if source.kind == "requirements" else None
        no_binary = read_requirements(written, variables=run.environment).no_binary if written else ()
        return narrow(
            lock,
            run.indexes.index(source.index_options),
            jobs=run.jobs,
            sdists=project.options.container != "never",
            no_binary=no_binary,
        )

    def check_handler(self, project: FunctionProject, paths: Collection[str]) -> None:
        """Raise HandlerMissing when the archive's paths hold no module for the handler."""
        check_python_handler(project.manifest, project.handler, paths)
