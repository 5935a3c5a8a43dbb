"""`Containers`: the engine, its images and the pinned tools, opened at a run's first need of them.

A run whose results are all in the store opens nothing and does not import docker.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.cache import Store
from planton_build.errors import EngineUnavailable
from planton_build.events import Listener, StepFinished, StepOutput
from planton_build.runtimes.target import Target

if TYPE_CHECKING:
    from planton_build.ecosystems.python.index import Index
    from planton_build.sandbox.container import Sandbox
    from planton_build.sandbox.images import Images, Toolchain


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection to an engine: where jobs run, and where their images come from."""

    sandbox: Sandbox
    images: Images


class Containers:
    """What all functions of a run share. Safe to use from several threads.

    Args:
        store: keeps the tools' wheels.
        open_index: gives the index that the tools are fetched from, when an image must be made.
        environment: the caller's environment, for the engine's address.
        listener: hears what jobs write.
        jobs: downloads at a time.
    """

    def __init__(
        self,
        store: Store,
        open_index: Callable[[], Index],
        *,
        environment: Mapping[str, str],
        listener: Listener,
        jobs: int,
    ) -> None:
        self._store = store
        self._open_index = open_index
        self._environment = environment
        self._listener = listener
        self._jobs = jobs
        self._opening = threading.Lock()
        self._opened: Opened | None = None

    def open(self, reason: str) -> Opened:
        """Return the connection. `reason` says for a failure's message what needs a container.

        Raises:
            EngineUnavailable: no engine answers.
        """
        from planton_build.sandbox.container import Sandbox
        from planton_build.sandbox.engine import connect
        from planton_build.sandbox.images import Images
        from planton_build.sandbox.strays import remove_strays

        with self._opening:
            if self._opened is None:
                try:
                    engine = connect(self._environment)
                except EngineUnavailable as error:
                    raise EngineUnavailable(f"{reason}, but {error.message}", hint=error.hint) from error
                remove_strays(engine)  # of runs that were killed
                sandbox = Sandbox(engine, self._log)
                self._opened = Opened(sandbox, Images(sandbox, self._toolchain, self._log))
            return self._opened

    def _log(self, what: str, line: str | None) -> None:
        self._listener(StepFinished("", what) if line is None else StepOutput("", what, line))

    def _toolchain(self, target: Target) -> Toolchain:
        """Return the pinned tools of a target's build image."""
        from planton_build.sandbox.images import Toolchain
        from planton_build.sandbox.pins import toolchain_lock

        path = toolchain_lock(target)
        dockerfile = path.parents[1] / "Dockerfile"
        return Toolchain(dockerfile.read_bytes(), path.read_bytes(), lambda: self._wheels(path, target))

    def _wheels(self, path: Path, target: Target) -> list[tuple[str, Path]]:
        from planton_build.ecosystems.python.lock import read_lock
        from planton_build.ecosystems.python.wheelhouse import Wheelhouse

        house = Wheelhouse(
            self._store, self._open_index, jobs=self._jobs, listener=self._listener, function=""
        )
        lock, _ = read_lock(path, target)
        return [(wheel.filename, wheel.path) for wheel in house.fetch(lock).wheels]


def toolchain_digest(target: Target) -> str:
    """Return what stands for a target's pinned tools, without a connection.

    Raises:
        ImageUnavailable: there are none for this target.
    """
    from planton_build.sandbox.images import Toolchain
    from planton_build.sandbox.pins import toolchain_lock

    path = toolchain_lock(target)
    return Toolchain((path.parents[1] / "Dockerfile").read_bytes(), path.read_bytes(), list).digest
