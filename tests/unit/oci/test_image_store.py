from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace

import pytest

from planton_build.cache import Store
from planton_build.errors import ImageMismatch
from planton_build.oci.blobs import BytesContent, Content, Descriptor, FileContent, verified
from planton_build.oci.image import Image, Layer
from planton_build.oci.media_types import DOCKER_MANIFEST, OCI_LAYER, OCI_TAR_LAYER
from planton_build.oci.recompress import with_gzipped_layers
from planton_build.oci.store import keep, load

MakeImage = Callable[..., Image]
MakeLayer = Callable[..., Layer]


def nowhere(descriptor: Descriptor, diff_id: str) -> Content | None:
    return None


def put(layer: Layer, store: Store) -> None:
    store.keep_bytes("blobs", layer.descriptor.hex, b"".join(layer.content.chunks()))


@pytest.mark.parametrize("kind", [DOCKER_MANIFEST, "application/vnd.oci.image.manifest.v1+json"])
def test_an_image_that_is_kept_is_loaded_again(image: MakeImage, store: Store, kind: str) -> None:
    kept = image(kind=kind)
    keep(kept, store)
    found = load(store, kept.digest, nowhere)
    assert found is not None
    assert (found.media_type, found.manifest, found.config) == (kept.media_type, kept.manifest, kept.config)
    for ours, theirs in zip(found.layers, kept.layers, strict=True):
        assert (ours.descriptor, ours.diff_id) == (theirs.descriptor, theirs.diff_id)
        assert isinstance(ours.content, FileContent)
        assert b"".join(verified(ours.content, ours.descriptor)) == b"".join(theirs.content.chunks())


def test_layers_that_were_never_in_the_store_come_from_elsewhere(image: MakeImage, store: Store) -> None:
    kept = image()
    put(kept.layers[1], store)
    keep(kept, store, layers=False)
    asked = []

    def elsewhere(descriptor: Descriptor, diff_id: str) -> Content:
        asked.append((descriptor, diff_id))
        return BytesContent(b"from elsewhere")

    found = load(store, kept.digest, elsewhere)
    assert found is not None
    assert asked == [(kept.layers[0].descriptor, kept.layers[0].diff_id)]
    assert b"".join(found.layers[0].content.chunks()) == b"from elsewhere"
    assert load(store, kept.digest, nowhere) is None


def test_an_own_layer_that_is_gone_is_not_looked_for_elsewhere(image: MakeImage, store: Store) -> None:
    kept = image()
    keep(kept, store)
    store.blob("blobs", kept.layers[0].descriptor.hex).unlink()
    assert load(store, kept.digest, lambda descriptor, diff_id: BytesContent(b"")) is None


@pytest.mark.parametrize("which", ["manifest", "config"])
@pytest.mark.parametrize("how", ["gone", "changed"])
def test_an_image_without_whole_documents_is_not_loaded(
    image: MakeImage, store: Store, which: str, how: str
) -> None:
    kept = image()
    keep(kept, store)
    digest = kept.digest if which == "manifest" else kept.config_digest
    path = store.blob("blobs", digest.removeprefix("sha256:"))
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes().replace(b":", b" :", 1))
    assert load(store, kept.digest, nowhere) is None
    keep(kept, store)
    assert load(store, kept.digest, nowhere) is not None


def test_what_was_never_kept_is_not_loaded(store: Store) -> None:
    assert load(store, "sha256:" + "0" * 64, nowhere) is None


def test_a_layer_with_other_bytes_is_not_kept(image: MakeImage, store: Store) -> None:
    good = image()
    wrong = replace(good.layers[0], content=BytesContent(b"other"))
    with pytest.raises(ImageMismatch):
        keep(replace(good, layers=(wrong, *good.layers[1:])), store)
    assert load(store, good.digest, nowhere) is None
    assert not list((store.root / "staging").iterdir())


def test_uncompressed_layers_are_gzipped_once_and_the_configuration_stays(
    image: MakeImage, layer: MakeLayer, store: Store
) -> None:
    plain, packed = layer("plain", b"p" * 9000, kind=OCI_TAR_LAYER), layer("packed")
    given = image(plain, packed)
    steps: list[int] = []
    made = with_gzipped_layers(given, store, advanced=steps.append)
    assert (made.config, made.layers[1]) == (given.config, packed)
    assert (made.layers[0].descriptor.media_type, made.layers[0].diff_id) == (OCI_LAYER, plain.diff_id)
    content = b"".join(verified(made.layers[0].content, made.layers[0].descriptor))
    assert gzip.decompress(content) == b"".join(plain.content.chunks())
    assert sum(steps) == plain.descriptor.size
    again = with_gzipped_layers(given, store, advanced=steps.append)
    assert (again.digest, sum(steps)) == (made.digest, plain.descriptor.size)
    store.blob("blobs", made.layers[0].descriptor.hex).write_bytes(b"damaged")
    assert with_gzipped_layers(given, store).digest == made.digest
    assert store.intact("blobs", made.layers[0].descriptor.hex)
    assert with_gzipped_layers(image(packed), store) == image(packed)


def test_a_layer_that_is_not_what_the_configuration_says_is_not_gzipped(
    image: MakeImage, layer: MakeLayer, store: Store
) -> None:
    plain = layer("plain", kind=OCI_TAR_LAYER)
    with pytest.raises(ImageMismatch):
        with_gzipped_layers(image(replace(plain, diff_id=layer("other").diff_id)), store)
    wrong = replace(plain, content=BytesContent(b"x" * plain.descriptor.size))
    with pytest.raises(ImageMismatch):
        with_gzipped_layers(image(wrong), store)
