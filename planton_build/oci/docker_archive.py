"""Images in single files: what `docker load` takes and `docker save` writes, in its old and in its new form.

What is written here is both: `manifest.json` for engines up to today's, an image layout for those that keep
images by their digests. The blobs are there once, and layers as they are, gzipped: Docker, Podman and skopeo
unpack them.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from planton_build.archive import tar
from planton_build.archive.output import Output
from planton_build.archive.tar_reader import TarEntry, scan_tar
from planton_build.errors import ArchiveInvalid, ImageInvalid, ImageMismatch, ImageUnavailable
from planton_build.oci.assemble import image_around
from planton_build.oci.blobs import BytesContent, Content, Descriptor, FileContent, verified
from planton_build.oci.documents import DOCUMENT_LIMIT, parse_config, parse_manifest
from planton_build.oci.image import Image, Layer
from planton_build.oci.layout import INDEX, MARKED, MARKER, TAG, index_document, index_entry
from planton_build.oci.media_types import OCI_LAYER, OCI_MANIFEST, OCI_TAR_LAYER, OCI_ZSTD_LAYER
from planton_build.oci.resolve import find_image

_OLD = "manifest.json"
_FULL_NAME = "io.containerd.image.name"
_BLOBS = "blobs/sha256"
_LINKS_MAX = 8
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def write_archive(image: Image, destination: Path, *, tags: Sequence[str] = ()) -> None:
    """Write an image, named `tags` such as `name:1`, to the file `destination`, which is overwritten in
    place.

    The bytes depend on the image and the tags alone. The caller gives a staging path and moves the file when
    it is whole.

    Raises:
        ImageMismatch: the bytes of a layer are not those its digest names.
        CacheBroken: the bytes of a layer cannot be read, or the file cannot be written.
    """
    config = parse_manifest(image.manifest, image.media_type).config
    old = {
        "Config": f"{_BLOBS}/{config.hex}",
        "RepoTags": list(tags),
        "Layers": [f"{_BLOBS}/{layer.descriptor.hex}" for layer in image.layers],
    }
    notes = [{_FULL_NAME: _full_name(tag), TAG: tag.rpartition(":")[2]} for tag in tags]
    index = index_document([index_entry(image, note) for note in notes or [{}]])
    manifest = Descriptor(image.media_type, image.digest, len(image.manifest))
    with Output(destination) as output:
        for folder in ("blobs", _BLOBS):
            output.write(tar.header(folder, mode=0o755, kind=tar.FOLDER))
        _write(output, MARKER, MARKED)
        _write(output, INDEX, index)
        _write(output, _OLD, json.dumps([old], sort_keys=True, separators=(",", ":")).encode())
        _write_blob(output, manifest, BytesContent(image.manifest))
        _write_blob(output, config, BytesContent(image.config))
        for layer in {layer.descriptor.digest: layer for layer in image.layers}.values():
            _write_blob(output, layer.descriptor, layer.content)
        output.write(tar.END)
        output.finish()


def read_archive(path: Path, *, reference: str = "", architecture: str = "") -> Image:
    """Return an image of an archive: by name, tag or digest, by architecture as images have it, or the only
    one.

    Layers are where they are in the file: nothing is copied. Those that are not compressed have the media
    type that says so, and Lambda takes none of that kind. In the old form there is no manifest: it is made
    here.

    Raises:
        ImageUnavailable: the file is not to be read, or holds no such image.
        ImageInvalid: the archive or the image is malformed, or several images would do.
        ImageMismatch: a document is not what its digest says, or the image is for another architecture.
    """
    try:
        contents = _Contents(path)
    except ArchiveInvalid as error:
        raise ImageInvalid(
            f"{error.message}: no archive of an image",
            hint="write it with `docker save`, and do not compress it",
            file=path,
        ) from error
    except OSError as error:
        raise ImageUnavailable(
            f"{path} cannot be read: {error.strerror}", hint="name the file that `docker save` has written"
        ) from error
    if contents.has(INDEX) and contents.has(MARKER):
        return find_image(
            contents.small(INDEX),
            contents.blob,
            what=path.name,
            reference=reference,
            full_name=_full_name(reference),
            architecture=architecture,
        )
    return _old_form(contents, reference, architecture)


class _Contents:
    """The files of an archive by their paths, links followed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, TarEntry] = {}
        for entry in scan_tar(path):
            self._entries[posixpath.normpath(entry.path)] = entry

    def has(self, name: str) -> bool:
        """Tell whether there is a file of this name."""
        return self._file(name) is not None

    def content(self, name: str) -> FileContent:
        """Return where a file is. Raises ImageInvalid when the archive has none of this name."""
        entry = self._file(name)
        if entry is None:
            raise ImageInvalid(
                f"{self.path.name} has no file {name[:200]!r}, which its manifest names",
                hint="write the archive again: it is not whole",
                file=self.path,
            )
        return FileContent(self.path, entry.size, entry.offset)

    def small(self, name: str) -> bytes:
        """Return a document as a whole. Raises ImageInvalid when it is missing, or too large for one."""
        content = self.content(name)
        if content.size > DOCUMENT_LIMIT:
            raise ImageInvalid(
                f"{name[:200]!r} in {self.path.name} is larger than {DOCUMENT_LIMIT >> 20} MiB"
            )
        return b"".join(content.chunks())

    def blob(self, descriptor: Descriptor) -> Content:
        """Return where a blob is. Raises ImageInvalid when it is missing, or of another size."""
        content = self.content(f"{_BLOBS}/{descriptor.hex}")
        if content.size != descriptor.size:
            raise ImageInvalid(
                f"{descriptor.digest} has another size in {self.path.name} than its manifest says"
            )
        return content

    def _file(self, name: str) -> TarEntry | None:
        name = posixpath.normpath(name)
        for _ in range(_LINKS_MAX):
            entry = self._entries.get(name)
            if entry is None or entry.kind == tar.FILE:
                return entry
            if entry.kind == tar.SYMLINK:
                name = posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.link))
            elif entry.kind == tar.HARD_LINK:
                name = posixpath.normpath(entry.link)
            else:
                break
        return None


def _old_form(contents: _Contents, reference: str, architecture: str) -> Image:
    """Return an image that `manifest.json` names."""
    what = contents.path.name
    images = [entry for entry in _old_manifest(contents) if not reference or _is_called(entry, reference)]
    if not images:
        raise ImageUnavailable(f"{what} has no image {reference[:200]}".rstrip(), hint="name one of its tags")
    if len(images) > 1:
        names = [str(name) for entry in images for name in entry.get("RepoTags") or ()]
        raise ImageInvalid(f"{what} has several images", hint=f"name one: {', '.join(names)}"[:1000])
    name, layers = images[0].get("Config"), images[0].get("Layers")
    if not isinstance(name, str) or not isinstance(layers, list):
        raise ImageInvalid(f"{what} has an image without configuration or layers", file=contents.path)
    config = contents.small(name)
    settings = parse_config(config)
    if len(settings.diff_ids) != len(layers):
        raise ImageInvalid(
            f"{what} has {len(layers)} layers, and the configuration names {len(settings.diff_ids)}",
            file=contents.path,
        )
    if architecture not in {"", settings.architecture}:
        raise ImageMismatch(
            f"the image in {what} is for {settings.architecture[:40]}, not for {architecture}",
            hint="build or save it for the function's architecture",
            file=contents.path,
        )
    found = [
        _old_layer(contents.content(str(layer)), diff_id)
        for layer, diff_id in zip(layers, settings.diff_ids, strict=True)
    ]
    return image_around(OCI_MANIFEST, config, found)


def _old_manifest(contents: _Contents) -> list[dict[str, Any]]:
    if not contents.has(_OLD):
        raise ImageInvalid(
            f"{contents.path.name} is a tar file, and no archive of an image",
            hint="write one with `docker save`",
            file=contents.path,
        )
    try:
        entries = json.loads(contents.small(_OLD))
    except (ValueError, RecursionError) as error:
        raise ImageInvalid(f"{_OLD} in {contents.path.name} is no JSON", file=contents.path) from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ImageInvalid(f"{_OLD} in {contents.path.name} is no list of images", file=contents.path)
    return entries


def _is_called(entry: dict[str, Any], reference: str) -> bool:
    tags = entry.get("RepoTags")
    names = [name for name in tags if isinstance(name, str)] if isinstance(tags, list) else []
    return any(
        reference == name.rpartition(":")[2] or _full_name(reference) == _full_name(name) for name in names
    )


def _old_layer(content: FileContent, diff_id: str) -> Layer:
    """Return a layer under the digest of its bytes, which is its `diff_id` where they are not compressed."""
    head = next(content.chunks(), b"")[:4]
    if head.startswith(_GZIP) or head == _ZSTD:
        kind = OCI_ZSTD_LAYER if head == _ZSTD else OCI_LAYER
        sha256 = hashlib.sha256()
        for piece in content.chunks():
            sha256.update(piece)
        return Layer(Descriptor(kind, f"sha256:{sha256.hexdigest()}", content.size), diff_id, content)
    return Layer(Descriptor(OCI_TAR_LAYER, diff_id, content.size), diff_id, content)


def _full_name(tag: str) -> str:
    """Return an image's name as containerd has it: with registry, and `library/` for short ones."""
    first, slash, _ = tag.partition("/")
    if not slash:
        return f"docker.io/library/{tag}"
    return tag if "." in first or ":" in first or first == "localhost" else f"docker.io/{tag}"


def _write(output: Output, name: str, content: bytes) -> None:
    output.write(tar.header(name, mode=0o644, size=len(content)) + content + tar.padding(len(content)))


def _write_blob(output: Output, descriptor: Descriptor, content: Content) -> None:
    output.write(tar.header(f"{_BLOBS}/{descriptor.hex}", mode=0o644, size=descriptor.size))
    for piece in verified(content, descriptor):
        output.write(piece)
    output.write(tar.padding(descriptor.size))
