"""Which wheel of a locked package goes to a target: the best that loads there and has a locked hash."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag
from packaging.version import InvalidVersion, Version

from planton_build.ecosystems.python.index import Index, Offer
from planton_build.ecosystems.python.lock import Lock, LockedPackage
from planton_build.errors import NoFittingWheel, PlantonError, SeveralErrors
from planton_build.parallel import each
from planton_build.runtimes.tags import OLDEST_GLIBC, marker_environment, wheel_tags
from planton_build.runtimes.target import Architecture, Target

_SHOWN_TAGS = 8
"""Wheel tags that an error lists before it says how many more there are."""


def choose(package: LockedPackage, target: Target, offers: Sequence[Offer]) -> Offer:
    """Return the wheel of `package` for `target`: the best fitting one whose SHA-256 is locked.

    Wheels compare by pip's rules: the tags first, then the higher build tag. Equal ones are the same file on
    several indexes, of which the first counts. A page without hashes is taken at its word only if exactly
    one fitting file is in question; the caller verifies the download in any case.

    Raises:
        NoFittingWheel: there is none. The message has what the target takes and what the indexes offer.
    """
    fitting = _fitting(package.version, target, offers)
    locked = [offer for offer in fitting if offer.sha256 in package.hashes]
    if locked:
        return _best(locked, target)
    unhashed = [offer for offer in fitting if offer.sha256 is None]
    if len({offer.filename for offer in unhashed}) == 1:
        return unhashed[0]
    raise _no_fitting_wheel(package, target, offers, fitting)


def choose_sdist(package: LockedPackage, offers: Sequence[Offer]) -> Offer | None:
    """Return the sdist of `package` whose SHA-256 is locked, or None. `.tar.gz` comes before `.zip`.

    As in `choose`, a page without hashes is taken at its word if only one sdist is in question.
    """
    wanted = _version(package.version)
    same = [offer for offer in offers if offer.kind == "sdist" and _version(offer.version) == wanted]
    found = [offer for offer in same if offer.sha256 in package.hashes]
    if not found and len({offer.filename for offer in same}) == 1:
        found = [offer for offer in same if offer.sha256 is None]
    return min(found, key=lambda offer: (offer.filename.endswith(".zip"), offer.filename), default=None)


def fits(version: str, target: Target, offers: Sequence[Offer]) -> bool:
    """Tell whether a package's offers hold a wheel of this version that loads on the target."""
    return bool(_fitting(version, target, offers))


def unfit_versions(target: Target, offers: Sequence[Offer]) -> tuple[str, ...]:
    """Return the offered versions, oldest first, that no wheel of loads on the target.

    A resolver excludes them to find a version that does.
    """
    verdicts: dict[Version, bool] = {}
    for offer in offers:
        version = _version(offer.version)
        if version is not None:
            verdicts[version] = verdicts.get(version, False) or _loads(offer, target)
    return tuple(str(version) for version in sorted(verdicts) if not verdicts[version])


def narrow(
    lock: Lock, index: Index, *, jobs: int = 8, sdists: bool = False, no_binary: Collection[str] = ()
) -> Lock:
    """Return `lock` with each package's hashes reduced to the one file that its target gets.

    Args:
        lock: a lock whose hashes may cover the files of all platforms.
        index: where to look the files up.
        jobs: lookups at a time.
        sdists: whether a package without a fitting wheel may come as an sdist.
        no_binary: packages that come as sdists though they have wheels (pip's `--no-binary`).

    Raises:
        NoFittingWheel: for all packages without one; each is a finding.
        IndexUnreachable: an index cannot be read.
    """

    everything = ":all:" in no_binary

    def chosen(package: LockedPackage) -> Offer:
        offers = index.offers(package.name)
        source = choose_sdist(package, offers) if sdists else None
        if source is not None and (everything or package.name in no_binary):
            return source
        try:
            return choose(package, lock.target, offers)
        except NoFittingWheel:
            if source is None:
                raise
            return source

    def narrowed(package: LockedPackage, offer: Offer) -> LockedPackage:
        # Without a hash on the page, which of the locked ones it is shows only after the download.
        return package if offer.sha256 is None else replace(package, hashes=frozenset({offer.sha256}))

    with joined_errors():
        files = each(lock.packages, chosen, jobs=jobs)
    pairs = list(zip(lock.packages, files, strict=True))
    return replace(
        lock,
        packages=tuple(narrowed(package, offer) for package, offer in pairs),
        sdists=frozenset(package.name for package, offer in pairs if offer.kind == "sdist"),
    )


@contextlib.contextmanager
def joined_errors() -> Iterator[None]:
    """Turn the failures of several packages into one error: that of the first, with all their findings."""
    try:
        yield
    except SeveralErrors as error:
        first: PlantonError = error.errors[0]
        message = f"{first.message} ({len(error.errors) - 1} more packages failed)"
        raise type(first)(message, hint=first.hint, findings=error.findings) from error


@functools.cache
def _ranks(target: Target) -> Mapping[Tag, int]:
    return {tag: rank for rank, tag in enumerate(wheel_tags(target))}


def rank(tags: Iterable[Tag], target: Target) -> int | None:
    """Return how well a wheel with these tags fits the target, 0 being best, or None when it does not."""
    ranks = _ranks(target)
    return min((ranks[tag] for tag in tags if tag in ranks), default=None)


def _best(offers: Iterable[Offer], target: Target) -> Offer:
    def quality(offer: Offer) -> tuple[int, tuple[int, str] | tuple[()]]:
        place = rank(offer.tags, target)
        return (-len(_ranks(target)) if place is None else -place), offer.build

    # max() takes the first of equals: by name, then in the order of the indexes.
    return max(sorted(offers, key=lambda offer: offer.filename), key=quality)


def _fitting(version: str, target: Target, offers: Iterable[Offer]) -> list[Offer]:
    wanted = _version(version)
    if wanted is None:
        return []
    return [offer for offer in offers if _version(offer.version) == wanted and _loads(offer, target)]


def _loads(offer: Offer, target: Target) -> bool:
    return (
        offer.kind == "wheel"
        and rank(offer.tags, target) is not None
        and _allows(offer.requires_python, marker_environment(target)["python_full_version"])
    )


@functools.lru_cache(maxsize=4096)
def _allows(requires_python: str | None, version: str) -> bool:
    """Tell whether `Requires-Python` lets a version in; like pip, take one that cannot be read for yes."""
    try:
        return SpecifierSet(requires_python or "").contains(version, prereleases=True)
    except InvalidSpecifier:
        return True


@functools.lru_cache(maxsize=16384)
def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _no_fitting_wheel(
    package: LockedPackage, target: Target, offers: Sequence[Offer], fitting: Sequence[Offer]
) -> NoFittingWheel:
    pin = f"{package.name}=={package.version}"
    same = [offer for offer in offers if _version(offer.version) == _version(package.version)]
    if fitting:
        names = ", ".join(sorted({offer.filename for offer in fitting}))
        return NoFittingWheel(
            f"the lock allows no wheel of {pin} for {target.name}: the indexes offer {names}, "
            f"but none has one of the {len(package.hashes)} locked hashes",
            hint="the lock was made for another target or from another index: run `planton-build lock`",
        )
    return NoFittingWheel(
        f"{pin} has no wheel for {target.name}, which takes {accepted(target)}. {_offered(same, offers)}",
        hint="; or ".join(_ways_out(package, target, offers, same)),
        has_sdist=any(offer.kind == "sdist" for offer in same),
    )


def avoiding_sources(package: LockedPackage, target: Target, offers: Sequence[Offer]) -> str:
    """Return in words which wheel would make the building of a package from its sources needless."""
    same = [offer for offer in offers if _version(offer.version) == _version(package.version)]
    ways = [way for way in _ways_out(package, target, offers, same) if not way.startswith("build its sdist")]
    return "; or ".join(ways)


def accepted(target: Target) -> str:
    """Return the platforms, machine and Python of a target's wheels in words."""
    oldest = "_".join(map(str, OLDEST_GLIBC[target.machine]))
    newest = "_".join(map(str, target.glibc))
    python = ".".join(map(str, target.version))
    return f"manylinux_{oldest} … manylinux_{newest}, {target.machine}, CPython {python}"


def _offered(same: Sequence[Offer], offers: Sequence[Offer]) -> str:
    if not offers:
        return "The indexes do not know the package"
    if not same:
        return "The indexes have no file of this version"
    tags = sorted({"-".join(offer.filename[:-4].split("-")[-3:]) for offer in same if offer.kind == "wheel"})
    shown = ", ".join(tags[:_SHOWN_TAGS]) + (
        f" and {len(tags) - _SHOWN_TAGS} more" if len(tags) > _SHOWN_TAGS else ""
    )
    limits = sorted({offer.requires_python for offer in same if offer.requires_python})
    sdist = any(offer.kind == "sdist" for offer in same)
    return (
        f"The indexes offer {f'wheels for {shown}' if tags else 'no wheel'}"
        + (" and an sdist" if sdist else " and no sdist")
        + (f"; it requires Python {', '.join(limits)}" if limits else "")
    )


def _ways_out(
    package: LockedPackage, target: Target, offers: Sequence[Offer], same: Sequence[Offer]
) -> list[str]:
    ways = []
    versions = [
        version
        for offer in offers
        if not offer.yanked
        and (version := _version(offer.version)) is not None
        and not version.is_prerelease
        and _loads(offer, target)
    ]
    if versions:
        ways.append(f"require {package.name}=={max(versions)}, the newest version with a wheel for it")
    other: Architecture = "x86_64" if target.architecture == "arm64" else "arm64"
    if same and _fitting(package.version, replace(target, architecture=other), offers):
        ways.append(f"use the architecture {other}, which has a wheel")
    elif any(offer.kind == "wheel" for offer in same):
        ways.append("use a runtime or architecture that one of its wheels is made for")
    if any(offer.kind == "sdist" for offer in same):
        ways.append("build its sdist in a container: leave out --container never")
    return ways or ["check the name and version, and the index options of pip (`pip config list`)"]
