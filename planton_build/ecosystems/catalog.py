"""Which language families there are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from planton_build.cache import Store
from planton_build.events import Listener

if TYPE_CHECKING:
    from planton_build.ecosystems.protocol import Ecosystem
    from planton_build.ecosystems.python.locking import LockMode


def ecosystems(
    store: Store,
    *,
    mode: LockMode,
    jobs: int,
    listener: Listener,
    environment: Mapping[str, str],
    upgrade: bool = False,
    upgrade_packages: Collection[str] = (),
) -> Callable[[str], Ecosystem | None]:
    """Return the function that gives a family's ecosystem by its name, or None for an unknown family.

    Args:
        store: keeps wheels and records.
        mode: whether missing or outdated locks are written, refused or only compared.
        jobs: lookups and downloads at a time.
        listener: hears of progress.
        environment: the caller's environment, for what package tools take from it.
        upgrade: take the newest versions instead of keeping those of the lock.
        upgrade_packages: take the newest versions of these packages.
    """
    from planton_build.ecosystems.python.ecosystem import PythonEcosystem

    python = PythonEcosystem(
        store,
        mode=mode,
        jobs=jobs,
        listener=listener,
        environment=environment,
        upgrade=upgrade,
        upgrade_packages=upgrade_packages,
    )
    families: dict[str, Ecosystem] = {"python": python}
    return families.get
