"""Images that were made before, put together again from the store; and where layers are that it lacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from planton_build.cache import Store
from planton_build.imaging.sources import ARCHIVE, LAYOUT, RegistryContent
from planton_build.oci.blobs import Content, Descriptor, FileContent
from planton_build.oci.image import Image


def kept_image(store: Store, digest: str, base: str) -> Image | None:
    """Return the image with this manifest digest, or None when the store lacks a part that is not its base's.

    `base` is the reference of the image it is built on: what the store has not of it comes from there.
    """
    from planton_build.oci.store import load

    return load(store, digest, elsewhere(base, store))


def elsewhere(base: str, store: Store) -> Callable[[Descriptor, str], Content | None]:
    """Return where a base image's layers are: in the store, on disk, or in its registry; None for nowhere."""

    def content(descriptor: Descriptor, _diff_id: str) -> Content | None:
        kept = store.blob("blobs", descriptor.hex)
        if kept.exists():
            return FileContent(kept, descriptor.size)
        if base.startswith(LAYOUT):
            folder = base.removeprefix(LAYOUT).rpartition("@")[0]
            return FileContent(Path(folder) / "blobs" / "sha256" / descriptor.hex, descriptor.size)
        if base.startswith(ARCHIVE) or not base:
            return None  # what comes out of an archive is compressed, and only the store has that
        return RegistryContent(base, descriptor)

    return content
