"""The wheels of a lock, from the store or, only if it lacks some, from the indexes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from planton_build.cache import Store, key_of
from planton_build.ecosystems.python.lock import Lock, LockedPackage
from planton_build.errors import WheelInvalid
from planton_build.events import Listener, StepAdvanced, StepFinished, StepStarted
from planton_build.parallel import each

if TYPE_CHECKING:
    from planton_build.ecosystems.python.download import Download
    from planton_build.ecosystems.python.index import Index
    from planton_build.runtimes.target import Target

_FORMAT = 1
"""Raised whenever another wheel may be chosen than before, or the records change their form."""
_STEP = "wheels"


@dataclass(frozen=True, slots=True)
class WheelFile:
    """A wheel in the store. `name` is normalised, `version` the lock's, `sha256` (hex) that of the file."""

    name: str
    version: str
    filename: str
    sha256: str
    path: Path


class Wheelhouse:
    """Finds and fetches wheels. Safe to use from many threads and processes at once.

    Args:
        store: keeps wheels (blobs) and which was chosen (records).
        open_index: makes the index; called at most once, and only when the network is needed. Its caller
            closes the index.
        jobs: lookups and downloads at a time.
        listener: hears of progress.
        function: the function that the events name.
    """

    def __init__(
        self, store: Store, open_index: Callable[[], Index], *, jobs: int, listener: Listener, function: str
    ) -> None:
        self._store = store
        self._open_index = open_index
        self._index: Index | None = None
        self._opening = threading.Lock()
        self._jobs = jobs
        self._listener = listener
        self._function = function

    def fetch(self, lock: Lock) -> list[WheelFile]:
        """Return the wheels of all packages, in the lock's order.

        Raises:
            NoFittingWheel: for all packages without one; each is a finding.
            HashMismatch: an index sends other bytes than locked.
            IndexUnreachable: an index, or a file on it, cannot be read.
            WheelInvalid: a wheel's name is not that of the package.
            CacheBroken: the store cannot be written.
        """
        started = time.perf_counter()
        found = {package.name: self._stored(package, lock.target) for package in lock.packages}
        missing = [package for package in lock.packages if found[package.name] is None]
        if missing:
            found.update((wheel.name, wheel) for wheel in self._fetched(missing, lock.target))
        wheels = [wheel for package in lock.packages if (wheel := found[package.name]) is not None]
        detail = f"{len(wheels)} wheels, {len(missing)} fetched"
        self._listener(StepFinished(self._function, _STEP, detail, time.perf_counter() - started))
        return wheels

    def _stored(self, package: LockedPackage, target: Target) -> WheelFile | None:
        """Return the package's wheel if the store has it and knows that it is the one to take."""
        sha256: object = next(iter(package.hashes), None)
        if len(package.hashes) != 1:
            sha256 = self._store.record("offers", _choice_key(package, target))
        if not isinstance(sha256, str) or sha256 not in package.hashes:
            return None
        filename = self._store.record("offers", _name_key(sha256))
        path = self._store.blob("wheels", sha256)
        if not isinstance(filename, str) or not path.exists():
            return None
        return _checked(WheelFile(package.name, package.version, filename, sha256, path), target)

    def _fetched(self, packages: Sequence[LockedPackage], target: Target) -> list[WheelFile]:
        from planton_build.ecosystems.python.download import Download
        from planton_build.ecosystems.python.selection import choose, joined_errors

        def chosen(package: LockedPackage) -> Download:
            offer = choose(package, target, self._opened().offers(package.name))
            return Download(package.name, package.version, offer, package.hashes)

        with joined_errors():
            downloads = each(packages, chosen, jobs=self._jobs)
            sizes = [job.offer.size for job in downloads]
            total = sum(size or 0 for size in sizes) if None not in sizes else None
            self._listener(StepStarted(self._function, _STEP, total, "bytes"))
            digests = each(downloads, self._download, jobs=self._jobs)
        return [
            self._remembered(package, target, job, digest)
            for package, job, digest in zip(packages, downloads, digests, strict=True)
        ]

    def _download(self, job: Download) -> str:
        from planton_build.ecosystems.python.download import download

        def advanced(amount: int) -> None:
            self._listener(StepAdvanced(self._function, _STEP, amount))

        return download(job, self._opened().client, self._store, advanced)

    def _remembered(self, package: LockedPackage, target: Target, job: Download, sha256: str) -> WheelFile:
        path = self._store.blob("wheels", sha256)
        wheel = _checked(WheelFile(package.name, package.version, job.offer.filename, sha256, path), target)
        self._store.put_record("offers", _name_key(sha256), wheel.filename)
        if len(package.hashes) > 1:
            self._store.put_record("offers", _choice_key(package, target), sha256)
        return wheel

    def _opened(self) -> Index:
        with self._opening:
            if self._index is None:
                self._index = self._open_index()
            return self._index


def damaged(wheels: Sequence[WheelFile], store: Store, *, jobs: int) -> list[WheelFile]:
    """Return those of `wheels` whose blob is gone or has another SHA-256; damaged blobs are removed."""
    whole = each(wheels, lambda wheel: store.intact("wheels", wheel.sha256), jobs=jobs)
    return [wheel for wheel, good in zip(wheels, whole, strict=True) if not good]


def _choice_key(package: LockedPackage, target: Target) -> str:
    return key_of(
        "choice", _FORMAT, package.name, package.version, sorted(package.hashes), target.name, target.glibc
    )


def _name_key(sha256: str) -> str:
    return key_of("name", _FORMAT, sha256)


def _checked(wheel: WheelFile, target: Target) -> WheelFile:
    """Compare a wheel's file name with the lock and the target: also records and indexes can be wrong."""
    from planton_build.ecosystems.python.selection import rank

    try:
        name, version, _, tags = parse_wheel_filename(wheel.filename)
        same = canonicalize_name(name) == wheel.name and version == Version(wheel.version)
    except (InvalidWheelFilename, InvalidVersion):
        same, tags = False, frozenset()
    if not same:
        raise WheelInvalid(
            f"the file that the lock names by SHA-256 {wheel.sha256} for {wheel.name}=={wheel.version} "
            f"is {wheel.filename!r}, another package",
            hint="the lock is wrong: run `planton-build lock` and look at what changes",
        )
    if rank(tags, target) is None:
        raise WheelInvalid(
            f"{wheel.filename}, which the lock names for {wheel.name}, does not load on {target.name}",
            hint="the lock was made for another target: run `planton-build lock`",
        )
    return wheel
