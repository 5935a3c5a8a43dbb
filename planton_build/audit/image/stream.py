"""The bytes of a layer, unpacked and verified on the way: digest, size, and the digest of the tar inside."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from typing import Literal, TypeAlias

from planton_build.audit.size import IMAGE_LIMIT
from planton_build.errors import ImageInvalid, ImageMismatch, SizeLimitExceeded
from planton_build.oci.image import Layer

Compression: TypeAlias = Literal["gzip", "none"]

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PIECE = 64 << 10
"""Compressed bytes given to zlib at once: it copies what it has not used yet."""
_UNPACKED = 1 << 20
_ENTRIES = 2_000_000
"""Entries of all layers of an image together."""
_MEMBERS = 2_000_000
"""Members of a layer's gzip stream: spliced layers have some for each file."""


class Allowance:
    """What the layers of one image may unpack to, all of them together. Safe to use from several threads."""

    def __init__(self, limit: int = IMAGE_LIMIT) -> None:
        self.limit, self.taken, self.entries = limit, 0, 0
        self._guard = threading.Lock()

    def take(self, count: int) -> None:
        """Take bytes.

        Raises:
            SizeLimitExceeded: there are not so many left.
        """
        with self._guard:
            self.taken += count
            if self.taken > self.limit:
                raise SizeLimitExceeded(
                    f"the image unpacks to more than the {self.limit:,} bytes that Lambda takes",
                    hint="leave files out, or build on a smaller base image",
                )

    def take_entries(self, count: int) -> None:
        """Take files, folders and links.

        Raises:
            ImageInvalid: there are more than any image has.
        """
        with self._guard:
            self.entries += count
            if self.entries > _ENTRIES:
                raise ImageInvalid(
                    f"the image's layers have more than {_ENTRIES:,} entries",
                    hint="leave files out: no image needs so many",
                )


class LayerStream:
    """Iterates once over the tar stream of a layer, in pieces.

    What `size` and `compression` say is right when the iteration has ended.
    """

    def __init__(self, layer: Layer, allowance: Allowance) -> None:
        self._layer, self._allowance = layer, allowance
        self.size = 0
        self.compression: Compression = "none"

    @property
    def name(self) -> str:
        """Return what messages call the layer."""
        return f"layer {self._layer.descriptor.digest[:19]}"

    def __iter__(self) -> Iterator[bytes]:
        """Yield the tar stream.

        Raises:
            ImageMismatch: the bytes are not those that the image's documents name.
            ImageInvalid: the gzip stream is damaged, or the layer is compressed in another way.
            SizeLimitExceeded: the image is larger than Lambda takes.
        """
        descriptor = self._layer.descriptor
        if descriptor.size > self._allowance.limit:
            self._allowance.take(descriptor.size)
        packed, pieces = hashlib.sha256(), self._packed()
        first = next(pieces, b"")
        packed.update(first)
        if first.startswith(_ZSTD):
            raise ImageInvalid(
                f"{self.name} is compressed by zstd, and Lambda takes gzip",
                hint="build the image with gzipped layers (buildx: compression=gzip,force-compression=true)",
            )
        plain = packed
        if first.startswith(_GZIP):
            self.compression, plain = "gzip", hashlib.sha256()
        for piece in self._tar(first, pieces, packed):
            self._allowance.take(len(piece))
            self.size += len(piece)
            if plain is not packed:
                plain.update(piece)
            yield piece
        self._compare(
            descriptor.digest, packed.hexdigest(), "its bytes are damaged, or not what was asked for"
        )
        said = "the image's configuration names another content (diff_ids)"
        self._compare(self._layer.diff_id, plain.hexdigest(), said)

    def _tar(self, first: bytes, pieces: Iterator[bytes], packed: hashlib._Hash) -> Iterator[bytes]:
        """Yield the unpacked pieces, and hash the packed ones."""

        def hashed() -> Iterator[bytes]:
            yield first
            for piece in pieces:
                packed.update(piece)
                yield piece

        return self._inflated(hashed()) if self.compression == "gzip" else hashed()

    def _packed(self) -> Iterator[bytes]:
        """Yield the layer's bytes, never more than its descriptor says."""
        left = self._layer.descriptor.size
        for piece in self._layer.content.chunks():
            left -= len(piece)
            if left < 0:
                break
            yield piece
        if left:
            raise ImageMismatch(
                f"{self.name} is not of the {self._layer.descriptor.size:,} bytes that it should have"
            )

    def _inflated(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield what gzip members, one after the other, unpack to (RFC 1952, 2.2)."""
        from zlib_ng import zlib_ng

        inflater, begun, members = zlib_ng.decompressobj(31), False, 1
        try:
            for whole in pieces:
                for at in range(0, len(whole), _PIECE):
                    rest = whole[at : at + _PIECE]
                    while rest:
                        if inflater.eof:
                            inflater, members = zlib_ng.decompressobj(31), members + 1
                            if members > _MEMBERS:
                                raise ImageInvalid(f"{self.name} has more than {_MEMBERS:,} gzip members")
                        if piece := inflater.decompress(rest, _UNPACKED):
                            yield piece
                        begun = True
                        rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        except zlib_ng.error as error:  # type: ignore[misc]  # the package has no types
            raise ImageInvalid(f"{self.name} is damaged: its gzip stream makes no sense") from error
        if begun and not inflater.eof:
            raise ImageInvalid(f"{self.name} is cut off: its gzip stream has no end")

    def _compare(self, wanted: str, found: str, why: str) -> None:
        if wanted != f"sha256:{found}":
            raise ImageMismatch(
                f"{self.name} does not have the digest {wanted}: {why}",
                hint="fetch or build the image anew",
            )
