"""Images in folders: the OCI image layout 1.0 (OCI image 1.1, `image-layout.md`), written and read.

A layout is valid from the moment that `index.json` names an image, which is written last and in one step. So
a writer that is killed leaves blobs that nothing names, and whoever was in the layout before still is.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from planton_build.errors import ImageInvalid, ImageUnavailable
from planton_build.files import replacing, sha256_of, write_atomic
from planton_build.oci.assemble import canonical, named
from planton_build.oci.blobs import BytesContent, Content, Descriptor, FileContent, verified
from planton_build.oci.documents import DOCUMENT_LIMIT, document_of, parse_index, parse_manifest
from planton_build.oci.image import Image
from planton_build.oci.media_types import OCI_INDEX
from planton_build.oci.resolve import find_image

MARKER = "oci-layout"
INDEX = "index.json"
MARKED = b'{"imageLayoutVersion":"1.0.0"}'
TAG = "org.opencontainers.image.ref.name"


def write_layout(image: Image, folder: Path, *, tag: str) -> None:
    """Write an image into the layout `folder`, which may exist and hold others, under `tag`.

    Blobs that are there already, whole, are not written again. A tag moves from the image that had it.

    Raises:
        ImageInvalid: the folder is something else than an image layout.
        ImageMismatch: the bytes of a layer are not those its digest names.
        CacheBroken: the bytes of a layer cannot be read.
        OSError: the folder cannot be written.
    """
    entries = _entries(folder)
    blobs = folder / "blobs" / "sha256"
    if blobs.is_symlink() or blobs.parent.is_symlink():
        raise ImageInvalid(f"{blobs} leads elsewhere: nothing is written through a link", file=folder)
    for layer in image.layers:
        _put(blobs, layer.descriptor, layer.content)
    config = parse_manifest(image.manifest, image.media_type).config
    manifest = Descriptor(image.media_type, image.digest, len(image.manifest))
    _put(blobs, config, BytesContent(image.config))
    _put(blobs, manifest, BytesContent(image.manifest))
    entries = [entry for entry in entries if not _superseded(entry, tag, image.digest)]
    write_atomic(folder / MARKER, MARKED)
    write_atomic(folder / INDEX, index_document([*entries, index_entry(image, {TAG: tag})]))


def read_layout(folder: Path, *, reference: str = "", architecture: str = "") -> Image:
    """Return an image of a layout: by tag or digest, by architecture as images have it, or the only one.

    The documents have been verified. Layers are where they are in the folder, and whoever reads them verifies
    them.

    Raises:
        ImageUnavailable: there is no layout in the folder, or no such image in it.
        ImageInvalid: the layout or the image is malformed, or several images would do.
        ImageMismatch: a document is not what its digest says, or the image is for another architecture.
    """
    _check_marker(folder)
    index = _small_file(folder / INDEX)

    def blob(descriptor: Descriptor) -> Content:
        path = folder / "blobs" / "sha256" / descriptor.hex
        if _size(path) != descriptor.size:
            raise ImageInvalid(
                f"the layout {folder} lacks {descriptor.digest}, or has it with another size",
                hint="copy or write the layout again: it is not whole",
                file=folder,
            )
        return FileContent(path, descriptor.size)

    return find_image(
        index, blob, what=f"the layout {folder}", reference=reference, architecture=architecture
    )


def index_entry(image: Image, annotations: dict[str, str]) -> dict[str, Any]:
    """Return what an index says of an image."""
    settings = image.settings
    platform = {"architecture": settings.architecture, "os": settings.os or "linux"}
    if settings.variant:
        platform["variant"] = settings.variant
    descriptor = Descriptor(image.media_type, image.digest, len(image.manifest))
    return {**named(descriptor), "platform": platform, "annotations": annotations}


def index_document(entries: list[dict[str, Any]]) -> bytes:
    """Return an index of these entries."""
    return canonical({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})


def _entries(folder: Path) -> list[dict[str, Any]]:
    """Return what a layout that is there names, as it stands; nothing for a folder that is not there, or
    empty."""
    if not (folder / MARKER).exists():
        # Only blobs: a writer was killed.
        if folder.exists() and any(path.name != "blobs" for path in folder.iterdir()):
            raise ImageInvalid(
                f"{folder} is a folder with other things than an image layout",
                hint="name a folder that is new, or holds an image layout",
                file=folder,
            )
        return []
    _check_marker(folder)
    if not (folder / INDEX).exists():
        return []
    content = _small_file(folder / INDEX)
    parse_index(content)  # so that nothing malformed is carried on
    entries: list[dict[str, Any]] = document_of(content, "the index")["manifests"]
    return entries


def _superseded(entry: dict[str, Any], tag: str, digest: str) -> bool:
    """Tell whether an entry has the tag, or is the same image without one."""
    notes = entry.get("annotations")
    called = notes.get(TAG) if isinstance(notes, dict) else None
    return called == tag or (called is None and entry.get("digest") == digest)


def _put(blobs: Path, descriptor: Descriptor, content: Content) -> None:
    path = blobs / descriptor.hex
    if _size(path) == descriptor.size and sha256_of(path) == descriptor.hex:
        return
    with replacing(path) as staged, staged.open("wb") as stream:
        for piece in verified(content, descriptor):
            stream.write(piece)


def _check_marker(folder: Path) -> None:
    if _size(folder / MARKER) is None:
        raise ImageUnavailable(
            f"{folder} is no image layout: it has no file {MARKER}",
            hint="name the folder that a tool such as `skopeo copy … oci:FOLDER:TAG` has written",
            file=folder,
        )
    version = document_of(_small_file(folder / MARKER), f"{folder / MARKER}").get("imageLayoutVersion")
    if not isinstance(version, str) or not version.startswith("1."):
        raise ImageInvalid(f"{folder} is an image layout of a version that is not known", file=folder)


def _size(path: Path) -> int | None:
    """Return the size of a regular file, or None. A link to one is fine: digests, not places, say what it
    is."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ImageUnavailable(f"{path} cannot be read: {error.strerror}", file=path) from error
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _small_file(path: Path) -> bytes:
    """Return a document that no digest vouches for."""
    size = _size(path)
    if size is None:
        raise ImageInvalid(f"{path} is missing, or no file", hint="copy or write the layout again", file=path)
    if size > DOCUMENT_LIMIT:
        raise ImageInvalid(f"{path} is larger than {DOCUMENT_LIMIT >> 20} MiB", file=path)
    try:
        with path.open("rb") as stream:
            return stream.read(DOCUMENT_LIMIT + 1)
    except OSError as error:
        raise ImageUnavailable(
            f"{path} cannot be read: {os.strerror(error.errno or 0)}", file=path
        ) from error
