"""`Artifact` and `ImageArtifact`: a finished ZIP or image, with what people and machines ask about it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from planton_build.archive.member import Member
from planton_build.oci.image import Image

SOURCES = "(sources)"
"""The name under which the function's own files are counted among the packages."""
BASE = "(base image)"
"""The name under which the layers of an image's base are counted."""
DOCKERFILE = "(Dockerfile)"
"""The name under which the layers that a Dockerfile has made are counted."""
_LARGEST = 10


@dataclass(frozen=True, slots=True)
class PackageShare:
    """What one package adds to the artifact: compressed `size` and `unzipped_size` in bytes."""

    name: str
    version: str
    size: int
    unzipped_size: int
    files: int


@dataclass(frozen=True, slots=True)
class FileSize:
    """One of the largest files, unzipped bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class BytecodeSize:
    """What `.pyc` files take of an artifact: their number, and zipped and unzipped bytes."""

    files: int
    size: int
    unzipped_size: int


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished ZIP. `size` and `unzipped_size` are bytes; `tree_digest` covers modes, paths, contents.

    `bytecode` is what its `.pyc` files take of that, wherever they came from.
    """

    path: Path
    sha256: str
    tree_digest: str
    size: int
    unzipped_size: int
    files: int
    packages: tuple[PackageShare, ...]
    largest: tuple[FileSize, ...]
    bytecode: BytecodeSize = BytecodeSize(0, 0, 0)

    @property
    def code_sha256(self) -> str:
        """Return the digest as Lambda's `CodeSha256` and S3's `ChecksumSHA256` write it: base64."""
        return base64.b64encode(bytes.fromhex(self.sha256)).decode()


@dataclass(frozen=True, slots=True)
class ImageArtifact:
    """A finished image, in the words of `Artifact`.

    `path` is its manifest in the store, `sha256` (hex) the manifest's digest, which is the number that
    `image_uri` ends in. `size` is the bytes of all blobs, `unzipped_size` those of all layers unpacked, the
    base's included. `files`, `tree_digest` and `bytecode` are about the function's own files, as in a ZIP of
    it. `base` is the image it is built on, by digest.
    """

    path: Path
    sha256: str
    tree_digest: str
    size: int
    unzipped_size: int
    files: int
    packages: tuple[PackageShare, ...]
    largest: tuple[FileSize, ...]
    image: Image = field(repr=False)
    base: str
    bytecode: BytecodeSize = BytecodeSize(0, 0, 0)

    @property
    def digest(self) -> str:
        """Return the manifest's digest as images are named by it."""
        return f"sha256:{self.sha256}"

    @property
    def code_sha256(self) -> str:
        """Return the digest as Lambda's `CodeSha256` of an image writes it: hex."""
        return self.sha256


AnyArtifact: TypeAlias = Artifact | ImageArtifact
"""What a build makes of a function, by its manifest's `code_source_type`."""


def shares_of(members: Iterable[Member], versions: Mapping[str, str]) -> tuple[PackageShare, ...]:
    """Count members by the package that brought them, largest first; `versions` maps names to versions."""
    sums: dict[str, list[int]] = {}
    for member in members:
        entry = sums.setdefault(member.origin, [0, 0, 0])
        entry[0] += member.compressed_size
        entry[1] += member.size
        entry[2] += 1
    shares = (
        PackageShare(name or SOURCES, versions.get(name, ""), size, unzipped, files)
        for name, (size, unzipped, files) in sums.items()
    )
    return tuple(sorted(shares, key=lambda share: (-share.unzipped_size, share.name)))


def largest_of(members: Iterable[Member]) -> tuple[FileSize, ...]:
    """Return the largest files, largest first."""
    ordered = sorted(members, key=lambda member: (-member.size, member.path))
    return tuple(FileSize(member.path, member.size) for member in ordered[:_LARGEST])


def bytecode_of(members: Iterable[Member]) -> BytecodeSize:
    """Count the `.pyc` files among some members."""
    found = [member for member in members if member.path.endswith(".pyc")]
    return BytecodeSize(len(found), sum(one.compressed_size for one in found), sum(one.size for one in found))
