"""The layer writer: members as a gzipped tar, whose bytes are a function of their paths, modes and contents.

Two ways to compress make the same tar. `gzip` is one gzip member, compressed anew: what everything reads, and
what depends on contents alone. `spliced` takes over the compressed bytes of the members: it is quicker and
smaller, valid by RFC 1952, and nobody has proven that Lambda's own reader takes it.

Every folder has an entry, the root's included, as in what `COPY` in a Dockerfile writes. Engines differ in
what they make of a folder that a layer lacks: Docker's own code gave it mode 0600 for years, on top of the
base's folder, and then nobody but root gets through. They are 0755 and root's, as in the base images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from planton_build.archive import tar
from planton_build.archive.gzipped import Gzipped, WrittenGzip
from planton_build.archive.member import STORED, SYMLINK, Member
from planton_build.archive.merge import in_order
from planton_build.archive.names import parents_of, path_fault
from planton_build.archive.originals import Originals
from planton_build.archive.spliced import Spliced

Compression: TypeAlias = Literal["gzip", "spliced"]
_FOLDER_MODE = 0o755
_LINK_MAX = 4_095
"""The longest target of a symlink on Linux (PATH_MAX without the final NUL)."""


@dataclass(frozen=True, slots=True)
class WrittenLayer:
    """A finished layer: digest of the file, `diff_id` of the tar in it (both `sha256:…`), sizes of both
    (bytes).

    `files` counts members, not folders.
    """

    digest: str
    diff_id: str
    size: int
    tar_size: int
    files: int


def write_layer(
    members: Iterable[Member],
    destination: Path,
    *,
    root: str,
    compression: Compression = "gzip",
    jobs: int = 2,
    advanced: Callable[[int], None] | None = None,
) -> WrittenLayer:
    """Write `members`, in any order, as a layer to `destination`, which is overwritten in place.

    They go below the folder `root` of the image, such as `var/task`. `jobs` is the number of threads that
    compress; it changes no byte. `advanced` is told how many more bytes of content have gone in, which add up
    to the sizes of the members. The caller gives a staging path and moves the file when it is whole.

    Raises:
        MemberCollision: two members cannot be in one tree.
        CacheBroken: the bytes of a member are gone or damaged, or `destination` cannot be written.
        ValueError: a member, or `root`, that nothing in this package makes.
    """
    fault = path_fault(root)
    if fault is not None:
        raise ValueError(f"the root {root!r} {fault}")
    ordered = in_order(members)
    tell = advanced or _tell_nobody
    with Originals() as originals:
        if compression == "gzip":
            with Gzipped(destination, jobs=jobs) as gzipped:
                written = _compress(ordered, root, originals, gzipped, tell)
        else:
            with Spliced(destination) as spliced:
                written = _splice(ordered, root, originals, spliced, tell)
    tell(sum(member.size for member in ordered if member.mode == SYMLINK))
    return WrittenLayer(
        written.digest, written.unpacked_digest, written.size, written.unpacked_size, len(ordered)
    )


def _compress(
    ordered: list[Member], root: str, originals: Originals, output: Gzipped, tell: Callable[[int], None]
) -> WrittenGzip:
    for head, member in _entries(ordered, root, originals):
        output.write(head)
        if member is not None:
            for piece in originals.content(member):
                output.write(piece)
            output.write(tar.padding(member.size))
            tell(member.size)
    output.write(tar.END)
    return output.finish()


def _splice(
    ordered: list[Member], root: str, originals: Originals, output: Spliced, tell: Callable[[int], None]
) -> WrittenGzip:
    for head, member in _entries(ordered, root, originals):
        output.write(head)
        if member is not None:
            if member.method == STORED:
                for piece in originals.content(member):
                    output.write(piece)
            else:
                output.splice(partial(originals.content, member), member.crc32)
            output.write(tar.padding(member.size))
            tell(member.size)
    output.write(tar.END)
    return output.finish()


def _entries(
    ordered: Iterable[Member], root: str, originals: Originals
) -> Iterator[tuple[bytes, Member | None]]:
    """Yield the header of every entry, and the member whose content follows it, if one does."""
    made: set[str] = set()
    for member in ordered:
        path = f"{root}/{member.path}"
        missing = []
        for parent in parents_of(path):
            if parent in made:
                break
            missing.append(parent)
        made.update(missing)
        for folder in reversed(missing):
            yield tar.header(folder, mode=_FOLDER_MODE, kind=tar.FOLDER), None
        if member.mode == SYMLINK:
            yield tar.header(path, mode=0o777, kind=tar.SYMLINK, link=_target(member, originals)), None
        else:
            yield tar.header(path, mode=member.mode, size=member.size), member


def _target(member: Member, originals: Originals) -> str:
    if member.size > _LINK_MAX:
        raise ValueError(f"{member.path}: a symlink with a target of {member.size} bytes")
    return b"".join(originals.content(member)).decode()


def _tell_nobody(_size: int) -> None:
    pass
