"""`Run`: what all Python functions of a run share: indexes, containers, and how locks are treated."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planton_build.cache import Store
from planton_build.events import Listener, Note

if TYPE_CHECKING:
    from planton_build.ecosystems.python.building.containers import Containers
    from planton_build.ecosystems.python.index import Index
    from planton_build.ecosystems.python.locking import LockMode
    from planton_build.ecosystems.python.requirements import IndexOptions
    from planton_build.ecosystems.python.resolver import Upgrade
    from planton_build.ecosystems.python.settings import IndexSettings


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


@dataclass(frozen=True, slots=True)
class Run:
    """What all functions of a run share. See `catalog.ecosystems` for the fields."""

    store: Store
    mode: LockMode
    jobs: int
    listener: Listener
    environment: Mapping[str, str]
    indexes: Indexes
    containers: Containers
    upgrade_everything: bool = False
    upgrade_packages: frozenset[str] = frozenset()

    @property
    def upgrade(self) -> Upgrade | None:
        """Return which pins are not to be kept, None for none."""
        if not self.upgrade_everything and not self.upgrade_packages:
            return None
        from planton_build.ecosystems.python.resolver import Upgrade

        return Upgrade(self.upgrade_everything, self.upgrade_packages)
