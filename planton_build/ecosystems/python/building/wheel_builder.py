"""`WheelBuilder`: sdists and local projects become wheels, in the container of the target, once.

A wheel is kept under everything that decides it: the sources, the image, its tools and system packages, and
the locked build requirements. With those on record in a build lock, a wheel of the store costs one look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from planton_build.cache import Store, key_of
from planton_build.ecosystems.python.building.build_lock import BuildLock, LockedBuild
from planton_build.ecosystems.python.lock import LockedPackage
from planton_build.ecosystems.python.wheelhouse import WheelFile
from planton_build.errors import CompileFailed
from planton_build.events import Listener, StepFinished, StepStarted, ignore
from planton_build.parallel import SingleFlight
from planton_build.runtimes.target import Target

if TYPE_CHECKING:
    from planton_build.ecosystems.python.building.job import BuildRequest
    from planton_build.ecosystems.python.building.sdist import Sdist
    from planton_build.ecosystems.python.building.source import ProjectSource
    from planton_build.sandbox.build_image import BuildImage
    from planton_build.sandbox.container import Sandbox
    from planton_build.sandbox.job import Limits

    Source: TypeAlias = Sdist | ProjectSource

_FORMAT = 1
"""Raised whenever the same sources may be built into another wheel than before."""
_ROUNDS = 4
"""How often a backend may name requirements anew; a sane one does it once."""


class Supply(Protocol):
    """Where build requirements come from."""

    def resolve(self, requirements: Sequence[str]) -> Sequence[LockedPackage]:
        """Return the exact packages for requirements on the target, each with one hash.

        Raises:
            LockOutdated: nothing may be locked now.
            ResolutionFailed, NoFittingWheel, IndexUnreachable: there are none.
        """
        ...

    def fetch(self, packages: Sequence[LockedPackage]) -> Sequence[WheelFile | Sdist]:
        """Return the files of packages, in their order: a wheel where there is one, else the sdist."""
        ...


@dataclass(frozen=True, slots=True)
class BuiltWheel:
    """A wheel in the store, and how it was made.

    `builds` has what belongs into the build lock: the thing itself, and build requirements that were built.
    `made` tells that a container has run for it now.
    """

    wheel: WheelFile
    builds: Mapping[str, LockedBuild]
    made: bool = False


@dataclass(frozen=True, slots=True)
class WheelBuilder:
    """Builds wheels for one target. Safe to use from several threads.

    Args:
        store: keeps the wheels.
        target: what they are for.
        image: gives the image to build in, and
        sandbox: what runs it; both are called only when a container is needed.
        supply: resolves build requirements that are not on record, and fetches them for a build.
        recorded: the build lock that is there, if it is of the image, tools and system packages wanted now.
        limits: what a build may use, None for the usual.
        listener: hears when a build begins and ends.
        function: the function that the events name.
    """

    store: Store
    target: Target
    image: Callable[[], BuildImage]
    sandbox: Callable[[], Sandbox]
    supply: Supply
    recorded: BuildLock | None = None
    limits: Limits | None = None
    listener: Listener = ignore
    function: str = ""

    def build(self, source: Source) -> BuiltWheel:
        """Return the wheel of an sdist or a local project, from the store or built now.

        Raises:
            CompileFailed: it cannot be built; the message has the compiler's or the backend's own words.
            ContainerOutOfMemory, ContainerTimeout, ContainerDiskFull: a limit was reached.
            EngineUnavailable, ImageUnavailable, ImageMismatch, EmulationMissing: there is no image to use.
            LocalProjectFailed: the project's files cannot be read, or changed meanwhile.
            WheelInvalid: the backend made a wheel against the rules.
            PlantonError: what `supply` raises.
            CacheBroken: the store cannot be written.
        """
        return self._build(source, ())

    def _build(self, source: Source, chain: tuple[str, ...]) -> BuiltWheel:
        if source.key in chain:
            circle = " needs ".join([*chain[chain.index(source.key) :], source.key])
            raise CompileFailed(
                f"{source.label} cannot be built, because it needs itself for that: {circle}",
                hint=f"publish a wheel of {chain[-1]} to an index of yours, or take versions with wheels",
            )
        recorded = self._recorded(source)
        if recorded is not None and self.recorded is not None:
            builds = {source.key: recorded, **_nested(recorded, self.recorded.builds)}
            wheel = self._stored(self._key(source, builds, _circumstances(self.recorded)))
            if wheel is not None:
                return BuiltWheel(wheel, builds)
        return self._made(source, recorded, (*chain, source.key))

    def _recorded(self, source: Source) -> LockedBuild | None:
        """Return what is on record for the source, unless the record is of other sources."""
        found = self.recorded.builds.get(source.key) if self.recorded is not None else None
        return found if found is not None and source.is_of(found) else None

    def _made(self, source: Source, recorded: LockedBuild | None, chain: tuple[str, ...]) -> BuiltWheel:
        """Build, asking the backend for more requirements until it has all it wants."""
        system = source.build_system()
        circumstances = _circumstances(self.image())
        known = key_of("asked", _FORMAT, source.digest, self.target.name, circumstances, system.requires)
        build = recorded or self._resolved(
            source, {*system.requires, *(self.store.record("compiled", known) or ())}
        )
        for _ in range(_ROUNDS):
            wheels, builds = self._fetched(build, chain)
            builds = {source.key: build, **builds}
            key = self._key(source, builds, circumstances)
            wheel = self._stored(key)
            if wheel is not None:
                return BuiltWheel(wheel, builds)
            # The requirements of an sdist cannot change; a project may have been edited since.
            ask = build is not recorded or build.sdist is None
            from planton_build.ecosystems.python.building.job import BuildRequest

            request = BuildRequest(source, system, build, wheels, ask, key)
            # mypy cannot infer a lambda with a default.
            asked = _asking.run(key, lambda request=request: self._run(request))  # type: ignore[misc]
            wheel = self._stored(key)
            if wheel is not None:
                return BuiltWheel(wheel, builds, made=True)
            build = self._resolved(source, {*build.asked, *asked})
            self.store.put_record("compiled", known, sorted({*build.asked} - {*system.requires}))
        raise CompileFailed(
            f"{source.label} cannot be built: its backend never stops asking for requirements",
            hint="tell the authors of the package, or take a version with a wheel for the target",
        )

    def _resolved(self, source: Source, asked: set[str]) -> LockedBuild:
        packages = self.supply.resolve(sorted(asked)) if asked else ()
        sdist = None if source.key.startswith(".") else source.digest
        requires = tuple(sorted(packages, key=lambda package: package.name))
        return LockedBuild(tuple(sorted(asked)), requires, sdist)

    def _fetched(
        self, build: LockedBuild, chain: tuple[str, ...]
    ) -> tuple[list[WheelFile], dict[str, LockedBuild]]:
        """Return the wheels of the build requirements, built where there are only sources."""
        wheels: list[WheelFile] = []
        builds: dict[str, LockedBuild] = {}
        for file in self.supply.fetch(build.requires) if build.requires else ():
            if isinstance(file, WheelFile):
                wheels.append(file)
                continue
            built = self._build(file, chain)
            wheels.append(built.wheel)
            builds.update(built.builds)
        return wheels, builds

    def _key(self, source: Source, builds: Mapping[str, LockedBuild], circumstances: object) -> str:
        """Return what stands for a wheel: everything that decides its bytes."""
        requires = sorted(
            (key, [(pin.name, pin.version, sorted(pin.hashes)) for pin in build.requires])
            for key, build in builds.items()
            if key != source.key
        )
        own = [(pin.name, pin.version, sorted(pin.hashes)) for pin in builds[source.key].requires]
        return key_of("wheel", _FORMAT, source.digest, self.target.name, circumstances, own, requires)

    def _stored(self, key: str) -> WheelFile | None:
        record = self.store.record("compiled", key)
        if not isinstance(record, dict) or not self.store.intact("wheels", record["sha256"]):
            return None
        return _wheel_file(record, self.store)

    def _run(self, request: BuildRequest) -> list[str]:
        """Build once. Return what the backend misses; nothing if the wheel is in the store now."""
        from planton_build.ecosystems.python.building.canonical_wheel import keep_canonical
        from planton_build.ecosystems.python.building.job import job_of
        from planton_build.ecosystems.python.building.result import accepted, failure, unfinished

        source, image, started = request.source, self.image(), time.perf_counter()
        step = f"building {source.label}"
        self.listener(StepStarted(self.function, step))
        with self.store.staging_folder() as folder:
            job = job_of(request, image.id, self.target, self.limits, folder / "source")
            outcome = self.sandbox().run(job, into=folder / "out")
            if outcome.exit_code != 0:
                raise failure(outcome, source.label, self.target, image.base.name)
            asked = unfinished(outcome, source.label)
            if not asked:
                wheel = accepted(outcome, source, self.target)
                sha256 = keep_canonical(wheel, wheel.name, self.store)
                self.store.put_record("compiled", request.key, {"filename": wheel.name, "sha256": sha256})
        detail = f"needs {', '.join(asked)}" if asked else wheel.name
        self.listener(StepFinished(self.function, step, detail, time.perf_counter() - started))
        return asked


_asking = SingleFlight[list[str]]()


def _circumstances(of: BuildLock | BuildImage) -> list[object]:
    """Return what decides a wheel besides its sources and requirements."""
    base = of.image if isinstance(of, BuildLock) else of.base
    return [base.digest, of.toolchain, list(of.system_packages)]


def _nested(build: LockedBuild, builds: Mapping[str, LockedBuild]) -> dict[str, LockedBuild]:
    """Return the recorded builds of the requirements that were built themselves, and of theirs."""
    found: dict[str, LockedBuild] = {}
    waiting = [build]
    while waiting:
        for pin in waiting.pop().requires:
            key = f"{pin.name}=={pin.version}"
            nested = builds.get(key)
            if nested is not None and nested.sdist in pin.hashes and key not in found:
                found[key] = nested
                waiting.append(nested)
    return found


def _wheel_file(record: Mapping[str, Any], store: Store) -> WheelFile:
    from packaging.utils import canonicalize_name, parse_wheel_filename

    name, version, _, _ = parse_wheel_filename(record["filename"])
    path = store.blob("wheels", record["sha256"])
    return WheelFile(canonicalize_name(name), str(version), record["filename"], record["sha256"], path)
