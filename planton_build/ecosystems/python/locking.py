"""`ensure_lock`: the lock of an input for a target, read when it is fresh, made when it is not.

The way of a build with nothing to do leads through here: with a fresh lock no network, no tool and no
settings are touched, and nothing heavy is imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from planton_build.cache import Store, key_of
from planton_build.ecosystems.python.inputs import DependencyInput
from planton_build.ecosystems.python.lock import (
    LocalProject,
    Lock,
    LockedPackage,
    lock_path,
    read_lock,
    render,
)
from planton_build.errors import DependencyInputInvalid, LockOutdated
from planton_build.events import Listener, StepFinished, StepStarted, ignore
from planton_build.files import write_atomic
from planton_build.parallel import SingleFlight
from planton_build.runtimes.target import Target

if TYPE_CHECKING:
    from planton_build.ecosystems.python.resolver import Resolver, Upgrade
    from planton_build.ecosystems.python.settings import IndexSettings
    from planton_build.project.function import FunctionProject

LockMode: TypeAlias = Literal["build", "frozen", "check", "write"]
"""`build` and `write` make a missing or stale lock; `frozen` and `check` refuse it. `write` also replaces a
lock that cannot be read."""

LockState: TypeAlias = Literal["up to date", "created", "updated", "locked already"]

_READERS_VERSION = 1
"""Goes up when a reader gives another result for the same file."""


@dataclass(frozen=True, slots=True)
class LockOutcome:
    """A lock, and what became of its file.

    `path` is the lock file, or the input that is a lock itself. `changed`: its packages or hashes differ from
    before. `written`: the file was replaced (also when only the digest of its inputs changed). `state` says
    it for people.
    """

    lock: Lock
    path: Path
    changed: bool = False
    written: bool = False
    state: LockState = "up to date"


_running = SingleFlight[LockOutcome]()


def ensure_lock(
    project: FunctionProject,
    dependencies: DependencyInput,
    resolver: Resolver,
    narrow: Callable[[Lock], Lock],
    *,
    settings: Callable[[], IndexSettings],
    mode: LockMode = "build",
    upgrade: Upgrade | None = None,
    store: Store | None = None,
    environment: Mapping[str, str] | None = None,
    listener: Listener = ignore,
) -> LockOutcome:
    """Return the lock of a function's input; make it when it is missing or stale and may be written.

    Functions that share an input and a target, and ask at the same time, share one resolution.

    Args:
        project: the function, for its target and for events.
        dependencies: its input. If that is locked already, it is read and never replaced.
        resolver: finds versions when the lock must be made.
        narrow: reduces a lock's hashes to those of the one wheel that the target gets.
        settings: gives the index settings; asked only when the network is needed, because reading them is
            slow. The input's own index options are merged over them by the resolver.
        mode: what may be done, see `LockMode`.
        upgrade: which pins not to keep; with any, the lock is always made anew.
        store: keeps what was read from locks of other tools, None for no cache.
        environment: the caller's environment, for tools that readers call; none of it when None.
        listener: is told when a resolution begins and ends.

    Raises:
        LockOutdated: the lock is missing or stale and `mode` forbids writing.
        DependencyInputInvalid: the lock or the input cannot be read.
        PlantonError: what `resolver` and `narrow` raise.
    """
    target = project.target
    if dependencies.is_locked:
        lock = _read_foreign(dependencies, target, store, environment or {})
        return LockOutcome(lock, dependencies.path, state="locked already")
    path = lock_path(dependencies, target)

    def fresh() -> tuple[LockOutcome | None, Lock | None]:
        present = _present(path, target, mode)
        if present is None:
            return None, None
        stale = present[1] != dependencies.digest or bool(upgrade)
        return None if stale else LockOutcome(present[0], path), present[0]

    outcome, previous = fresh()
    if outcome is not None:
        return outcome
    if mode in {"frozen", "check"}:
        raise _outdated(dependencies, path, target, missing=previous is None)

    def make() -> LockOutcome:
        outcome, previous = fresh()  # another thread may have made it meanwhile
        if outcome is not None:
            return outcome
        listener(StepStarted(project.name, "lock", unit="packages"))
        pins = {package.name: package.version for package in previous.packages} if previous else {}
        found = resolver.resolve(dependencies, target, settings(), pins=pins, upgrade=upgrade)
        made = _written(narrow(found), path, dependencies.digest, previous)
        listener(StepFinished(project.name, "lock", f"{len(made.lock.packages)} packages, {made.state}"))
        return made

    return _running.run((path, dependencies.digest, mode, upgrade), make)


def _written(lock: Lock, path: Path, digest: str, previous: Lock | None) -> LockOutcome:
    """Write a lock unless the file has the same bytes already, and read back what a later run will read."""
    text = render(lock, digest, beside=path.parent).encode()
    written = not path.is_file() or path.read_bytes() != text
    if written:
        try:
            write_atomic(path, text)
        except OSError as error:
            raise LockOutdated(
                f"{path.name} cannot be written: {error.strerror}",
                hint="make its folder writable, or run `planton-build lock` elsewhere and commit the lock",
                file=path,
            ) from error
    final, _ = read_lock(path, lock.target)
    changed = previous is None or (final.packages, final.local) != (previous.packages, previous.local)
    state: LockState = "created" if previous is None else "updated" if written else "up to date"
    return LockOutcome(final, path, changed, written, state)


def _present(path: Path, target: Target, mode: LockMode) -> tuple[Lock, str] | None:
    """Return the lock that is there with the digest of its inputs, or None."""
    if not path.is_file():
        return None
    try:
        return read_lock(path, target)
    except DependencyInputInvalid:
        if mode == "write":
            return None
        raise


def _outdated(dependencies: DependencyInput, path: Path, target: Target, *, missing: bool) -> LockOutdated:
    name = dependencies.path.name
    if missing:
        message = f"{path.name} is missing: {name} is not locked for {target.name}"
    else:
        included = [file.name for file in dependencies.includes]
        what = f"{name} or a file it includes ({', '.join(included)})" if included else name
        message = f"{path.name} is outdated: {what} has changed since"
    return LockOutdated(message, hint="run `planton-build lock` and commit the lock", file=path)


def _read_foreign(
    dependencies: DependencyInput, target: Target, store: Store | None, environment: Mapping[str, str]
) -> Lock:
    """Read an input that is a lock of another tool, or take what was read of the same content before."""
    key = key_of("foreign-lock", _READERS_VERSION, dependencies.digest, target.name)
    base = dependencies.path.parent
    record = store.record("exports", key) if store is not None else None
    if isinstance(record, dict):
        packages = tuple(LockedPackage(n, v, frozenset(hashes)) for n, v, hashes in record["packages"])
        local = tuple(LocalProject(Path(os.path.normpath(base / f)), tuple(e)) for f, e in record["local"])
        return Lock(target, packages, local, dependencies.path)
    lock = _read_anew(dependencies, target, environment)
    if store is not None:
        pins = [(package.name, package.version, sorted(package.hashes)) for package in lock.packages]
        folders = [(Path(os.path.relpath(one.folder, base)).as_posix(), one.extras) for one in lock.local]
        store.put_record("exports", key, {"packages": pins, "local": folders})
    return lock


def _read_anew(dependencies: DependencyInput, target: Target, environment: Mapping[str, str]) -> Lock:
    """Call the reader for the kind of input."""
    if dependencies.kind == "uv":
        from planton_build.ecosystems.python.readers.uv_lock import read_uv_lock

        return read_uv_lock(dependencies, target, environment)
    if dependencies.kind == "poetry":
        from planton_build.ecosystems.python.readers.poetry_lock import read_poetry_lock

        return read_poetry_lock(dependencies, target)
    if dependencies.kind == "pylock":
        from planton_build.ecosystems.python.readers.pylock import read_pylock

        return read_pylock(dependencies.path, target, extras=dependencies.extras, groups=dependencies.groups)
    from planton_build.ecosystems.python.readers.hashed_requirements import read_hashed_requirements

    return read_hashed_requirements(dependencies.path, target)
