"""The entries of a tar stream, read strictly and without unpacking: what a hostile layer may try is refused.

The formats that writers of layers use: v7, ustar, GNU's long names, pax. Bounds are far above real layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from planton_build.errors import ImageInvalid

_BLOCK = 512
_NO_BLOCK = bytes(_BLOCK)
_ENTRIES = 500_000
"""Entries of one layer; a large base image has some forty thousand."""
_NAMES = 64 << 20
"""Bytes of all names of one layer."""
_NAME = 4_096
"""Bytes of a path (PATH_MAX of Linux, with its final NUL)."""
_LEVELS = 255
"""Folders above a file; Linux has no such limit, and a kernel's sources have a dozen."""
_EXTENSION = 1 << 20
"""Bytes of an extended header: tar(5) of libarchive takes as many."""
_EXTENSIONS = 16
"""Extended headers in front of one entry; writers make at most three."""
_KINDS = {
    **dict.fromkeys((b"0", b"\0", b"7"), "f"),
    b"1": "h",
    b"2": "l",
    b"3": "c",
    b"4": "b",
    b"5": "d",
    b"6": "p",
}
_SPARSE = b"S"


class Entry(NamedTuple):
    """One entry: `path` without first or last slash; `kind` is one letter: `f`ile, `d`irectory, `l`ink
    (symbolic), `h`ard link, `c`haracter or `b`lock device, `p`ipe. `target` is that of links, else ""."""

    path: str
    kind: str
    mode: int
    size: int
    target: str


class TarReader:
    """Iterates over the entries of a tar stream; `read` gives the content of the one that came last."""

    def __init__(self, pieces: Iterator[bytes], what: str) -> None:
        self._pieces, self._what = pieces, what
        self._piece, self._at = b"", 0
        self._left = 0
        self._padding = 0

    def read(self, count: int) -> bytes:
        """Return up to `count` more bytes of the entry's content.

        Raises:
            ImageInvalid: the stream ends within it.
        """
        wanted = min(count, self._left)
        content = self._take(wanted)
        self._left -= wanted
        return content

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries, the root folder's own left out.

        Raises:
            ImageInvalid: the stream is no tar, is cut off, names what is outside, or is beyond all bounds.
        """
        names = count = 0
        while (entry := self._entry()) is not None:
            count, names = count + 1, names + len(entry.path) + len(entry.target)
            if count > _ENTRIES or names > _NAMES:
                raise self._invalid(f"has more than {_ENTRIES:,} entries, or names of more than 64 MiB")
            if entry.path:
                yield entry
            self._pass_over(self._left + self._padding)
            self._left = self._padding = 0
        for _ in self._pieces:  # what follows the end: read, so that the digests are of everything
            pass

    def _entry(self) -> Entry | None:
        """Return the next entry with what extended headers say of it, or None at the end."""
        said: dict[str, str] = {}
        for _ in range(_EXTENSIONS):
            header = self._header()
            if header is None:
                return None
            kind = header[156:157]
            size = self._number(header[124:136])
            if kind in b"xgLK":
                self._extend(said, kind, self._extension(size))
                continue
            return self._of(header, kind, size, said)
        raise self._invalid("has an entry with extended headers without end")

    def _of(self, header: bytes, kind: bytes, size: int, said: dict[str, str]) -> Entry:
        letter = _KINDS.get(kind)
        if kind == _SPARSE or any(key.startswith("GNU.sparse") for key in said):
            # "SHOULD NOT be used because they lack consistent support" (OCI image 1.1, `layer.md`).
            raise self._invalid("has a sparse file, which layers should not have")
        if letter is None:
            raise self._invalid(f"has an entry of type {kind!r}, which layers do not have")
        name = said.get("path") or self._name(header)
        target = said.get("linkpath") or _text(header[157:257]) if letter in "lh" else ""
        if letter == "f":
            size = self._pax_size(said, size)
            if name.endswith("/"):  # how v7 writes a folder
                letter = "d"
        if len(name) > _NAME or len(target) > _NAME or name.count("/") > _LEVELS:
            raise self._invalid(f"has a name of more than {_NAME:,} characters, or {_LEVELS} folders")
        if letter != "f":
            size = 0  # such entries have no content, whatever they say: as readers in Go and Python take it
        self._left, self._padding = size, -size % _BLOCK
        mode = self._number(header[100:108]) & 0o7777
        path = self._inside(name)
        return Entry(path, letter, mode, size, self._inside(target) if letter == "h" else target)

    def _header(self) -> bytes | None:
        block = self._take(_BLOCK, or_end=True)
        if not block or block == _NO_BLOCK:
            return None
        if self._number(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * 32:
            raise self._invalid("is no tar archive, or a damaged one")
        return block

    def _extension(self, size: int) -> bytes:
        if size > _EXTENSION:
            raise self._invalid("has an extended header larger than 1 MiB")
        content = self._take(size)
        self._pass_over(-size % _BLOCK)
        return content

    def _extend(self, said: dict[str, str], kind: bytes, content: bytes) -> None:
        """Put down what an extended header says; pax has the last word."""
        if kind in b"LK":
            said.setdefault("path" if kind == b"L" else "linkpath", _text(content))
            return
        records = dict(self._records(content))
        if kind == b"g":
            if records.keys() & {"path", "linkpath", "size"}:
                raise self._invalid("has a global header that names files")
            return
        if any("\0" in value for value in (records.get("path", ""), records.get("linkpath", ""))):
            raise self._invalid("has a name with a NUL in it")
        said.update(records)

    def _records(self, content: bytes) -> Iterator[tuple[str, str]]:
        """Yield keys and values of pax: `LENGTH KEY=VALUE\\n`, the length that of the whole record."""
        at = 0
        while at < len(content):
            digits = content[at : at + 20].partition(b" ")[0]
            length = int(digits) if digits.isdigit() else 0
            record = content[at + len(digits) + 1 : at + length]
            key, equals, value = record.partition(b"=")
            if length <= len(digits) or not equals or not value.endswith(b"\n"):
                raise self._invalid("has a malformed extended header")
            yield key.decode("utf-8", "replace"), value[:-1].decode("utf-8", "surrogateescape")
            at += length

    def _pax_size(self, said: dict[str, str], size: int) -> int:
        text = said.get("size", "")
        if text and not (text.isascii() and text.isdigit() and len(text) < 20):
            raise self._invalid("has a file whose size is no number")
        return int(text) if text else size

    def _name(self, header: bytes) -> str:
        name = _text(header[:100])
        prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
        return f"{prefix}/{name}" if prefix else name

    def _number(self, field: bytes) -> int:
        """Return a number in octal digits, or, as GNU writes large ones, in binary."""
        if field[0] & 0x80:
            if field[0] & 0x40:
                raise self._invalid("has a negative number in a header")
            return int.from_bytes(field[1:]) | (field[0] & 0x3F) << 8 * (len(field) - 1)
        digits = field.split(b"\0", 1)[0].strip()
        if digits.strip(b"01234567"):
            raise self._invalid("is no tar archive, or a damaged one")
        return int(digits, 8) if digits else 0

    def _inside(self, name: str) -> str:
        """Return a name as a path below the root.

        Raises:
            ImageInvalid: it leads out.
        """
        path = name.removeprefix("./").removesuffix("/")
        odd = ".." in path or "//" in path or "/./" in path or path.startswith(("/", "./"))
        if not odd and path not in {"", "."} and not path.endswith("/."):
            return path
        parts = [part for part in name.split("/") if part not in {"", "."}]
        if ".." in parts:
            raise self._invalid(f"has an entry that leads out of the image: {name[:200]!a}")
        return "/".join(parts)

    def _take(self, count: int, *, or_end: bool = False) -> bytes:
        """Return exactly `count` bytes; with `or_end`, none at the end of the stream."""
        at = self._at
        if at + count <= len(self._piece):
            self._at = at + count
            return self._piece[at : at + count]
        parts, missing = [self._piece[at:]], count - (len(self._piece) - at)
        self._piece, self._at = b"", 0
        while missing > 0 and (piece := next(self._pieces, None)) is not None:
            parts.append(piece[:missing])
            self._piece, self._at = piece, len(parts[-1])
            missing -= len(parts[-1])
        content = b"".join(parts)
        if missing > 0 and not (or_end and not content):
            raise self._invalid("is cut off")
        return content

    def _pass_over(self, count: int) -> None:
        missing = count - (len(self._piece) - self._at)
        if missing <= 0:
            self._at += count
            return
        self._piece, self._at = b"", 0
        while missing > 0:
            piece = next(self._pieces, None)
            if piece is None:
                raise self._invalid("is cut off")
            self._piece, self._at = piece, min(missing, len(piece))
            missing -= self._at

    def _invalid(self, fault: str) -> ImageInvalid:
        return ImageInvalid(f"{self._what} {fault}", hint="build or fetch the image anew")


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
