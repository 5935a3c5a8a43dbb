"""`Resolver`: from requirements to exact packages for one target. `UvResolver` does it without a container.

uv evaluates markers and wheel tags for the target, not for the host. Only wheels are considered: an sdist
would be built here, for the wrong machine. Index semantics are pip's (uv's `unsafe-best-match`), because the
index settings are pip's.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from planton_build.ecosystems.python import uv_failures
from planton_build.ecosystems.python.inputs import DependencyInput
from planton_build.ecosystems.python.lock import Lock, LockedPackage
from planton_build.ecosystems.python.requirement_syntax import normalise
from planton_build.ecosystems.python.settings import IndexSettings
from planton_build.ecosystems.python.uv_command import Answer, run_uv
from planton_build.ecosystems.python.uv_request import Request, read_output, request_for
from planton_build.errors import NoFittingWheel, ToolFailed
from planton_build.runtimes.target import Target

UV_GLIBC_MINORS = (17, 28, *range(31, 41))
"""The glibc 2.x for which uv has a platform `<machine>-manylinux_2_x` (uv 0.13, `uv pip compile --help`)."""

_MAX_ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Which pins of the previous lock are not kept: all, or those of some packages (any spelling)."""

    everything: bool = False
    packages: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Tell whether anything is to be upgraded."""
        return self.everything or bool(self.packages)

    def kept(self, pins: Mapping[str, str]) -> dict[str, str]:
        """Return the pins to prefer: version by name."""
        dropped = {normalise(name) for name in self.packages}
        return {} if self.everything else {n: v for n, v in pins.items() if normalise(n) not in dropped}


class Resolver(Protocol):
    """Finds the packages that satisfy an input on a target."""

    def resolve(
        self,
        dependencies: DependencyInput,
        target: Target,
        settings: IndexSettings,
        *,
        pins: Mapping[str, str],
        upgrade: Upgrade | None = None,
    ) -> Lock:
        """Resolve `dependencies` for `target`, keeping `pins` (version by name) where they still fit.

        Returns:
            A lock without `source`, whose hashes cover all files of a version, whatever they are for.

        Raises:
            DependencyInputInvalid: the input asks for what cannot be locked.
            ResolutionFailed: no set of versions satisfies it.
            ContainerRequired: a package has no wheel for the target, only sources.
            NoFittingWheel: a package has wheels, but for other targets.
            IndexUnreachable: an index cannot be read.
            LocalProjectFailed: the metadata of a local project cannot be made.
            ToolFailed: the resolver cannot be run.
        """
        ...


class Fitness(Protocol):
    """Says which versions on the indexes have a wheel for a target."""

    def fits(self, name: str, version: str) -> bool:
        """Tell whether a version has a wheel that loads on the target."""
        ...

    def unfit_versions(self, name: str) -> Sequence[str]:
        """Return the versions without such a wheel. Raises IndexUnreachable when an index cannot be read."""
        ...

    def require(self, name: str, version: str, file: Path) -> None:
        """Raise NoFittingWheel, with what the indexes offer, if a version that `file` asks for has none."""
        ...

    def has_sdist(self, name: str) -> bool:
        """Tell whether the indexes offer sources of a package."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


class IndexFitness:
    """`Fitness` from the indexes themselves."""

    def __init__(self, target: Target, settings: IndexSettings) -> None:
        from planton_build.ecosystems.python.index import Index

        self._target = target
        self._index = Index(settings)

    def fits(self, name: str, version: str) -> bool:
        """Tell whether a version has a wheel that loads on the target."""
        from planton_build.ecosystems.python.selection import fits

        return fits(version, self._target, self._index.offers(name))

    def unfit_versions(self, name: str) -> Sequence[str]:
        """Return the versions without such a wheel."""
        from planton_build.ecosystems.python.selection import unfit_versions

        return unfit_versions(self._target, self._index.offers(name))

    def require(self, name: str, version: str, file: Path) -> None:
        """Raise NoFittingWheel, with what the indexes offer, if a version has no such wheel."""
        from planton_build.ecosystems.python.selection import choose

        offers = self._index.offers(name)
        hashes = frozenset(offer.sha256 for offer in offers if offer.sha256)
        try:
            choose(LockedPackage(normalise(name), version, hashes), self._target, offers)
        except NoFittingWheel as error:
            raise NoFittingWheel(
                error.message, hint=error.hint, file=file, has_sdist=error.has_sdist
            ) from error

    def has_sdist(self, name: str) -> bool:
        """Tell whether the indexes offer sources of a package."""
        return any(offer.kind == "sdist" for offer in self._index.offers(name))

    def close(self) -> None:
        """Close all connections."""
        self._index.close()


@dataclass(frozen=True, slots=True)
class UvResolver:
    """Resolves with `uv pip compile`.

    `environment` is the caller's environment (see `uv_command` for the part that uv inherits) and gives the
    values of `${NAME}` in requirements files. `fitness` makes the judge of wheels where uv's own platforms
    are not exact. `retries` counts further attempts at an index that fails.
    """

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    fitness: Callable[[Target, IndexSettings], Fitness] = IndexFitness
    retries: int = 3

    def resolve(
        self,
        dependencies: DependencyInput,
        target: Target,
        settings: IndexSettings,
        *,
        pins: Mapping[str, str],
        upgrade: Upgrade | None = None,
    ) -> Lock:
        """Resolve as `Resolver.resolve` says.

        uv knows no manylinux_2_26, the platform of Amazon Linux 2. There the next lower platform is tried
        first; only when that leaves a package without wheels, the next higher one is, and versions whose
        wheels need more than the target has are excluded, until every pin fits.
        """
        settings = dependencies.index_options.applied_to(settings)
        with tempfile.TemporaryDirectory(prefix="planton-resolve-") as temporary:
            folder = Path(temporary).resolve()
            request = request_for(dependencies, target, folder, self.environment)
            run = _Run(self, request, settings, folder, (upgrade or Upgrade()).kept(pins))
            lower, higher = _platforms(target)
            answer = run.compile(lower, {})
            if answer.returncode == 0:
                return read_output(answer.output, request, target)
            with contextlib.closing(self.fitness(target, settings)) as judge:
                if higher and uv_failures.has_wheel_trouble(answer.explanation):
                    found = _resolve_above(run, higher, judge, target)
                    if found is not None:
                        return found
                if len(unfit := uv_failures.unfit_pins(answer.explanation)) == 1:
                    judge.require(*unfit[0], dependencies.path)  # says what the indexes offer instead
                for unknown in uv_failures.unknown_packages(answer.explanation):
                    judge.unfit_versions(unknown)  # says why, when an index could not be read
                error = uv_failures.failure(answer.explanation, dependencies.path, target)
                if isinstance(error, NoFittingWheel):
                    error.has_sdist = any(
                        map(judge.has_sdist, uv_failures.unfit_packages(answer.explanation))
                    )
                raise error


@dataclass(frozen=True, slots=True)
class _Run:
    """One resolution: everything that stays the same between its attempts."""

    resolver: UvResolver
    request: Request
    settings: IndexSettings
    folder: Path
    preferred: Mapping[str, str]

    def compile(self, platform: str, excluded: Mapping[str, Sequence[str]]) -> Answer:
        """Run uv once, and again when a local project's metadata must be built for its dependencies."""
        allowed: set[str] = set()
        while True:
            answer = self._compile(platform, excluded, allowed)
            unbuilt = uv_failures.unbuilt_projects(answer.explanation) if answer.returncode else set()
            if not unbuilt - allowed:
                return answer
            allowed |= unbuilt

    def _compile(self, platform: str, excluded: Mapping[str, Sequence[str]], allowed: set[str]) -> Answer:
        output = self.folder / "resolved.txt"
        output.write_text("".join(f"{name}=={version}\n" for name, version in sorted(self.preferred.items())))
        exclusions = self.folder / "excluded.txt"
        exclusions.write_text(
            "".join(f"{n}!={',!='.join(versions)}\n" for n, versions in sorted(excluded.items()) if versions)
        )
        arguments = [*self.request.arguments, "--python-platform", platform, "-o", str(output)]
        arguments += ["-c", str(exclusions), *(["--no-index"] if self.settings.no_index else [])]
        for name in sorted(allowed):
            arguments += ["--no-binary", name]
        answer = run_uv(
            arguments,
            folder=self.request.folder,
            environment=self.resolver.environment,
            settings=self.settings,
            extra={**self.request.variables, "UV_HTTP_RETRIES": str(self.resolver.retries)},
            private=[self.folder],
        )
        if answer.returncode:
            return answer
        try:
            return Answer(0, output.read_text(encoding="utf-8"), answer.explanation)
        except OSError as error:
            raise ToolFailed(f"uv wrote no resolution: {error.strerror}") from error


def _platforms(target: Target) -> tuple[str, str | None]:
    """Return uv's platform for the target, and the next higher one when the first is not exact."""
    minor = target.glibc[1]
    lower = max((known for known in UV_GLIBC_MINORS if known <= minor), default=UV_GLIBC_MINORS[0])
    higher = min((known for known in UV_GLIBC_MINORS if known > minor), default=None)
    name = f"{target.machine}-manylinux_2_"
    return f"{name}{lower}", None if lower == minor or higher is None else f"{name}{higher}"


def _resolve_above(run: _Run, platform: str, judge: Fitness, target: Target) -> Lock | None:
    """Resolve on a platform newer than the target and exclude what does not load there, until all does."""
    excluded: dict[str, Sequence[str]] = {}
    for _ in range(_MAX_ROUNDS):
        answer = run.compile(platform, excluded)
        if answer.returncode:
            return None
        found = read_output(answer.output, run.request, target)
        unfit = [package for package in found.packages if not judge.fits(package.name, package.version)]
        if not unfit:
            return found
        for package in unfit:
            versions = {package.version, *judge.unfit_versions(package.name)}
            if set(excluded.get(package.name, ())) >= versions:
                return None
            excluded[package.name] = sorted(versions)
    return None
