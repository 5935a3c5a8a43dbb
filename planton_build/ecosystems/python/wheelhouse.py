"""The wheels and sdists of a lock, from the store or, only if it lacks some, from the indexes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from planton_build.cache import Store, key_of
from planton_build.ecosystems.python.building.sdist import Sdist
from planton_build.ecosystems.python.lock import Lock, LockedPackage
from planton_build.errors import IndexUnreachable, NoFittingWheel, WheelInvalid
from planton_build.events import Listener, StepAdvanced, StepFinished, StepStarted
from planton_build.parallel import each

if TYPE_CHECKING:
    from planton_build.ecosystems.python.download import Download
    from planton_build.ecosystems.python.index import Index, Offer
    from planton_build.runtimes.target import Target

_FORMAT = 2
"""Raised whenever another file may be chosen than before, or the records change their form."""
_STEP = "wheels"


@dataclass(frozen=True, slots=True)
class WheelFile:
    """A wheel in the store. `name` is normalised, `version` the lock's, `sha256` (hex) that of the file."""

    name: str
    version: str
    filename: str
    sha256: str
    path: Path


@dataclass(frozen=True, slots=True)
class Fetched:
    """The files of a lock, each list in the lock's order."""

    wheels: list[WheelFile]
    sdists: list[Sdist]


class Wheelhouse:
    """Finds and fetches wheels and sdists. Safe to use from many threads and processes at once.

    Args:
        store: keeps the files (blobs) and which was chosen (records).
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

    def fetch(self, lock: Lock) -> Fetched:
        """Return the files of all packages: wheels, and sdists where no wheel is locked that fits.

        Raises:
            NoFittingWheel: for all packages without either; each is a finding.
            HashMismatch: an index sends other bytes than locked.
            IndexUnreachable: an index, or a file on it, cannot be read.
            WheelInvalid: a wheel's name is not that of the package.
            CacheBroken: the store cannot be written.
        """
        started = time.perf_counter()
        found = {package.name: self.stored(package, lock.target) for package in lock.packages}
        missing = [package for package in lock.packages if found[package.name] is None]
        if missing:
            found.update((file.name, file) for file in self._fetched(missing, lock))
        files = [file for package in lock.packages if (file := found[package.name]) is not None]
        wheels = [file for file in files if isinstance(file, WheelFile)]
        sdists = [file for file in files if isinstance(file, Sdist)]
        detail = f"{len(wheels)} wheels{f', {len(sdists)} sdists' if sdists else ''}, {len(missing)} fetched"
        self._listener(StepFinished(self._function, _STEP, detail, time.perf_counter() - started))
        return Fetched(wheels, sdists)

    def stored(self, package: LockedPackage, target: Target) -> WheelFile | Sdist | None:
        """Return the package's file if the store has it and knows that it is the one to take."""
        sha256: object = next(iter(package.hashes), None)
        if len(package.hashes) != 1:
            sha256 = self._store.record("offers", _choice_key(package, target))
        if not isinstance(sha256, str) or sha256 not in package.hashes:
            return None
        filename = self._store.record("offers", _name_key(sha256))
        if not isinstance(filename, str):
            return None
        file = _file(package, filename, sha256, self._store, target)
        return file if file.path.exists() else None

    def missing_wheels(self, lock: Lock) -> list[LockedPackage]:
        """Return the packages whose file is not in the store and will be a wheel.

        Raises as `fetch` does for packages that the indexes offer nothing fitting of.
        """
        missing = [package for package in lock.packages if self.stored(package, lock.target) is None]
        offers = each(missing, lambda package: self._chosen(package, lock), jobs=self._jobs)
        return [package for package, offer in zip(missing, offers, strict=True) if offer.kind == "wheel"]

    def keep_downloaded(
        self, package: LockedPackage, target: Target, filename: str, sha256: str
    ) -> WheelFile | Sdist:
        """Remember the file name of a package's file that was put into the store by other means.

        Raises:
            WheelInvalid: it is not a file of that package for the target.
        """
        file = _file(package, filename, sha256, self._store, target)
        self._store.put_record("offers", _name_key(sha256), filename)
        if len(package.hashes) > 1:
            self._store.put_record("offers", _choice_key(package, target), sha256)
        return file

    def _fetched(self, packages: Sequence[LockedPackage], lock: Lock) -> list[WheelFile | Sdist]:
        from planton_build.ecosystems.python.download import Download
        from planton_build.ecosystems.python.selection import joined_errors

        target = lock.target

        def chosen(package: LockedPackage) -> Download:
            offer = self._chosen(package, lock)
            return Download(package.name, package.version, offer, package.hashes)

        with joined_errors():
            downloads = each(packages, chosen, jobs=self._jobs)
            sizes = [job.offer.size for job in downloads]
            total = sum(size or 0 for size in sizes) if None not in sizes else None
            self._listener(StepStarted(self._function, _STEP, total, "bytes"))
            digests = each(downloads, self._download, jobs=self._jobs)
        return [
            self.keep_downloaded(package, target, job.offer.filename, digest)
            for package, job, digest in zip(packages, downloads, digests, strict=True)
        ]

    def _chosen(self, package: LockedPackage, lock: Lock) -> Offer:
        """Return the wheel for the target, or the sdist where no wheel with a locked hash fits."""
        from planton_build.ecosystems.python.selection import choose, choose_sdist

        offers = self._opened().offers(package.name)
        source = choose_sdist(package, offers)
        if source is not None and package.name in lock.sdists:
            return source
        try:
            return choose(package, lock.target, offers)
        except NoFittingWheel:
            if source is None:
                raise
            return source

    def avoiding(self, name: str, version: str, target: Target) -> str:
        """Say which wheel would make the building of a package needless, as far as that is known."""
        from planton_build.ecosystems.python.selection import avoiding_sources

        try:
            offers = self._opened().offers(name)
        except IndexUnreachable:
            return ""  # a word of advice; what the build needs of the index will say that it is away
        return avoiding_sources(LockedPackage(name, version, frozenset()), target, offers)

    def _download(self, job: Download) -> str:
        from planton_build.ecosystems.python.download import download

        def advanced(amount: int) -> None:
            self._listener(StepAdvanced(self._function, _STEP, amount))

        return download(job, self._opened().client, self._store, advanced)

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


def _file(
    package: LockedPackage, filename: str, sha256: str, store: Store, target: Target
) -> WheelFile | Sdist:
    name, version = package.name, package.version
    if filename.endswith(".whl"):
        path = store.blob("wheels", sha256)
        return _checked(WheelFile(name, version, filename, sha256, path), target)
    return _checked_sdist(Sdist(name, version, filename, sha256, store.blob("sdists", sha256)))


def _checked_sdist(sdist: Sdist) -> Sdist:
    """Compare an sdist's file name with the lock."""
    try:
        name, version = parse_sdist_filename(sdist.filename)
        same = canonicalize_name(name) == sdist.name and version == Version(sdist.version)
    except (InvalidSdistFilename, InvalidVersion):
        same = False
    if not same:
        raise _another_package(sdist)
    return sdist


def _another_package(file: WheelFile | Sdist) -> WheelInvalid:
    return WheelInvalid(
        f"the file that the lock names by SHA-256 {file.sha256} for {file.name}=={file.version} "
        f"is {file.filename!r}, another package",
        hint="the lock is wrong: run `planton-build lock` and look at what changes",
    )


def _checked(wheel: WheelFile, target: Target) -> WheelFile:
    """Compare a wheel's file name with the lock and the target: also records and indexes can be wrong."""
    from planton_build.ecosystems.python.selection import rank

    try:
        name, version, _, tags = parse_wheel_filename(wheel.filename)
        same = canonicalize_name(name) == wheel.name and version == Version(wheel.version)
    except (InvalidWheelFilename, InvalidVersion):
        same, tags = False, frozenset()
    if not same:
        raise _another_package(wheel)
    if rank(tags, target) is None:
        raise WheelInvalid(
            f"{wheel.filename}, which the lock names for {wheel.name}, does not load on {target.name}",
            hint="the lock was made for another target: run `planton-build lock`",
        )
    return wheel
