"""`Imaging`: what all image functions of a run share, and how one of them becomes an image."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.archive.gzipped import COMPRESSOR
from planton_build.archive.member import Member
from planton_build.artifact import BASE, ImageArtifact, PackageShare, bytecode_of, largest_of
from planton_build.cache import Store
from planton_build.errors import SeveralErrors
from planton_build.events import Listener, StepAdvanced, StepFinished, StepStarted
from planton_build.imaging.base import Base, base_of
from planton_build.imaging.layers import LayerMaker, MadeLayer
from planton_build.imaging.lock import NAME, ImageLocks
from planton_build.parallel import each
from planton_build.project.function import FunctionProject
from planton_build.registry.registries import Registries

if TYPE_CHECKING:
    from planton_build.audit.image.check import ImageReport
    from planton_build.ecosystems.python.locking import LockMode
    from planton_build.imaging.recipe import Recipe
    from planton_build.oci.image import Image

_FORMAT = 1
"""Raised whenever the same inputs may give another image than before."""
_PACKAGES, _SOURCES = "planton-build: packages", "planton-build: sources"
"""What the history of an image says of its layers. No version in it: it would change every digest."""


class Imaging:
    """Makes the images of a run. Safe to use from several threads."""

    def __init__(
        self,
        store: Store,
        *,
        mode: LockMode,
        listener: Listener,
        jobs: int,
        upgrade: bool = False,
        registries: Registries | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Take what a run's images share; `environment` is the process's, for the container engine."""
        self.store = store
        self.listener = listener
        self.registries = registries or Registries()
        self.environment = environment or {}
        self.jobs = jobs
        self.locks = ImageLocks(mode, upgrade)
        self._layers = LayerMaker(store, jobs)

    def base_of(self, project: FunctionProject) -> Base:
        """Return the base image of a function; see `base.base_of`."""
        return base_of(project, self.locks, self.registries)

    def fingerprint(self, project: FunctionProject, base: Base) -> object:
        """Return, as a JSON value, what decides a function's image besides its files."""
        options = project.options
        how = [options.layer_compression, COMPRESSOR]
        return [_FORMAT, base.digest, options.entrypoint, how]

    def lock(self, project: FunctionProject) -> Path | None:
        """Lock the images that a function is built on; return the lock's file, or None if there is none."""
        if project.options.dockerfile is not None:
            self.recipe(project, project.options.dockerfile)
        else:
            self.base_of(project)
        path = project.options.source / NAME
        return path if path.exists() else None

    def recipe(self, project: FunctionProject, dockerfile: Path) -> Recipe:
        """Return how a function's Dockerfile is built: read, with the images it names locked."""
        from planton_build.imaging.recipe import recipe_of

        return recipe_of(project, dockerfile, self)

    def assembled(
        self,
        project: FunctionProject,
        base: Base,
        members: Sequence[Member],
        shares: Sequence[PackageShare],
        notes: Sequence[str],
    ) -> tuple[ImageArtifact, list[str]]:
        """Put an image together: the base, a layer of packages, a layer of sources. Check it, and keep it.

        Returns:
            The image, and `notes` with those on it.

        Raises:
            PlantonError: the base is not to be had, or Lambda would not take the image.
        """
        from planton_build.archive.digest import tree_digest
        from planton_build.imaging.base import image_of
        from planton_build.oci.assemble import NewLayer, assemble
        from planton_build.oci.media_types import ARCHITECTURES
        from planton_build.oci.store import keep

        target = project.target
        below = image_of(base, target, self.store, self.registries)
        made = self._made_beside(project, members, below)
        image = assemble(
            below,
            [NewLayer(one.layer, said) for said, one in made],
            architecture=ARCHITECTURES[target.architecture],
            entrypoint=project.options.entrypoint or None,
            command=(project.handler,),
            working_dir="/var/task",
            environment={},
        )
        keep(image, self.store, layers=False)
        report, found = self.checked(project, image, len(below.layers))
        base_size = sum(layer.descriptor.size for layer in below.layers)
        own = sum(one.tar_size for _, one in made)
        artifact = ImageArtifact(
            path=self.store.blob("blobs", image.digest.removeprefix("sha256:")),
            sha256=image.digest.removeprefix("sha256:"),
            tree_digest=tree_digest(members),
            size=image.size,
            unzipped_size=report.unpacked,
            files=len(members),
            packages=_with_base(shares, base_size, report.unpacked - own),
            largest=largest_of(members),
            image=image,
            base=base.reference,
            bytecode=bytecode_of(members),
        )
        return artifact, [*notes, *found]

    def checked(
        self, project: FunctionProject, image: Image, base_layers: int
    ) -> tuple[ImageReport, list[str]]:
        """Hold an image against Lambda's rules; return what it is, and what is worth a word.

        Raises:
            PlantonError: Lambda would not take or run it.
        """
        from planton_build.imaging.checks import checked

        return checked(
            project,
            image,
            base_layers=base_layers,
            store=self.store,
            registries=self.registries,
            listener=self.listener,
            jobs=self.jobs,
        )

    def _made_beside(
        self, project: FunctionProject, members: Sequence[Member], below: Image
    ) -> list[tuple[str, MadeLayer]]:
        """Make the layers, and look into the base meanwhile: the first time, either takes seconds."""
        from planton_build.imaging.checks import look_into

        def make() -> list[tuple[str, MadeLayer]]:
            return self._made(project, members)

        def look() -> list[tuple[str, MadeLayer]]:
            look_into(below, store=self.store, registries=self.registries)
            return []

        done = each([make, look], lambda work: work(), jobs=2)
        return [made for group in done for made in group]

    def _made(self, project: FunctionProject, members: Sequence[Member]) -> list[tuple[str, MadeLayer]]:
        """Make the layers: what changes least goes lowest, so that a change of code pushes only itself.

        Raises:
            MemberCollision, CacheBroken: see `LayerMaker.layer`.
        """
        packages = [member for member in members if member.origin]
        sources = [member for member in members if not member.origin]
        groups = [(said, group) for said, group in ((_PACKAGES, packages), (_SOURCES, sources)) if group]
        started, name = time.perf_counter(), project.name
        total = sum(member.size for member in members)
        self.listener(StepStarted(name, "layers", total, "bytes"))

        def make(group: tuple[str, list[Member]]) -> tuple[str, MadeLayer]:
            return group[0], self._layers.layer(
                group[1],
                project.options.layer_compression,
                lambda size: self.listener(StepAdvanced(name, "layers", size)),
            )

        try:
            made = each(groups, make, jobs=2)
        except SeveralErrors as errors:  # they are of one function, and most often of one full disk
            raise errors.errors[0] from errors
        detail = f"{len(made)} layer{'s' if len(made) != 1 else ''}"
        self.listener(StepFinished(name, "layers", detail, time.perf_counter() - started))
        return made


def _with_base(shares: Sequence[PackageShare], size: int, unpacked: int) -> tuple[PackageShare, ...]:
    everything = [*shares, PackageShare(BASE, "", size, unpacked, 0)]
    return tuple(sorted(everything, key=lambda share: (-share.unzipped_size, share.name)))
