"""What changes between two builds of a function's code, in terms of packages and bytes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from planton_build.artifact import AnyArtifact
from planton_build.build_records import Contents


@dataclass(frozen=True, slots=True)
class PackageChange:
    """A package with its version in both builds; None where it is not in one of them."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class CodeDifference:
    """What a new build brings. All by name; sizes in bytes, negative for a smaller build.

    `known` is False when the record of one of the builds is not at hand; then nothing else counts.
    """

    known: bool = False
    added: tuple[PackageChange, ...] = ()
    removed: tuple[PackageChange, ...] = ()
    changed: tuple[PackageChange, ...] = ()
    size: int = 0
    unzipped_size: int = 0

    @property
    def packages(self) -> tuple[PackageChange, ...]:
        """Return all packages that differ."""
        return (*self.added, *self.removed, *self.changed)


def code_difference(
    before: AnyArtifact | Contents | None, after: AnyArtifact | Contents | None
) -> CodeDifference:
    """Compare what is deployed with what would be; None stands for a build that nothing is known of.

    The function's own files, a base image and the layers of a Dockerfile are no packages: they have no
    version.
    """
    if before is None or after is None:
        return CodeDifference()
    old, new = _versions(before), _versions(after)
    return CodeDifference(
        known=True,
        added=tuple(PackageChange(name, None, new[name]) for name in sorted(new.keys() - old.keys())),
        removed=tuple(PackageChange(name, old[name], None) for name in sorted(old.keys() - new.keys())),
        changed=tuple(
            PackageChange(name, old[name], new[name])
            for name in sorted(old.keys() & new.keys())
            if old[name] != new[name]
        ),
        size=after.size - before.size,
        unzipped_size=after.unzipped_size - before.unzipped_size,
    )


def _versions(artifact: AnyArtifact | Contents) -> Mapping[str, str]:
    return {share.name: share.version for share in artifact.packages if share.version}
