"""`BuildRoom`: one function's way into containers, and the build lock that makes the next time the same.

Everything is asked of the build lock first: with it, and with the results in the store, no engine is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.ecosystems.python.building.build_lock import (
    BuildLock,
    LockedBuild,
    read_build_lock,
    render,
)
from planton_build.ecosystems.python.building.containers import Containers, toolchain_digest
from planton_build.errors import ContainerRequired, LockOutdated
from planton_build.files import write_atomic
from planton_build.project.function import FunctionProject
from planton_build.sandbox.job import Limits

if TYPE_CHECKING:
    from planton_build.ecosystems.python.locking import LockMode
    from planton_build.sandbox.build_image import BuildImage, ImagePin
    from planton_build.sandbox.container import Sandbox
    from planton_build.sandbox.pins import Pin


class BuildRoom:
    """Gives a function its sandbox and its build image, and keeps the build lock.

    Args:
        project: the function.
        path: where the build lock is, or will be.
        containers: what all functions share.
        mode: whether the build lock may be written.
        upgrade: take a newer image and newer build requirements than those that are locked.
    """

    def __init__(
        self,
        project: FunctionProject,
        path: Path,
        containers: Containers,
        *,
        mode: LockMode,
        upgrade: bool = False,
    ) -> None:
        self.project = project
        self.path = path
        self.limits = Limits(project.options.container_memory, project.options.container_timeout)
        self._containers = containers
        self._mode = mode
        self._locked = read_build_lock(self.path, project.target) if self.path.is_file() else None
        self._fresh = not upgrade
        self._image: BuildImage | None = None

    @property
    def digest(self) -> str | None:
        """Return what stands for the build lock in keys, None without one that holds.

        One for another image or other system packages would let results pass that were made with those.
        """
        return self.locked.digest if self.locked is not None else None

    @property
    def locked(self) -> BuildLock | None:
        """Return the build lock, if it is for the image, tools and system packages that are wanted now."""
        return self._locked if self._holds() else None

    def pin(self, reason: str) -> ImagePin:
        """Return what names the base image for good, asking an engine or a registry only the first time."""
        return self.locked.image if self.locked is not None else self.image(reason).base

    def system_packages(self) -> tuple[str, ...]:
        """Return the exact system packages of the build image, as far as they are locked."""
        return self.locked.system_packages if self.locked is not None else ()

    def sandbox(self, reason: str) -> Sandbox:
        """Return where jobs run. `reason` says for messages what needs a container.

        Raises:
            ContainerRequired: the function's mode is `never`.
            EngineUnavailable: no engine answers.
        """
        self._check_mode(reason)
        return self._containers.open(reason).sandbox

    def image(self, reason: str) -> BuildImage:
        """Return the build image, making what the engine lacks of it, and record it in the build lock.

        Raises:
            LockOutdated: the build lock lacks it, and may not be written.
            PlantonError: as `sandbox` and `Images.build_image` say.
        """
        if self._image is not None:
            return self._image
        self._check_mode(reason)
        holds = self._holds()
        if not holds and not self.may_lock:
            raise LockOutdated(
                f"{self.path.name} is {'outdated' if self._locked else 'missing'}: {reason}",
                hint="run `planton-build lock` and commit the build lock",
                file=self.path,
            )
        options, locked = self.project.options, self._locked
        images = self._containers.open(reason).images
        pin = self._wanted()
        name, digest = pin.name, pin.digest
        packages = options.system_packages
        if holds and locked is not None:
            digest, packages = locked.image.digest, locked.system_packages
        self._image = images.build_image(self.project.target, name, digest=digest, system_packages=packages)
        builds: Mapping[str, LockedBuild] = locked.builds if locked is not None and self._fresh else {}
        self._locked = BuildLock(
            self.project.target,
            self._image.base,
            self._image.toolchain,
            self._image.system_packages,
            builds,
            options.system_packages,
        )
        self._fresh = True
        return self._image

    @property
    def may_lock(self) -> bool:
        """Tell whether the mode allows to write the build lock."""
        return self._mode not in ("frozen", "check")

    def record(self, builds: Mapping[str, LockedBuild]) -> None:
        """Make `builds` those of the build lock. `save` writes it."""
        if self._locked is not None:
            self._locked = replace(self._locked, builds=dict(builds))

    def save(self) -> None:
        """Write the build lock if it says something new.

        Raises:
            LockOutdated: it may not be written, or cannot.
        """
        if self._locked is None:
            return
        text = render(self._locked).encode()
        if self.path.is_file() and self.path.read_bytes() == text:
            return
        if not self.may_lock:
            raise LockOutdated(
                f"{self.path.name} is outdated: it does not hold what this build needs",
                hint="run `planton-build lock` and commit the build lock",
                file=self.path,
            )
        try:
            write_atomic(self.path, text)
        except OSError as error:
            raise LockOutdated(
                f"{self.path.name} cannot be written: {error.strerror}",
                hint="make its folder writable, or run `planton-build lock` elsewhere and commit both locks",
                file=self.path,
            ) from error

    def _holds(self) -> bool:
        """Tell whether the build lock is for the image, tools and system packages that are wanted now."""
        locked = self._locked
        return (
            locked is not None
            and self._fresh
            and self._is_wanted(locked.image)
            and locked.toolchain == toolchain_digest(self.project.target)
            and tuple(locked.asked_packages) == tuple(self.project.options.system_packages)
        )

    def _wanted(self) -> Pin:
        """Return the base image's name and, where it is configured or this version knows it, its digest."""
        from planton_build.sandbox.pins import wanted

        return wanted(self.project.target, self.project.options.build_image)

    def _is_wanted(self, image: ImagePin) -> bool:
        """Tell whether an image is the one wanted. A configured digest counts, this version's does not."""
        pin = self._wanted()
        configured = pin.digest if self.project.options.build_image is not None else None
        return image.name == pin.name and configured in (None, image.digest)

    def _check_mode(self, reason: str) -> None:
        if self.project.options.container != "never":
            return
        raise ContainerRequired(
            f'{reason}, and `container` is "never"',
            hint="leave out --container never (or PLANTON_CONTAINER), or do without what needs the container",
            file=self.project.manifest.path,
        )
