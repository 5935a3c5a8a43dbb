"""Which image of an index is meant: by tag, by digest, by architecture, or because there is only one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from planton_build.errors import ImageInvalid, ImageMismatch, ImageUnavailable
from planton_build.oci.blobs import Content, Descriptor
from planton_build.oci.documents import (
    IndexEntry,
    document_of,
    media_type_of,
    parse_index,
    parse_manifest,
    read_document,
)
from planton_build.oci.image import Image, joined
from planton_build.oci.media_types import INDEXES, MANIFESTS

Blobs: TypeAlias = Callable[[Descriptor], Content]
"""Where a blob is. Raises ImageInvalid when it is not there, or of another size."""
_DEPTH = 4
_DOCUMENTS = 200
"""Manifests and indexes that are read to find an image: a hostile index must not keep us busy."""


def find_image(
    index: bytes,
    blobs: Blobs,
    *,
    what: str,
    reference: str = "",
    full_name: str = "",
    architecture: str = "",
) -> Image:
    """Return the image that is meant. `what` names the layout or archive in messages.

    `reference` is a tag, a name or a digest, `full_name` the same name in another form, if it has one;
    `architecture` is one as images have it, such as `arm64`. Where they are "", there must be
    only one image that fits the rest.

    Raises:
        ImageUnavailable: there is no such image.
        ImageInvalid: several would do, or a document is malformed.
        ImageMismatch: a blob is not what its digest says, or the only image is for another architecture.
    """
    all_leaves = leaves = list(_leaves(parse_index(index), blobs, [_DOCUMENTS]))
    if reference:
        called = {reference, full_name}
        leaves = [leaf for leaf in all_leaves if called & {*leaf.names, leaf.descriptor.digest}]
    wanted = f"{reference or 'image'}{f' for {architecture}' if architecture else ''}"[:200]
    fitting: dict[str, Image] = {}
    others: set[str] = set()
    for leaf in leaves:
        if leaf.descriptor.digest in fitting:
            continue
        if architecture and leaf.architecture not in {"", architecture}:
            others.add(leaf.architecture)
            continue
        image = _open(leaf.descriptor, blobs)
        found = image.settings.architecture
        if architecture not in {"", found}:
            others.add(found)
            continue
        if fitting:
            raise ImageInvalid(
                f"{what} has several images, and {wanted} may mean each of them",
                hint=f"name one: {', '.join(sorted(_names(leaves)))}"[:1000],
            )
        fitting[leaf.descriptor.digest] = image
    if fitting:
        return next(iter(fitting.values()))
    if others:
        raise ImageMismatch(
            f"{what} has no {wanted}, only for {', '.join(sorted(others))}"[:500],
            hint="build or copy it for the function's architecture",
        )
    raise ImageUnavailable(
        f"{what} has no {wanted}", hint=f"it has: {', '.join(sorted(_names(all_leaves)))}"[:1000]
    )


def _names(leaves: list[IndexEntry]) -> set[str]:
    return {name for leaf in leaves for name in (leaf.names or (leaf.descriptor.digest,))}


def _leaves(
    entries: tuple[IndexEntry, ...],
    blobs: Blobs,
    left: list[int],
    names: tuple[str, ...] = (),
    depth: int = 0,
) -> Iterator[IndexEntry]:
    """Yield the entries of images; what an index of indexes is called, all its images are called too."""
    for entry in entries:
        left[0] -= 1
        if left[0] < 0 or depth > _DEPTH:
            raise ImageInvalid("the index names too many manifests, or is nested too deep")
        called = (*names, *entry.names)
        if entry.attestation:
            continue
        if entry.descriptor.media_type in INDEXES:
            content = read_document(blobs(entry.descriptor), entry.descriptor)
            also = (*called, entry.descriptor.digest)
            yield from _leaves(parse_index(content), blobs, left, also, depth + 1)
        elif entry.descriptor.media_type in MANIFESTS:
            yield IndexEntry(entry.descriptor, entry.os, entry.architecture, entry.variant, False, called)


def _open(descriptor: Descriptor, blobs: Blobs) -> Image:
    manifest = read_document(blobs(descriptor), descriptor)
    if (
        media_type_of(document_of(manifest, "the image's manifest"), descriptor.media_type)
        != descriptor.media_type
    ):
        raise ImageInvalid("the image's manifest is of another kind than its index says")
    named = parse_manifest(manifest, descriptor.media_type)
    config = read_document(blobs(named.config), named.config)
    return joined(manifest, config, lambda layer, _: blobs(layer), descriptor.media_type)
