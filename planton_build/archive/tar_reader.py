"""Where things are in a tar file: a strict scan of its headers, which unpacks nothing and holds no content.

Read is what `docker save` and its kin write: ustar, pax (POSIX.1-2001) and GNU's long names. Sparse files and
parts of several volumes are refused, because their content is not what stands behind the header.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from planton_build.archive.tar import BLOCK, FILE, FOLDER, HARD_LINK, SYMLINK
from planton_build.errors import ArchiveInvalid

ENTRIES_MAX = 100_000
_LONG_MAX = 1 << 20
"""Bytes of a pax header or a long name; names of Linux have 4,096."""
_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK = b"x", b"g", b"L", b"K"
_KINDS = {b"\0": FILE, b"7": FILE, FILE: FILE, HARD_LINK: HARD_LINK, SYMLINK: SYMLINK, FOLDER: FOLDER}
_DAMAGED = "it is cut off or damaged: write it again"


@dataclass(frozen=True, slots=True)
class TarEntry:
    """One entry: `size` bytes of content from `offset` in the file. `path` and `link` are as the archive has
    them."""

    path: str
    kind: bytes
    size: int
    offset: int
    link: str = ""


def scan_tar(path: Path) -> Iterator[TarEntry]:
    """Yield the entries of a tar file that are files, folders or links, in its order.

    Raises:
        ArchiveInvalid: it is no tar file, damaged, or of a form that is not read here.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        end = stream.seek(0, io.SEEK_END)
        position, count, long = 0, 0, dict[str, str]()
        while True:
            stream.seek(position)
            block = stream.read(BLOCK)
            if not block.strip(b"\0") and (len(block) == BLOCK or (not block and count)):
                return
            count += 1
            kind, size = _checked(path, block, count)
            offset = position + BLOCK
            if kind in {_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK}:
                _within(path, size, offset, min(end, offset + _LONG_MAX))
                long |= _long(path, kind, stream.read(size))
            else:
                size = _pax_size(path, long, size)
                _within(path, size, offset, end)
                if kind in _KINDS:
                    yield _entry(block, _KINDS[kind], size, offset, long)
                elif kind not in {b"3", b"4", b"6"}:
                    raise ArchiveInvalid(f"{path.name} has an entry of the unknown kind {kind!r}", file=path)
                long = {}
            position = offset + size + -size % BLOCK


def _checked(path: Path, block: bytes, count: int) -> tuple[bytes, int]:
    """Return kind and size of a header whose checksum is right."""
    if len(block) != BLOCK:
        raise ArchiveInvalid(f"{path.name} ends in the middle of a header", hint=_DAMAGED, file=path)
    if count > ENTRIES_MAX:
        raise ArchiveInvalid(f"{path.name} has more than {ENTRIES_MAX:,} entries", file=path)
    total = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
    try:
        fine, size = _number(block[148:156]) == total, _number(block[124:136])
    except ValueError:
        fine, size = False, 0
    if not fine or size < 0:
        raise ArchiveInvalid(f"{path.name} is no tar file, or has a damaged header", hint=_DAMAGED, file=path)
    kind = block[156:157]
    return kind, 0 if kind in {HARD_LINK, SYMLINK, FOLDER, b"3", b"4", b"6"} else size


def _number(field: bytes) -> int:
    """Return an octal number, or a binary one as GNU writes it where octal digits do not suffice."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:])
    text = field.split(b"\0", 1)[0].strip(b" ")
    if text and not (text.isdigit() and text.isascii()):
        raise ValueError
    return int(text or b"0", 8)


def _within(path: Path, size: int, offset: int, end: int) -> None:
    if offset + size > end:
        raise ArchiveInvalid(f"{path.name} ends before an entry does", hint=_DAMAGED, file=path)


def _long(path: Path, kind: bytes, content: bytes) -> dict[str, str]:
    """Return what the next entry gets from a pax header or a GNU long name. Global headers carry comments."""
    if kind == _PAX_GLOBAL:
        return {}
    if kind != _PAX:
        return {"path" if kind == _LONG_NAME else "linkpath": _text(content)}
    found = {}
    while content:
        head, space, _ = content.partition(b" ")
        length = int(head) if space and head.isdigit() and len(head) < 8 else 0
        record = content[len(head) + 1 : length - 1]
        key, equals, value = record.partition(b"=")
        if not equals or content[length - 1 : length] != b"\n":
            raise ArchiveInvalid(f"{path.name} has a damaged pax header", hint=_DAMAGED, file=path)
        found[_text(key)] = _text(value)
        content = content[length:]
    if any(key.startswith("GNU.sparse") for key in found):
        raise ArchiveInvalid(f"{path.name} has a sparse file in it, which is not read here", file=path)
    return found


def _pax_size(path: Path, long: dict[str, str], size: int) -> int:
    said = long.get("size")
    if said is None:
        return size
    if not (said.isdecimal() and len(said) < 19):
        raise ArchiveInvalid(f"{path.name} has a damaged pax header", hint=_DAMAGED, file=path)
    return int(said)


def _entry(block: bytes, kind: bytes, size: int, offset: int, long: dict[str, str]) -> TarEntry:
    name, prefix = _text(block[:100]), ""
    if block[257:263] == b"ustar\0":
        prefix = _text(block[345:500])
    path = long.get("path", f"{prefix}/{name}" if prefix else name)
    return TarEntry(path, kind, size, offset, long.get("linkpath", _text(block[157:257])))


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
