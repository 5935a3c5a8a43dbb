"""`LayerFacts`: what the checks ask of a layer, seen in one pass over its bytes and kept by its digest."""

from __future__ import annotations

import base64
import json
import re
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, NamedTuple

from planton_build.audit.elf import MAGIC, ElfUnreadable, read_elf, version_tuple
from planton_build.audit.image.stream import Allowance, Compression, LayerStream
from planton_build.audit.image.tar import Entry, TarReader
from planton_build.cache import Store, key_of
from planton_build.errors import ImageInvalid
from planton_build.oci.image import Layer

_FORMAT = 1
"""Raised whenever other facts are seen in the same bytes, or the record changes its form."""
_SPOOL = 8 << 20
"""Bytes of an ELF file that are held in memory; a larger one goes to a temporary file."""
_LARGEST = 1 << 30
"""Bytes of the largest ELF file that is read whole; of a larger one only the header is."""
_HEADER = 64
_SHEBANG = 256
"""Bytes of a script's first line that Linux reads (BINPRM_BUF_SIZE)."""
_COPY = 1 << 20
_NAMES = 64 << 20
"""Bytes of all names that the native files of a layer speak of, each with what it costs to hold it."""
_EACH = 64
_WHITEOUT, _OPAQUE, _RESERVED = ".wh.", ".wh..wh..opq", ".wh..wh."
_LIBC = re.compile(r"(?:.*/)?libc(?:\.so\.6|-(?P<version>2\.\d{1,3})\.so)")
_LIBC_READ = 16 << 20
_RELEASE = re.compile(
    rb"GNU C Library .{0,200}?release version (2\.\d{1,3})|\0GLIBC_(2\.\d{1,3})(?:\.\d+)?\0", re.DOTALL
)


class Elf(NamedTuple):
    """What decides whether an ELF file loads. `glibc` is the highest version needed, such as `2.17`, or "".

    `folders` are those of RPATH and RUNPATH. `fault` says why nothing but the header could be read.
    """

    machine: str
    kind: str
    interpreter: str
    soname: str
    glibc: str
    fault: str
    needed: tuple[str, ...]
    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What is in a layer, by path without a first slash.

    `unpacked` is the size of its tar stream in bytes. `hidden` are paths that it removes from the layers
    below (whiteouts), `opaque` folders whose content it removes. `scripts` gives the interpreter of files
    that begin with `#!`. `libc` gives the version of glibc that a C library is.
    """

    unpacked: int
    compression: Compression
    entries: tuple[Entry, ...]
    hidden: tuple[str, ...] = ()
    opaque: tuple[str, ...] = ()
    elves: Mapping[str, Elf] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    libc: Mapping[str, str] = field(default_factory=dict)


def layer_facts(
    layer: Layer,
    store: Store,
    *,
    allowance: Allowance | None = None,
    advanced: Callable[[int], None] | None = None,
) -> LayerFacts:
    """Return the facts of a layer: from the store, or from one pass over its bytes, which verifies them.

    Args:
        layer: the layer; nothing of it is unpacked to disk.
        store: keeps the facts under the layer's digests.
        allowance: what the layers of the image may still unpack to.
        advanced: told how many bytes more were unpacked.

    Raises:
        ImageMismatch: the bytes are not those that the image's documents name.
        ImageInvalid: it is no layer, or a hostile one.
        SizeLimitExceeded: the image is larger than Lambda takes.
        CacheBroken: the store cannot be used.
    """
    allowance = allowance or Allowance()
    # Both digests: what was verified of one pair says nothing of another.
    key = key_of("layer-facts", _FORMAT, layer.descriptor.digest, layer.diff_id)
    facts = _loaded(store.record("layer_facts", key))
    if facts is not None:
        allowance.take(facts.unpacked)
    else:
        facts = _seen(LayerStream(layer, allowance), advanced)
        store.put_record("layer_facts", key, _record(facts))
    allowance.take_entries(len(facts.entries))
    return facts


def _seen(stream: LayerStream, advanced: Callable[[int], None] | None) -> LayerFacts:
    def pieces() -> Any:
        for piece in stream:
            yield piece
            if advanced is not None:
                advanced(len(piece))

    reader = TarReader(pieces(), stream.name)
    entries: dict[str, Entry] = {}
    hidden: list[str] = []
    opaque: list[str] = []
    programs = _Programs(stream.name)
    for entry in reader:
        folder, _, name = entry.path.rpartition("/")
        if not name.startswith(_WHITEOUT):
            # The last of several entries for one path is what counts, also for its place in the order.
            entries.pop(entry.path, None)
            entries[entry.path] = entry
            programs.look_into(reader, entry)
        elif name == _OPAQUE:
            opaque.append(folder)
        elif not name.startswith(_RESERVED):
            hidden.append(f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/"))
    return LayerFacts(
        unpacked=stream.size,
        compression=stream.compression,
        entries=tuple(entries.values()),
        hidden=tuple(hidden),
        opaque=tuple(opaque),
        elves=programs.elves,
        scripts=programs.scripts,
        libc=programs.libc,
    )


class _Programs:
    """What can be run or loaded, by path."""

    def __init__(self, what: str) -> None:
        self._what, self._left = what, _NAMES
        self.elves: dict[str, Elf] = {}
        self.scripts: dict[str, str] = {}
        self.libc: dict[str, str] = {}

    def look_into(self, reader: TarReader, entry: Entry) -> None:
        path = entry.path
        tables: tuple[dict[str, Any], ...] = (self.elves, self.scripts, self.libc)
        for table in tables:
            table.pop(path, None)
            if entry.kind == "h" and entry.target in table:  # another name of a file that came before
                table[path] = table[entry.target]
        if entry.kind != "f" or entry.size < len(MAGIC):
            return
        head = reader.read(_HEADER)
        if head.startswith(MAGIC):
            self.elves[path], version = _elf(reader, head, entry)
            self._count(*self.elves[path].needed, *self.elves[path].folders)
            if version:
                self.libc[path] = version
        elif head.startswith(b"#!") and entry.mode & 0o111:
            line = (head + reader.read(_SHEBANG - len(head))).split(b"\n", 1)[0][2:].split()
            self.scripts[path] = line[0].decode("utf-8", "surrogateescape") if line else ""

    def _count(self, *names: str) -> None:
        self._left -= sum(_EACH + len(name) for name in names)
        if self._left < 0:
            raise ImageInvalid(f"{self._what} has native files that need more than any real ones")


def _elf(reader: TarReader, head: bytes, entry: Entry) -> tuple[Elf, str]:
    """Return what an ELF file says of itself, and the version of glibc that it is, if it is that."""
    if entry.size > _LARGEST:
        return _header_only(head, f"{entry.size:,} bytes are too many to read"), ""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as content:
        content.write(head)
        while piece := reader.read(_COPY):
            content.write(piece)
        stream: BinaryIO = content  # type: ignore[assignment]  # it has all of a binary stream; typeshed has not
        try:
            facts = read_elf(stream, entry.size)
        except ElfUnreadable as error:
            return _header_only(head, str(error)), ""
        glibc = [need.version for need in facts.versions if need.series == "GLIBC"]
        machine = (
            facts.machine if facts.bits == 64 and facts.little_endian else _odd(facts.machine, facts.bits)
        )
        elf = Elf(
            *(machine, facts.kind, facts.interpreter, facts.soname),
            *(max(glibc, key=version_tuple, default=""), ""),
            *(facts.needed, (*facts.rpath, *facts.runpath)),
        )
        return elf, _libc_version(stream, entry.path)


def _odd(machine: str, bits: int) -> str:
    return machine if machine not in {"x86_64", "aarch64"} else f"{machine}, {bits} bits"


def _header_only(head: bytes, fault: str) -> Elf:
    machines = {62: "x86_64", 183: "aarch64", 3: "i686"}
    order: Literal["big", "little"] = "big" if head[5:6] == b"\2" else "little"
    number = int.from_bytes(head[18:20], order)
    kind = {2: "program", 3: "library", 1: "object"}.get(int.from_bytes(head[16:18], order), "other")
    machine = machines.get(number, f"machine {number}")
    return Elf(_odd(machine, 32) if head[4:5] != b"\2" else machine, kind, "", "", "", fault, (), ())


def _libc_version(stream: BinaryIO, path: str) -> str:
    """Return the version of a C library: what it says when it is run, else the newest version it defines."""
    match = _LIBC.fullmatch(path)
    if match is None:
        return ""
    stream.seek(0)
    found = _RELEASE.findall(stream.read(_LIBC_READ))
    versions = [one.decode() for pair in found for one in pair if one] + [match["version"] or ""]
    return max(filter(None, versions), key=version_tuple, default="")


def _record(facts: LayerFacts) -> str:
    """Return the facts as a text: JSON by columns, deflated, for a layer has thousands of entries."""
    rows = facts.entries
    links = [row.target for row in rows if row.kind in "lh"]
    value = {
        "unpacked": facts.unpacked,
        "compression": facts.compression,
        "paths": "\0".join(row.path for row in rows),
        "kinds": "".join(row.kind for row in rows),
        "modes": [row.mode for row in rows],
        "sizes": [row.size for row in rows],
        "targets": "\0".join(links),
        "hidden": facts.hidden,
        "opaque": facts.opaque,
        "elves": facts.elves,
        "scripts": facts.scripts,
        "libc": facts.libc,
    }
    return base64.b64encode(zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 1)).decode()


def _loaded(record: Any) -> LayerFacts | None:
    """Return the facts that a record holds, or None when it holds none."""
    if not isinstance(record, str):
        return None
    try:
        value = json.loads(zlib.decompress(base64.b64decode(record)))
    except (ValueError, zlib.error):
        return None  # damaged on disk: looked at anew
    kinds = value["kinds"]
    links = iter(value["targets"].split("\0"))
    targets = [next(links) if kind in "lh" else "" for kind in kinds]
    paths = value["paths"].split("\0") if kinds else []
    columns = zip(paths, kinds, value["modes"], value["sizes"], targets, strict=True)
    return LayerFacts(
        unpacked=value["unpacked"],
        compression=value["compression"],
        entries=tuple(map(Entry._make, columns)),
        hidden=tuple(value["hidden"]),
        opaque=tuple(value["opaque"]),
        elves={path: _elf_of(*row) for path, row in value["elves"].items()},
        scripts=value["scripts"],
        libc=value["libc"],
    )


def _elf_of(
    machine: str,
    kind: str,
    interpreter: str,
    soname: str,
    glibc: str,
    fault: str,
    needed: list[str],
    folders: list[str],
) -> Elf:
    return Elf(machine, kind, interpreter, soname, glibc, fault, tuple(needed), tuple(folders))
