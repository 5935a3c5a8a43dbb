"""Which members of an artifact are native code, found by content and remembered for each package.

Of every member only the first bytes are inflated; of ELF files the whole, into a temporary file when large.
"""

from __future__ import annotations

import hashlib
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import groupby
from typing import Any, BinaryIO, Literal, TypeAlias

from planton_build.archive.member import STORED, SYMLINK, Member
from planton_build.audit.elf import MAGIC, ElfFacts, ElfUnreadable, VersionNeed, read_elf
from planton_build.cache import Store, key_of
from planton_build.errors import ArchiveInvalid
from planton_build.parallel import each

Platform: TypeAlias = Literal["linux", "macos", "windows"]

_FORMAT = 1
"""Raised whenever other facts are read of the same bytes, or the record changes its form."""
_HEAD = 1_024
"""Bytes of a content that are looked at: a Windows program says behind its DOS part what it is."""
_PACKED_HEAD = 2_048
"""Compressed bytes read for that; a content that needs more for its head is no program."""
_SPOOL = 8 << 20
"""Bytes of an ELF file that are held in memory; a larger one goes to a temporary file."""
_CHUNK = 1 << 20
_LARGEST = 1 << 30
"""Bytes of the largest ELF file that is read: four times what a function may unzip to."""
_MACH_O = frozenset({b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"})
_MACH_O_FAT = b"\xca\xfe\xba\xbe"
"""Also what Java classes begin with: they have a version of 45 or more where this has its number of parts."""


@dataclass(frozen=True, slots=True)
class NativeFile:
    """A member that is native code. `elf` is None for other platforms' files and for an unreadable one."""

    member: Member
    platform: Platform
    elf: ElfFacts | None = None
    fault: str = ""


def native_files(members: Iterable[Member], store: Store, *, jobs: int = 2) -> list[NativeFile]:
    """Return the members that are native code, in the members' order.

    What is found is recorded for each package under its contents, so that a second run reads one record for
    each and opens no file.

    Raises:
        ArchiveInvalid: a member's bytes are not where it says.
        CacheBroken: the store cannot be used.
    """
    files = [member for member in members if member.mode != SYMLINK]
    by_origin: dict[str, list[Member]] = {}
    for member in files:
        by_origin.setdefault(member.origin, []).append(member)
    known: dict[str, Any] = {}
    for group in by_origin.values():
        known |= _recorded(group, store, jobs)
    return [_native(member, known[member.sha256]) for member in files if member.sha256 in known]


def _recorded(group: Sequence[Member], store: Store, jobs: int) -> Mapping[str, Any]:
    """Return what is native among the contents of one package, by SHA-256."""
    contents = hashlib.sha256("".join(sorted(member.sha256 for member in group)).encode()).hexdigest()
    key = key_of("native", _FORMAT, contents)
    record = store.record("native", key)
    if record is None:
        record = _examined(group, jobs)
        store.put_record("native", key, record)
    return record  # type: ignore[no-any-return]  # JSON that was put there by this module


def _examined(group: Sequence[Member], jobs: int) -> dict[str, Any]:
    unique = {member.sha256: member for member in group}
    ordered = sorted(unique.values(), key=lambda member: (str(member.file), member.offset))
    found = [pair for pair in _heads(ordered) if (_platform(pair[1])) is not None]
    values = each(found, lambda pair: _value(*pair), jobs=jobs)
    return {member.sha256: value for (member, _), value in zip(found, values, strict=True)}


def _heads(ordered: Sequence[Member]) -> Iterator[tuple[Member, bytes]]:
    """Yield the members with the first bytes of their contents; each file is opened once."""
    for path, members in groupby(ordered, key=lambda member: member.file):
        try:
            with path.open("rb") as stream:
                for member in members:
                    yield member, _head(stream, member)
        except OSError as error:
            raise ArchiveInvalid(f"{path.name} cannot be read: {error.strerror}", file=path) from error


def _head(stream: BinaryIO, member: Member) -> bytes:
    stream.seek(member.offset)
    packed = stream.read(min(member.compressed_size, _PACKED_HEAD))
    if member.method == STORED:
        return packed[:_HEAD]
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, _HEAD)
    except zlib.error:
        return b""  # whoever made the member has checked it; a damaged one is no program


def _platform(head: bytes) -> Platform | None:
    if head.startswith(MAGIC):
        return "linux"
    if head[:4] in _MACH_O or (head.startswith(_MACH_O_FAT) and 0 < int.from_bytes(head[4:8]) < 45):
        return "macos"
    if head.startswith(b"MZ") and len(head) >= 64:
        (start,) = struct.unpack_from("<I", head, 0x3C)
        return "windows" if head[start : start + 4] == b"PE\0\0" else None
    return None


def _value(member: Member, head: bytes) -> list[Any]:
    """Return what is recorded of a native file: platform, fault, facts."""
    platform = _platform(head)
    if platform != "linux":
        return [platform, "", None]
    try:
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as content:
            # A spooled file has all that a binary stream has, and typeshed does not say so.
            _inflate(member, content)  # type: ignore[arg-type]
            return [platform, "", astuple(read_elf(content, member.size))]  # type: ignore[arg-type]
    except ElfUnreadable as error:
        return [platform, str(error), None]


def _inflate(member: Member, content: BinaryIO) -> None:
    """Write a member's content, never more than it claims."""
    if member.size > _LARGEST:
        raise ElfUnreadable(f"{member.size:,} bytes are more than any function may have")
    with member.file.open("rb") as stream:
        stream.seek(member.offset)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        left, room = member.compressed_size, member.size
        while left and (packed := stream.read(min(_CHUNK, left))):
            left -= len(packed)
            while packed:
                try:
                    piece = packed if member.method == STORED else inflater.decompress(packed, _CHUNK)
                except zlib.error as error:
                    raise ElfUnreadable("its compressed bytes are damaged") from error
                packed = b"" if member.method == STORED else inflater.unconsumed_tail
                room -= len(piece)
                if room < 0:
                    raise ElfUnreadable("it unpacks to more than it claims")
                content.write(piece)
        if member.method != STORED:
            content.write(inflater.flush()[:room])


def _native(member: Member, value: Sequence[Any]) -> NativeFile:
    platform, fault, facts = value
    return NativeFile(member, platform, None if facts is None else _facts(facts), fault)


def _facts(value: Sequence[Any]) -> ElfFacts:
    machine, bits, little, kind, interpreter, soname, needed, rpath, runpath, versions = value
    return ElfFacts(
        *(machine, bits, little, kind, interpreter, soname),
        *(tuple(needed), tuple(rpath), tuple(runpath)),
        tuple(VersionNeed(*version) for version in versions),
    )
