"""Images in the store: their documents and their own layers, found again by the digest of the manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeAlias

from planton_build.cache import Store, key_of
from planton_build.errors import CacheBroken, ImageInvalid
from planton_build.oci.blobs import Content, Descriptor, FileContent, verified
from planton_build.oci.documents import DOCUMENT_LIMIT, parse_manifest
from planton_build.oci.image import Image, Layer, joined

Elsewhere: TypeAlias = Callable[[Descriptor, str], Content | None]
"""Where a layer is that the store has not: asked with its descriptor and its `diff_id`, None if nowhere."""


def keep(image: Image, store: Store, *, layers: bool = True) -> None:
    """Put an image's manifest and configuration into the store, and its layers unless `layers` is False.

    A layer that is in the store already is left alone. Which ones are is remembered: `load` does not look for
    them elsewhere.

    Raises:
        CacheBroken: the store cannot be written.
        ImageMismatch: the bytes of a layer are not those its digest names.
    """
    own = []
    for layer in image.layers:
        if layers:
            _keep_layer(layer, store)
        if _has(store, layer.descriptor):
            own.append(layer.descriptor.digest)
    for content in (image.config, image.manifest):  # the manifest last: it stands for all of it
        store.keep_bytes("blobs", hashlib.sha256(content).hexdigest(), content)
    store.put_record("images", _key(image.digest), own)


def load(store: Store, digest: str, elsewhere: Elsewhere) -> Image | None:
    """Return the image with this manifest digest, or None when the store lacks a part of its own.

    Layers that the store never had come from `elsewhere`.

    Raises:
        CacheBroken: the store cannot be used.
    """
    manifest = _document(store, digest)
    if manifest is None:
        return None
    own = store.record("images", _key(digest))
    try:
        config = _document(store, parse_manifest(manifest).config.digest)
        if config is None or not isinstance(own, list):
            return None

        def content(descriptor: Descriptor, diff_id: str) -> Content:
            if _has(store, descriptor):
                return FileContent(store.blob("blobs", descriptor.hex), descriptor.size)
            found = elsewhere(descriptor, diff_id) if descriptor.digest not in own else None
            if found is None:
                raise _LayerGone
            return found

        return joined(manifest, config, content)
    except (ImageInvalid, _LayerGone):
        return None  # ImageInvalid: nothing that `keep` has been given


class _LayerGone(Exception):
    """A layer is neither in the store nor elsewhere."""


def _has(store: Store, descriptor: Descriptor) -> bool:
    """Tell whether the store has a layer: of the right size, not hashed, because whoever reads it does
    that."""
    try:
        return store.blob("blobs", descriptor.hex).stat().st_size == descriptor.size
    except FileNotFoundError:
        return False
    except OSError as error:
        raise CacheBroken(
            f"the cache folder {store.root} cannot be used: {error.strerror}",
            hint="name another folder with PLANTON_CACHE_DIR",
        ) from error


def _keep_layer(layer: Layer, store: Store) -> None:
    if _has(store, layer.descriptor):
        return
    with store.staging() as staged:
        try:
            with staged.open("wb") as stream:
                for piece in verified(layer.content, layer.descriptor):
                    stream.write(piece)
        except OSError as error:
            raise CacheBroken(
                f"the cache folder {store.root} cannot be used: {error.strerror}",
                hint="free some space or name another folder with PLANTON_CACHE_DIR",
            ) from error
        store.keep("blobs", layer.descriptor.hex, staged)


def _document(store: Store, digest: str) -> bytes | None:
    """Return a document whose content is what its name says; a damaged one is removed."""
    name = digest.removeprefix("sha256:")
    path = store.blob("blobs", name)
    try:
        if path.stat().st_size > DOCUMENT_LIMIT or not store.intact("blobs", name):
            return None
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CacheBroken(
            f"{path} cannot be read: {error.strerror}", hint="name another folder with PLANTON_CACHE_DIR"
        ) from error


def _key(digest: str) -> str:
    return key_of("own layers of", digest)
