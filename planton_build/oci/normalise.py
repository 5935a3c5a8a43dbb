"""An image that an engine has built, made to depend on its content alone.

The layers of its base stay as they are, compressed as in their registry. The others are written anew
(`retar`) and compressed by our own pinned compressor; the configuration loses times, hosts and what builders
keep for themselves. Nothing that a command wrote is left out: two builds whose commands write different
bytes, such as a log with times in it, remain different images.
"""

from __future__ import annotations

import contextlib
import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from planton_build.archive.gzipped import Gzipped, WrittenGzip
from planton_build.cache import Store, key_of
from planton_build.errors import CacheBroken, ImageInvalid, ImageMismatch, SizeLimitExceeded
from planton_build.oci.assemble import CREATED, image_of
from planton_build.oci.blobs import Descriptor, FileContent
from planton_build.oci.image import Image, Layer
from planton_build.oci.media_types import DOCKER_MANIFEST, GZIPPED_LAYERS, LAYER_OF, OCI_TAR_LAYER
from planton_build.oci.retar import Sources, Window, retar

UNPACKED_MAX = 11 << 30
"""Bytes of a layer's tar: somewhat more than Lambda takes of a whole image (10 GB)."""
_FORMAT = 1
"""Raised whenever the same tar may give another layer than before."""
_TAR_LAYERS = (OCI_TAR_LAYER, "application/vnd.docker.image.rootfs.diff.tar")
_VOLATILE = ("container", "container_config", "docker_version", "id", "parent", "variant", "os.version")
_BUILDERS_OWN = "moby.buildkit."
_VOLATILE_SETTINGS = (
    *("Hostname", "Domainname", "Image", "AttachStdin", "AttachStdout", "AttachStderr"),
    *("Tty", "OpenStdin", "StdinOnce", "ArgsEscaped"),
)
_ARM64_VARIANT = "v8"


def normalise(
    image: Image,
    *,
    architecture: str,
    store: Store,
    base: Image | None = None,
    base_diff_ids: Sequence[str] = (),
    jobs: int = 2,
) -> Image:
    """Return the normalised image. Its own layers are in the store afterwards, and nowhere else.

    Args:
        image: as it was read from what the engine exported.
        architecture: `amd64` or `arm64`: what it was built for. Builders are known to write another.
        store: where the layers go.
        base: the image that it was built on, if it could be had: its compressed layers are taken over.
        base_diff_ids: the layers below that one, where only the engine has it: they are only compressed.
        jobs: threads that compress; they change no byte.

    Raises:
        ImageInvalid: a document or a layer is malformed.
        ImageMismatch: the bytes of a layer are not those that it is named by.
        SizeLimitExceeded: a layer is larger unpacked than Lambda takes of a whole image.
        CacheBroken: the store cannot be used.
    """
    kind = base.media_type if base is not None else DOCKER_MANIFEST
    below = _common(image, [layer.diff_id for layer in base.layers] if base is not None else base_diff_ids)
    kept = base.layers if base is not None and below == len(base.layers) else ()
    layers: list[Layer | None] = list(kept)
    sources = Sources()
    for index, layer in enumerate(image.layers[len(kept) :], len(kept)):
        if index < below:
            layers.append(_compressed(layer, store, kind, jobs))
        else:
            layers.append(_rewritten(layer, store, kind, sources, jobs))
    history = _history(image.settings.document.get("history"), layers)
    whole = [layer for layer in layers if layer is not None]
    document = _document(image.settings.document, architecture)
    document["rootfs"] = {"type": "layers", "diff_ids": [layer.diff_id for layer in whole]}
    document["history"] = history or [{"created": CREATED, "created_by": "layer"} for _ in whole]
    return image_of(kind, document, whole)


def _common(image: Image, diff_ids: Sequence[str]) -> int:
    """Return how many of the lowest layers are the base's: all of those or none."""
    own = [layer.diff_id for layer in image.layers]
    return len(diff_ids) if own[: len(diff_ids)] == list(diff_ids) else 0


def _compressed(layer: Layer, store: Store, kind: str, jobs: int) -> Layer:
    """Return a layer of the base with the same tar, compressed here unless it was before."""
    key = key_of("plain layer", _FORMAT, layer.diff_id)
    found = _remembered(key, store, kind)
    if found is not None:
        return found
    with _unpacked(layer, store) as tar, store.staging() as staged, Gzipped(staged, jobs=jobs) as gzipped:
        while piece := tar.read(1 << 20):
            gzipped.write(piece)
        written = gzipped.finish()
        if written.unpacked_digest != layer.diff_id:
            raise _other_bytes(layer)
        store.keep("blobs", written.digest.removeprefix("sha256:"), staged)
    return _remember(key, written, store, kind)


def _rewritten(layer: Layer, store: Store, kind: str, sources: Sources, jobs: int) -> Layer | None:
    """Return a layer written anew, or None for one that holds nothing."""
    with (
        _unpacked(layer, store) as tar,
        store.staging() as staged,
        Gzipped(staged, jobs=jobs) as gzipped,
    ):
        # A Window has what file_digest uses; IO[bytes] does not say so.
        if f"sha256:{hashlib.file_digest(tar, 'sha256').hexdigest()}" != layer.diff_id:  # type: ignore[arg-type]
            raise _other_bytes(layer)
        tar.seek(0)
        entries = retar(tar, gzipped, sources)
        written = gzipped.finish()
        if not entries:
            return None
        store.keep("blobs", written.digest.removeprefix("sha256:"), staged)
    return _layer(written.digest, written.size, written.unpacked_digest, store, kind)


@contextlib.contextmanager
def _unpacked(layer: Layer, store: Store) -> Iterator[IO[bytes]]:
    """Give a layer's tar as a file: where it is, or unpacked to a temporary file."""
    kind, content = layer.descriptor.media_type, layer.content
    if kind in _TAR_LAYERS and isinstance(content, FileContent):
        _check_size(content.size)
        with _reading(content.path) as stream:
            # It has all of IO[bytes] that is used here.
            yield Window(stream, content.start, content.size)  # type: ignore[misc]
        return
    if kind not in GZIPPED_LAYERS + _TAR_LAYERS:
        raise ImageInvalid(
            f"the engine made a layer of the kind {kind[:100]!r}, which is not read here",
            hint="have it make gzipped layers: with buildx, leave out compression=",
        )
    with store.staging() as staged:
        with staged.open("wb") as stream:
            size = 0
            for piece in _inflated(layer) if kind in GZIPPED_LAYERS else content.chunks():
                size += len(piece)
                _check_size(size)
                stream.write(piece)
        with _reading(staged) as stream:
            yield stream


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        raise CacheBroken(
            f"{path} cannot be read: {error.strerror}", hint="run the command again", file=path
        ) from error


def _inflated(layer: Layer) -> Iterator[bytes]:
    """Yield what a gzip file of one or more members unpacks to, in pieces."""
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        for piece in layer.content.chunks():
            rest = piece
            while rest:
                yield inflater.decompress(rest, 1 << 20)
                rest = inflater.unconsumed_tail or inflater.unused_data
                if inflater.eof:
                    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    except zlib.error as error:
        raise ImageInvalid(f"the layer {layer.descriptor.digest} is no proper gzip file: {error}") from error


def _check_size(size: int) -> None:
    if size > UNPACKED_MAX:
        raise SizeLimitExceeded(
            "a layer of the image is larger than the 10 GB, unpacked, that Lambda takes of an image",
            hint="copy into the last stage only what the function needs",
        )


def _other_bytes(layer: Layer) -> ImageMismatch:
    return ImageMismatch(
        f"the engine exported other bytes for the layer {layer.diff_id} than it names it by",
        hint="its storage is damaged, or it was cut off: build again with --no-cache",
    )


def _remembered(key: str, store: Store, kind: str) -> Layer | None:
    record = store.record("image_layers", key)
    if not isinstance(record, dict):
        return None
    digest, size = str(record.get("digest")), int(record.get("size", 0))
    path = store.blob("blobs", digest.removeprefix("sha256:"))
    if not path.is_file() or path.stat().st_size != size:
        return None
    return _layer(digest, size, str(record.get("diff_id")), store, kind)


def _remember(key: str, written: WrittenGzip, store: Store, kind: str) -> Layer:
    record = {"digest": written.digest, "size": written.size, "diff_id": written.unpacked_digest}
    store.put_record("image_layers", key, record)
    return _layer(written.digest, written.size, written.unpacked_digest, store, kind)


def _layer(digest: str, size: int, diff_id: str, store: Store, kind: str) -> Layer:
    descriptor = Descriptor(LAYER_OF[kind], digest, size)
    return Layer(descriptor, diff_id, FileContent(store.blob("blobs", descriptor.hex), size))


def _history(history: object, layers: Sequence[Layer | None]) -> list[dict[str, Any]]:
    """Return the history with fixed times, and with the layers that hold nothing marked as empty.

    Where it does not tell of every layer, there is none.
    """
    entries = history if isinstance(history, list) else []
    if not all(isinstance(entry, dict) for entry in entries):
        return []
    if sum(not entry.get("empty_layer") for entry in entries) != len(layers):
        return []
    result, following = [], iter(layers)
    for entry in entries:
        told = {
            key: entry[key] for key in ("created_by", "author", "comment") if isinstance(entry.get(key), str)
        }
        told["created"] = CREATED
        if entry.get("empty_layer") or next(following) is None:
            told["empty_layer"] = True
        result.append(told)
    return result


def _document(document: Mapping[str, Any], architecture: str) -> dict[str, Any]:
    """Return the configuration without what one build has and the next has not."""
    result = {
        key: value
        for key, value in document.items()
        if key not in _VOLATILE and not key.startswith(_BUILDERS_OWN) and value is not None
    }
    inner = document.get("config")
    settings = inner if isinstance(inner, dict) else {}
    result["config"] = {
        key: value
        for key, value in settings.items()
        if key not in _VOLATILE_SETTINGS and value is not None and value not in ("", [], {})
    }
    result |= {"architecture": architecture, "os": "linux", "created": CREATED}
    if architecture == "arm64":
        result["variant"] = _ARM64_VARIANT
    return result
