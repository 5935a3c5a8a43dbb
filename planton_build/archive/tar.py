"""Headers of tar archives, written so that they say nothing of this host.

The form is ustar (POSIX.1-1988), which every reader knows. What does not fit, and every name that is not
ASCII, goes into a pax header (POSIX.1-2001) before it: `path`, `linkpath`, `size`, and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

BLOCK = 512
EPOCH = 315_532_800
"""1980-01-01 00:00:00 UTC, as in our ZIPs: the time of every entry."""
END = bytes(2 * BLOCK)
"""What ends an archive. GNU tar fills up to 10 KiB besides, which no reader asks for."""

FILE: Final = b"0"
HARD_LINK: Final = b"1"
SYMLINK: Final = b"2"
FOLDER: Final = b"5"

_PAX: Final = b"x"
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x")
"""Name, mode, uid, gid, size, mtime, checksum, kind, link target, magic, version, user, group, device
numbers, prefix."""
_NAME, _PREFIX, _LINK = 100, 155, 100
_SIZE_MAX = 8**11 - 1
_ID_MAX = 8**7 - 1
_PAX_NAME = b"././@PaxHeader"


def header(
    path: str,
    *,
    mode: int,
    kind: bytes = FILE,
    size: int = 0,
    link: str = "",
    uid: int = 0,
    gid: int = 0,
    device: tuple[int, int] = (0, 0),
    records: Mapping[str, bytes] | None = None,
) -> bytes:
    """Return the header of one entry: whole blocks, a pax header before it where it needs one.

    `path` is relative; that of a folder gets its `/` here. `mode` is permissions alone, `size` in bytes,
    `device` major and minor number. `records` are more pax records, such as extended attributes.
    """
    name = path.encode("utf-8", "surrogateescape") + (b"/" if kind == FOLDER else b"")
    target = link.encode("utf-8", "surrogateescape")
    extra = dict(records or {})
    prefix, rest = _split(name)
    if not name.isascii() or not rest:
        extra["path"] = name
        prefix, rest = b"", _plain(name)[:_NAME]
    if not target.isascii() or len(target) > _LINK:
        extra["linkpath"] = target
        target = _plain(target)[:_LINK]
    for key, value, most in (("size", size, _SIZE_MAX), ("uid", uid, _ID_MAX), ("gid", gid, _ID_MAX)):
        if value > most:
            extra[key] = b"%d" % value
    fits = (min(uid, _ID_MAX), min(gid, _ID_MAX), min(size, _SIZE_MAX))
    before = _pax(extra) if extra else b""
    return before + _block(prefix, rest, mode & 0o7777, fits, kind, target, device)


def padding(size: int) -> bytes:
    """Return the zeros after a content of `size` bytes, which fill its last block."""
    return bytes(-size % BLOCK)


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Return prefix and name as ustar divides a path; an empty name if it cannot."""
    if len(name) <= _NAME:
        return b"", name
    cut = name.find(b"/", len(name) - _NAME - 1, len(name) - 1)
    if cut <= 0 or cut > _PREFIX:
        return b"", b""
    return name[:cut], name[cut + 1 :]


def _plain(name: bytes) -> bytes:
    """Return a name in ASCII, for readers that do not know pax headers."""
    return bytes(byte if byte < 0x80 else ord("_") for byte in name)


def _pax(records: Mapping[str, bytes]) -> bytes:
    """Return a pax header with its records, sorted by their keys."""
    content = b"".join(_record(key.encode(), records[key]) for key in sorted(records))
    fits = (0, 0, len(content))
    return _block(b"", _PAX_NAME, 0o644, fits, _PAX, b"", (0, 0)) + content + padding(len(content))


def _record(key: bytes, value: bytes) -> bytes:
    """Return `LENGTH KEY=VALUE`, in which the length counts itself."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != (longer := len(rest) + len(str(length))):
        length = longer
    return b"%d" % length + rest


def _block(
    prefix: bytes,
    name: bytes,
    mode: int,
    fits: tuple[int, int, int],
    kind: bytes,
    target: bytes,
    device: tuple[int, int],
) -> bytes:
    uid, gid, size = fits
    numbers = (b"%07o\0" % mode, b"%07o\0" % uid, b"%07o\0" % gid, b"%011o\0" % size, b"%011o\0" % EPOCH)
    major, minor = (b"%07o\0" % number for number in device)
    fields = (kind, target, b"ustar\0", b"00", b"", b"", major, minor, prefix)
    unsigned = _HEADER.pack(name, *numbers, b" " * 8, *fields)
    return _HEADER.pack(name, *numbers, b"%06o\0 " % sum(unsigned), *fields)
