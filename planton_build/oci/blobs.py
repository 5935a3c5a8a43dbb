"""`Descriptor` names a blob, `Content` gives its bytes, from wherever they are, in pieces."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from planton_build.errors import CacheBroken, ImageMismatch
from planton_build.files import CHUNK

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
"""The only algorithm that Lambda and ECR use; the grammar is OCI image 1.1's (`descriptor.md`)."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What names a blob: media type, digest (`sha256:…`) and size in bytes."""

    media_type: str
    digest: str
    size: int

    @property
    def hex(self) -> str:
        """Return the digest without its algorithm."""
        return self.digest.removeprefix("sha256:")


class Content(Protocol):
    """The bytes of a blob. Nothing has been verified: whoever reads them hashes them on the way."""

    def chunks(self, offset: int = 0) -> Iterator[bytes]:
        """Yield the bytes from `offset` on, in pieces of at most a few MiB; may be called again and again."""
        ...


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file, or a part of one: `size` bytes from `start` on."""

    path: Path
    size: int
    start: int = 0

    def chunks(self, offset: int = 0) -> Iterator[bytes]:
        """Yield the bytes from `offset` on.

        Raises:
            CacheBroken: the file is gone, or shorter than it was.
        """
        try:
            with self.path.open("rb", buffering=0) as stream:
                stream.seek(self.start + offset)
                left = self.size - offset
                while left > 0:
                    piece = stream.read(min(CHUNK, left))
                    if not piece:
                        raise CacheBroken(
                            f"{self.path} ends before its {self.size} bytes",
                            hint="run the command again: what is missing will be made anew",
                            file=self.path,
                        )
                    left -= len(piece)
                    yield piece
        except OSError as error:
            raise CacheBroken(
                f"{self.path} cannot be read: {error.strerror}",
                hint="run the command again: what is missing will be made anew",
                file=self.path,
            ) from error


@dataclass(frozen=True, slots=True)
class BytesContent:
    """Small content in memory, such as a manifest."""

    content: bytes

    def chunks(self, offset: int = 0) -> Iterator[bytes]:
        """Yield the bytes from `offset` on."""
        if rest := self.content[offset:]:
            yield rest


def verified(content: Content, descriptor: Descriptor) -> Iterator[bytes]:
    """Yield the bytes of a blob; after the last, size and digest have been compared.

    Raises:
        ImageMismatch: they are not those that the descriptor names.
    """
    sha256, size = hashlib.sha256(), 0
    for piece in content.chunks():
        sha256.update(piece)
        size += len(piece)
        if size > descriptor.size:
            break
        yield piece
    if size != descriptor.size or sha256.hexdigest() != descriptor.hex:
        raise ImageMismatch(
            f"the bytes of {descriptor.digest} are others than the digest says, or not {descriptor.size:,}",
            hint="what they were read from is damaged: fetch or make it again",
        )
