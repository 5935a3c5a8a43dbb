"""Manifests and configurations of images, read with suspicion: anybody can have written them.

Reading is here; making them is in `assemble`. Unknown fields are left alone: new versions of the
specification add some.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from planton_build.errors import ImageInvalid
from planton_build.oci.blobs import DIGEST, Content, Descriptor, verified
from planton_build.oci.media_types import INDEXES, MANIFESTS

DOCUMENT_LIMIT = 4 << 20
"""Bytes of a manifest: what every registry should take (OCI distribution 1.1, "Pushing Manifests"), and ECR's
limit (PutImage, `imageManifest`). Configurations are held to it too."""
LAYERS_MAX = 1000
_SIZE_MAX = 1 << 50
_NAMES = ("org.opencontainers.image.ref.name", "io.containerd.image.name")
"""Annotations with the tag (OCI image 1.1, `annotations.md`), and with the full name, as Docker writes it."""


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """What a manifest of one image names."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What a configuration says that somebody asks for. `document` is all of it."""

    architecture: str
    variant: str
    os: str
    environment: tuple[str, ...]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    working_dir: str
    user: str
    diff_ids: tuple[str, ...]
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One manifest of an index: for `os`/`architecture`, "" where the index does not say.

    `names` are those it goes by in a layout or archive on disk: its tag, its full name.
    """

    descriptor: Descriptor
    os: str
    architecture: str
    variant: str
    attestation: bool
    names: tuple[str, ...] = ()


def read_document(content: Content, descriptor: Descriptor) -> bytes:
    """Return a small blob as a whole, such as a manifest, once it is the one that its digest names.

    Raises:
        ImageInvalid: it is too large for a document.
        ImageMismatch: the bytes are not those that the descriptor names.
    """
    if descriptor.size > DOCUMENT_LIMIT:
        raise ImageInvalid(f"{descriptor.digest} has {descriptor.size:,} bytes: too large for a document")
    return b"".join(verified(content, descriptor))


def document_of(content: bytes, what: str) -> dict[str, Any]:
    """Return a JSON object. `what` names it in messages.

    Raises:
        ImageInvalid: it is too large, or no JSON object.
    """
    if len(content) > DOCUMENT_LIMIT:
        raise ImageInvalid(f"{what} is larger than {DOCUMENT_LIMIT >> 20} MiB")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ImageInvalid(f"{what} is no JSON") from error
    if not isinstance(document, dict):
        raise ImageInvalid(f"{what} is no JSON object")
    return document


def media_type_of(document: Mapping[str, Any], served_as: str = "") -> str:
    """Return what a document is: by its own word, else by that of who served it, else by its fields."""
    declared = document.get("mediaType")
    kind = declared if isinstance(declared, str) and declared else served_as.partition(";")[0].strip()
    if not kind and "config" in document and "layers" in document:
        return MANIFESTS[0]
    return kind or (INDEXES[0] if "manifests" in document else "")


def parse_manifest(content: bytes, served_as: str = "") -> ImageManifest:
    """Read the manifest of one image. `served_as` is the media type it came with, if any.

    Raises:
        ImageInvalid: it is none: an index, an old schema, or malformed.
    """
    document = document_of(content, "the image's manifest")
    kind = media_type_of(document, served_as)
    if kind in INDEXES:
        raise ImageInvalid(
            "this is an index of images, and Lambda takes the manifest of a single image",
            hint="name the manifest for the function's architecture by its digest; with buildx, build with "
            "--provenance=false --sbom=false",
        )
    if kind not in MANIFESTS:
        raise ImageInvalid(
            f"{kind[:100]!r} is no manifest that Lambda takes",
            hint="make a Docker image manifest V2 schema 2, or an OCI image manifest",
        )
    layers = _list(document, "layers", "the image's manifest")
    if len(layers) > LAYERS_MAX:
        raise ImageInvalid(f"the image's manifest names {len(layers)} layers")
    return ImageManifest(
        kind,
        descriptor_of(document.get("config"), "the image's manifest"),
        tuple(descriptor_of(layer, "the image's manifest") for layer in layers),
    )


def parse_index(content: bytes) -> tuple[IndexEntry, ...]:
    """Read an index of manifests, entries that are no images included.

    Raises:
        ImageInvalid: it is malformed.
    """
    document = document_of(content, "the index")
    entries = []
    for entry in _list(document, "manifests", "the index")[:LAYERS_MAX]:
        descriptor = descriptor_of(entry, "the index")
        platform, notes = _table(entry.get("platform")), _table(entry.get("annotations"))
        entries.append(
            IndexEntry(
                descriptor,
                _text(platform, "os"),
                _text(platform, "architecture"),
                _text(platform, "variant"),
                attestation=notes.get("vnd.docker.reference.type") == "attestation-manifest",
                names=tuple(name for key in _NAMES if (name := _text(notes, key))),
            )
        )
    return tuple(entries)


def parse_config(content: bytes) -> ImageConfig:
    """Read the configuration of an image.

    Raises:
        ImageInvalid: it is malformed.
    """
    what = "the image's configuration"
    document = document_of(content, what)
    inner = _table(document.get("config"))
    diff_ids = _texts(_table(document.get("rootfs")), "diff_ids", what)
    if not all(DIGEST.fullmatch(diff_id) for diff_id in diff_ids):
        raise ImageInvalid(f"{what} names a layer by something that is no SHA-256 digest")
    return ImageConfig(
        architecture=_text(document, "architecture"),
        variant=_text(document, "variant"),
        os=_text(document, "os"),
        environment=_texts(inner, "Env", what),
        entrypoint=_texts(inner, "Entrypoint", what),
        command=_texts(inner, "Cmd", what),
        working_dir=_text(inner, "WorkingDir"),
        user=_text(inner, "User"),
        diff_ids=diff_ids,
        document=document,
    )


def descriptor_of(value: object, what: str) -> Descriptor:
    """Read a descriptor. `what` names the document it stands in.

    Raises:
        ImageInvalid: it is malformed.
    """
    if isinstance(value, dict):
        kind, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
        whole = isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= _SIZE_MAX
        if whole and isinstance(kind, str) and isinstance(digest, str) and DIGEST.fullmatch(digest):
            return Descriptor(kind, digest, size if isinstance(size, int) else 0)
    raise ImageInvalid(f"{what} names a blob without media type, SHA-256 digest or size")


def _list(document: Mapping[str, Any], key: str, what: str) -> list[Any]:
    value = document.get(key)
    if not isinstance(value, list):
        raise ImageInvalid(f"{what} has no list {key!r}")
    return value


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _texts(document: Mapping[str, Any], key: str, what: str) -> tuple[str, ...]:
    """Return a list of texts; absent and null are none."""
    value: Sequence[Any] | None = document.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ImageInvalid(f"{what} has something else than a list of texts as {key!r}")
    return tuple(value)
