"""Where images are: in registries, in layouts and archives on disk; one way to open all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from planton_build.oci.blobs import Content, Descriptor
from planton_build.oci.image import Image
from planton_build.oci.media_types import ARCHITECTURES
from planton_build.registry.reference import parse_reference
from planton_build.registry.registries import Registries

LAYOUT, ARCHIVE = "oci:", "docker-archive:"


@dataclass(frozen=True, slots=True)
class RegistryContent:
    """A blob in the registry of the image `reference`: what a build that has nothing to do knows of it."""

    reference: str
    descriptor: Descriptor

    def chunks(self, offset: int = 0) -> Iterator[bytes]:
        """Yield the bytes from `offset` on, with docker's login; `located` has the run's.

        Raises:
            ImageUnavailable, ImageMismatch: the registry does not give them.
        """
        return located(self, Registries()).chunks(offset)


def digest_now(name: str, architecture: str, registries: Registries) -> str:
    """Return the digest of the manifest that a name stands for now, asked with this run's logins.

    Raises:
        ImageUnavailable, ImageMismatch, ImageInvalid: it is not to be had, or not for the architecture.
    """
    reference = parse_reference(name)
    named = reference.digest or reference.tag or "latest"
    _, manifest = registries.repository(reference).manifest_for(named, architecture=architecture)
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def located(content: RegistryContent, registries: Registries) -> Content:
    """Return a blob in a registry, read with this run's logins."""
    from planton_build.registry.pull import RemoteContent

    return RemoteContent(registries.repository(parse_reference(content.reference)), content.descriptor)


def with_layers_located(image: Image, registries: Registries) -> Image:
    """Return an image whose layers that are in a registry are read with this run's logins."""
    layers = (
        replace(layer, content=located(layer.content, registries))
        if isinstance(layer.content, RegistryContent)
        else layer
        for layer in image.layers
    )
    return replace(image, layers=tuple(layers))


def is_on_disk(text: str) -> bool:
    """Tell whether a text names a layout or an archive instead of an image in a registry."""
    return text.startswith((LAYOUT, ARCHIVE))


def open_image(text: str, *, architecture: str, registries: Registries | None = None) -> Image:
    """Return the image that a text names.

    Args:
        text: `HOST/NAME:TAG` or `…@DIGEST`, `oci:FOLDER[:TAG|@DIGEST]`, or `docker-archive:FILE`.
        architecture: `x86_64` or `arm64`; which of several it is, and what it has to be.
        registries: where and how to ask; docker's logins by default.

    Raises:
        ImageUnavailable, ImageMismatch, ImageInvalid: it is not to be had, or not what it should be.
    """
    if not is_on_disk(text):
        reference = parse_reference(text)
        repository = (registries or Registries()).repository(reference)
        name = reference.digest or reference.tag or "latest"
        return repository.image(name, architecture=architecture)
    return _on_disk(text, architecture)


def _on_disk(text: str, architecture: str) -> Image:
    if text.startswith(ARCHIVE):
        from planton_build.oci.docker_archive import read_archive

        return read_archive(Path(text.removeprefix(ARCHIVE)), architecture=ARCHITECTURES[architecture])
    from planton_build.oci.layout import read_layout

    folder, reference = layout_parts(text.removeprefix(LAYOUT))
    return read_layout(folder, reference=reference, architecture=ARCHITECTURES[architecture])


def layout_parts(text: str) -> tuple[Path, str]:
    """Split `FOLDER[:TAG|@DIGEST]`; a folder whose name has a colon is taken as it is."""
    if Path(text).is_dir():
        return Path(text), ""
    folder, at, digest = text.rpartition("@")
    if at and digest.startswith("sha256:"):
        return Path(folder), digest
    folder, colon, tag = text.rpartition(":")
    return (Path(folder), tag) if colon else (Path(text), "")
