"""Layers that are not compressed, made into what Lambda takes: gzipped, once, and kept in the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from planton_build.archive.gzipped import COMPRESSOR, Gzipped
from planton_build.cache import Store, key_of
from planton_build.errors import ImageMismatch
from planton_build.oci.assemble import image_around
from planton_build.oci.blobs import Descriptor, FileContent, verified
from planton_build.oci.image import Image, Layer
from planton_build.oci.media_types import LAYER_OF, OCI_TAR_LAYER

_UNCOMPRESSED = (OCI_TAR_LAYER, "application/vnd.docker.image.rootfs.diff.tar")


def with_gzipped_layers(
    image: Image, store: Store, *, jobs: int = 2, advanced: Callable[[int], None] | None = None
) -> Image:
    """Return an image with every uncompressed layer gzipped; the image itself if it has none.

    The configuration stays as it is, byte for byte; the manifest is another. `advanced` is told how many more
    bytes have been compressed.

    Raises:
        ImageMismatch: the bytes of a layer are not those its digest names.
        CacheBroken: the bytes of a layer cannot be read, or the store cannot be written.
    """
    if not any(layer.descriptor.media_type in _UNCOMPRESSED for layer in image.layers):
        return image
    tell = advanced or _tell_nobody
    layers = [
        _gzipped(layer, LAYER_OF[image.media_type], store, jobs, tell)
        if layer.descriptor.media_type in _UNCOMPRESSED
        else layer
        for layer in image.layers
    ]
    return image_around(image.media_type, image.config, layers)


def _gzipped(layer: Layer, kind: str, store: Store, jobs: int, tell: Callable[[int], None]) -> Layer:
    key = key_of("gzipped", COMPRESSOR, layer.diff_id)
    known = store.record("image_layers", key)
    if isinstance(known, dict):
        made = _kept(layer, Descriptor(kind, str(known["digest"]), int(known["size"])), store)
        if store.intact("blobs", made.descriptor.hex):
            return made
    with store.staging() as staged:
        with Gzipped(staged, jobs=jobs) as output:
            for piece in verified(layer.content, layer.descriptor):
                output.write(piece)
                tell(len(piece))
            written = output.finish()
        if written.unpacked_digest != layer.diff_id:
            raise ImageMismatch(
                f"a layer of the image unpacks to {written.unpacked_digest}, "
                f"and its configuration says {layer.diff_id}",
                hint="write the image again: it is damaged",
            )
        store.keep("blobs", written.digest.removeprefix("sha256:"), staged)
    store.put_record("image_layers", key, {"digest": written.digest, "size": written.size})
    return _kept(layer, Descriptor(kind, written.digest, written.size), store)


def _kept(layer: Layer, descriptor: Descriptor, store: Store) -> Layer:
    content = FileContent(store.blob("blobs", descriptor.hex), descriptor.size)
    return replace(layer, descriptor=descriptor, content=content)


def _tell_nobody(_size: int) -> None:
    pass
