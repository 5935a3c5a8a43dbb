"""The image that a function's image is built on: which one, by digest, and its layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planton_build.cache import Store
from planton_build.errors import ImageUnavailable
from planton_build.imaging.lock import ImageLocks
from planton_build.imaging.sources import digest_now, is_on_disk, open_image
from planton_build.oci.image import Image
from planton_build.project.function import FunctionProject
from planton_build.registry.registries import Registries

if TYPE_CHECKING:
    from planton_build.runtimes.target import Target


@dataclass(frozen=True, slots=True)
class Base:
    """A base image. `name` is as configured, with runtime and architecture filled in and without digest:
    an image's name, `oci:FOLDER` or `docker-archive:FILE`. `digest` is that of its manifest."""

    name: str
    digest: str

    @property
    def reference(self) -> str:
        """Return the name with the digest, which is found again for good."""
        return f"{self.name}@{self.digest}"


def base_of(project: FunctionProject, locks: ImageLocks, registries: Registries) -> Base:
    """Return a function's base image by digest: configured, locked, or resolved and locked now.

    Raises:
        ImageUnavailable: it is not to be had, or has no registry in its name.
        LockOutdated: it is not locked, and nothing may be written.
    """
    from planton_build.runtimes.catalog import base_image

    target, configured = project.target, project.options.base_image
    name = configured or base_image(target)
    name = name.replace("{runtime}", target.runtime).replace("{architecture}", target.architecture)
    if is_on_disk(name):
        return Base(name, open_image(name, architecture=target.architecture).digest)
    name, _, digest = name.partition("@")
    if not digest:
        folder = project.options.source
        digest = locks.digest(folder, name, target.architecture, lambda: _resolved(name, target, registries))
    return Base(name, digest)


def image_of(base: Base, target: Target, store: Store, registries: Registries) -> Image:
    """Return a base image: its documents from the store if they are there, else from its registry.

    Raises:
        ImageUnavailable, ImageMismatch, ImageInvalid: it is not to be had, or not what it should be.
    """
    from planton_build.imaging.kept import elsewhere
    from planton_build.oci.store import keep, load

    if is_on_disk(base.name):
        from planton_build.oci.recompress import with_gzipped_layers

        return with_gzipped_layers(open_image(base.name, architecture=target.architecture), store)
    found = load(store, base.digest, elsewhere(base.reference, store))
    if found is None:
        found = open_image(base.reference, architecture=target.architecture, registries=registries)
        keep(found, store, layers=False)
        found = load(store, base.digest, elsewhere(base.reference, store)) or found
    return found


def _resolved(name: str, target: Target, registries: Registries) -> str:
    from planton_build.registry.reference import parse_reference

    if parse_reference(name).host is None:
        raise ImageUnavailable(
            f"the base image {name} has no registry in its name, and no engine is asked for it",
            hint="push it to a registry and name that, or write it to a file with `docker save` and set "
            'base-image = "docker-archive:FILE"',
        )
    try:
        return digest_now(name, target.architecture, registries)
    except ImageUnavailable as error:
        raise ImageUnavailable(
            f"the base image is not to be had: {error.message}",
            hint="check the network and `docker login`, or name another image with `base-image`; it is asked "
            "for once, then images.lock has its digest",
        ) from error
