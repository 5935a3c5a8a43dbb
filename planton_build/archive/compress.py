"""Members made of files, bytes and link targets: what is not in a wheel already gets compressed here, once.

The compressor is libdeflate, through the PyPI package `deflate`, pinned to one version. Its output is a
function of the input, the level and libdeflate's version alone: it is single-threaded, keeps no state between
buffers, and what it chooses by processor (checksums, moving the match finder's tables) computes the same
values everywhere. Measured: equal bytes on x86_64 and aarch64 for levels 1, 6, 9 and 12. zlib does not
qualify, because distributions link different ones, nor does isa-l, whose output depends on the processor.
`tests/unit/archive/test_compress.py` holds digests that must not change.

Results are kept in the store, one blob for each content, so that nothing is compressed twice. A blob is named
by a digest of the content's SHA-256 and the compressor, and begins with a seal (`_Seal`): the facts a member
needs and a SHA-256 over them, the payload and the blob's name. It is checked whenever the blob is found.
That costs less than inflating, and proves more: that these are the very bytes once written for this content,
not merely some bytes that unpack to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import deflate

from planton_build.archive.member import DEFLATED, EXECUTABLE, REGULAR, STORED, SYMLINK, Member
from planton_build.archive.names import LAYER_ROOT, link_fault, path_fault
from planton_build.cache import Store, key_of
from planton_build.errors import CacheBroken, SourceInvalid
from planton_build.files import CHUNK

LEVEL = 6
"""libdeflate's default. On pandas' Python files (20 MB): 0.20 s for zlib 6's size, which takes zlib 0.38 s;
level 9 takes 0.61 s for 1.6 % less, level 12 takes 4.0 s for 4.3 % less."""
STREAMED = 64 << 20
"""Bytes above which a file is stored instead of compressed: libdeflate takes whole buffers only, so this
bounds memory to about twice as much."""
COMPRESSOR = f"deflate-{deflate.__version__}-level-{LEVEL}-up-to-{STREAMED}"
"""What decides compressed bytes besides the content: it belongs in every key that stands for an artifact."""

_MAGIC = b"PLANTON1"
_SEAL = struct.Struct("<8sHHIQQ32s")


@dataclass(frozen=True, slots=True)
class _Seal:
    """The head of a blob: method, CRC-32 and sizes (bytes), and the SHA-256 of the payload behind it."""

    method: int
    crc32: int
    size: int
    compressed_size: int
    payload_sha256: bytes

    def pack(self, name: str) -> bytes:
        """Return the head of the blob of this name: the fields and a SHA-256 over fields and name."""
        fields = _SEAL.pack(
            _MAGIC, self.method, 0, self.crc32, self.size, self.compressed_size, self.payload_sha256
        )
        return fields + hashlib.sha256(fields + bytes.fromhex(name)).digest()

    @classmethod
    def unpack(cls, head: bytes) -> _Seal:
        """Return the fields of a head, unchecked: comparing it with `pack` is the check."""
        _, method, _, crc32, size, compressed_size, payload_sha256 = _SEAL.unpack_from(head)
        return cls(method, crc32, size, compressed_size, payload_sha256)


_HEAD = _SEAL.size + hashlib.sha256().digest_size


def member_from_file(
    source: Path, *, archive_path: str, executable: bool, origin: str, store: Store
) -> Member:
    """Return the member for a file's content: what is hashed is what is kept, even if the file changes.

    Raises `SourceInvalid` when the file cannot be read or `archive_path` is no good, `CacheBroken` when the
    store cannot be written.
    """
    _check_path(archive_path, source)
    mode = EXECUTABLE if executable else REGULAR
    with _reading(source):
        stream = source.open("rb")
    with stream:
        with _reading(source):
            content = stream.read(STREAMED + 1)
        if len(content) <= STREAMED:
            return _member(content, archive_path, mode, origin, store)
        del content
        return _streamed(source, stream, archive_path, mode, origin, store)


def member_from_bytes(
    content: bytes, *, archive_path: str, executable: bool, origin: str, store: Store
) -> Member:
    """Return the member for generated content.

    Raises `SourceInvalid` when `archive_path` is no good, `CacheBroken` when the store cannot be written.
    """
    _check_path(archive_path, None)
    return _member(content, archive_path, EXECUTABLE if executable else REGULAR, origin, store)


def member_from_symlink(
    target: str,
    *,
    archive_path: str,
    origin: str,
    store: Store,
    absolute_roots: tuple[str, ...] = (LAYER_ROOT,),
) -> Member:
    """Return the member for a symlink, kept as a link. `names.link_fault` has the rules for `target`.

    Raises `SourceInvalid` when the link or `archive_path` is no good, `CacheBroken` when the store cannot be
    written.
    """
    _check_path(archive_path, None)
    fault = link_fault(archive_path, target, absolute_roots=absolute_roots)
    if fault is not None:
        raise SourceInvalid(
            f"the symlink {archive_path} {fault}",
            hint="let it point, without detours, to something that is packaged too, or exclude it",
        )
    return _member(target.encode(), archive_path, SYMLINK, origin, store)


def _check_path(archive_path: str, source: Path | None) -> None:
    fault = path_fault(archive_path)
    if fault is not None:
        raise SourceInvalid(
            f"{archive_path[:200]!r} cannot be packaged: the path {fault}",
            hint="rename the file or exclude it from the package",
            file=source,
        )


def _member(content: bytes, path: str, mode: int, origin: str, store: Store) -> Member:
    """Return the member for content in memory, from the store if it is there, else compressed and kept."""
    sha256 = hashlib.sha256(content).hexdigest()
    name = _blob_name(sha256)
    seal = _read_seal(store, name)
    if seal is None:
        method, payload = DEFLATED, bytes(deflate.deflate_compress(content, LEVEL))
        if len(payload) >= len(content):
            method, payload = STORED, content
        payload_sha256 = hashlib.sha256(payload).digest()
        seal = _Seal(method, deflate.crc32(content), len(content), len(payload), payload_sha256)
        with store.staging() as staged, _writing(store):
            with staged.open("wb") as blob:
                blob.write(seal.pack(name))
                blob.write(payload)
            store.keep("deflated", name, staged)
    return _sealed(seal, store, name, path, mode, origin, sha256)


def _streamed(source: Path, stream: BinaryIO, path: str, mode: int, origin: str, store: Store) -> Member:
    """Return the member for a large file, stored and copied piece by piece.

    The first pass looks whether the store has the content. The second copies, and takes the digests of the
    bytes that it copied.
    """
    sha256 = hashlib.sha256()
    for piece in _pieces(source, stream):
        sha256.update(piece)
    name = _blob_name(sha256.hexdigest())
    seal = _read_seal(store, name)
    if seal is None:
        with store.staging() as staged, _writing(store):
            sha256, crc, size = hashlib.sha256(), 0, 0
            with staged.open("r+b") as blob:
                blob.seek(_HEAD)
                for piece in _pieces(source, stream):
                    sha256.update(piece)
                    crc, size = deflate.crc32(piece, crc), size + len(piece)
                    blob.write(piece)
                name = _blob_name(sha256.hexdigest())
                seal = _Seal(STORED, crc, size, size, sha256.digest())
                blob.seek(0)
                blob.write(seal.pack(name))
            store.keep("deflated", name, staged)
    return _sealed(seal, store, name, path, mode, origin, sha256.hexdigest())


def _sealed(seal: _Seal, store: Store, name: str, path: str, mode: int, origin: str, sha256: str) -> Member:
    return Member(
        path=path,
        mode=mode,
        method=seal.method,
        crc32=seal.crc32,
        size=seal.size,
        compressed_size=seal.compressed_size,
        sha256=sha256,
        origin=origin,
        file=store.blob("deflated", name),
        offset=_HEAD,
    )


def _blob_name(sha256: str) -> str:
    return key_of("deflated", COMPRESSOR, sha256)


def _read_seal(store: Store, name: str) -> _Seal | None:
    """Return the head of a blob that is there and whole. A damaged one is removed."""
    blob = store.blob("deflated", name)
    with _writing(store):
        try:
            with blob.open("rb", buffering=0) as stream:
                head = stream.read(_HEAD)
                payload = hashlib.sha256()
                while piece := stream.read(CHUNK):
                    payload.update(piece)
        except FileNotFoundError:
            return None
        if len(head) == _HEAD:
            seal = _Seal.unpack(head)
            if head == seal.pack(name) and payload.digest() == seal.payload_sha256:
                return seal
        blob.unlink(missing_ok=True)
    return None


def _pieces(source: Path, stream: BinaryIO) -> Iterator[bytes]:
    """Yield the whole file from its beginning."""
    with _reading(source):
        stream.seek(0)
        while piece := stream.read(CHUNK):
            yield piece


@contextlib.contextmanager
def _reading(source: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceInvalid(
            f"{source} cannot be read: {error.strerror}",
            hint="make it a readable file, or exclude it from the package",
            file=source,
        ) from error


@contextlib.contextmanager
def _writing(store: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CacheBroken(
            f"the cache folder {store.root} cannot be used: {error.strerror}",
            hint="free some space or name another folder with PLANTON_CACHE_DIR",
        ) from error
