"""What the dynamic loader would read of one ELF file, read as it does: by segments, never by sections.

pyelftools knows the structures. Following them is done here and bounded, for a file may be cut off or
hostile: counts that promise billions, chains that never end, offsets that lead nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias

if TYPE_CHECKING:
    from elftools.construct import Construct

MAGIC = b"\x7fELF"

Kind: TypeAlias = Literal["library", "program", "object", "other"]

_MACHINES = {"EM_386": "i686", "EM_PPC64": "ppc64", "EM_S390": "s390x"}
"""Names that people use where they are not pyelftools' in small letters."""
_KINDS: dict[str, Kind] = {"ET_DYN": "library", "ET_EXEC": "program", "ET_REL": "object"}
_SEGMENTS = 512
"""Program headers that are followed; real files have about a dozen."""
_TAGS = 2_048
"""Entries of the dynamic section that are followed; real files have about thirty, and few hundred NEEDED."""
_VERSIONS = 4_096
"""Version requirements that are followed; real files have some dozen."""
_TEXT = 4_096
"""Bytes of a name or search path (PATH_MAX of Linux)."""
_WEAK = 0x2
"""VER_FLG_WEAK: the loader only warns when the version is missing (glibc, elf/dl-version.c)."""
_VERSION = re.compile(r"([A-Z]{1,16})_([0-9]{1,6}(?:\.[0-9]{1,6}){0,3})")
_DT_RELR = ("GLIBC_ABI_DT_RELR", ("GLIBC", "2.36"))
"""What the linker writes for packed relocations; glibc has it since 2.36 (its NEWS)."""


class ElfUnreadable(Exception):
    """The bytes behind the magic are no whole ELF file; the text says why."""


@dataclass(frozen=True, slots=True)
class VersionNeed:
    """The highest version of one series that is needed of a library: `libc.so.6`, `GLIBC`, `2.17`."""

    library: str
    series: str
    version: str


@dataclass(frozen=True, slots=True)
class ElfFacts:
    """What decides whether a file loads. `bits` is 32 or 64; `interpreter` and `soname` may be ""."""

    machine: str
    bits: int
    little_endian: bool
    kind: Kind
    interpreter: str
    soname: str
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]
    versions: tuple[VersionNeed, ...]


def version_tuple(text: str) -> tuple[int, ...]:
    """Return a version of digits and dots for comparing."""
    return tuple(map(int, text.split(".")))


def read_elf(stream: BinaryIO, size: int) -> ElfFacts:
    """Return the facts of an ELF file of `size` bytes.

    Raises:
        ElfUnreadable: the file is cut off, damaged or made to mislead.
    """
    from elftools.common.exceptions import ELFError

    try:
        return _Reader(stream, size).facts()
    except (ELFError, ValueError, LookupError, OverflowError, TypeError, AttributeError) as error:
        # pyelftools raises these besides its own for fields that make no sense.
        raise ElfUnreadable(f"damaged: {str(error)[:100]}") from error


class _Reader:
    def __init__(self, stream: BinaryIO, size: int) -> None:
        from elftools.common.utils import struct_parse
        from elftools.elf.structs import ELFStructs

        self._stream, self._size, self._parse = stream, size, struct_parse
        stream.seek(0)
        ident = stream.read(16)
        if len(ident) < 16 or not ident.startswith(MAGIC):
            raise ElfUnreadable("it ends within its header")
        if ident[4] not in {1, 2} or ident[5] not in {1, 2}:
            raise ElfUnreadable("its class or byte order is none that exists")
        self._structs = ELFStructs(little_endian=ident[5] == 1, elfclass=32 if ident[4] == 1 else 64)
        self._structs.create_basic_structs()
        self._header = self._at(self._structs.Elf_Ehdr, 0)
        kind, machine = self._header["e_type"], self._header["e_machine"]
        self._structs.create_advanced_structs(kind, machine, self._header["e_ident"]["EI_OSABI"])
        self._loads: list[tuple[int, int, int]] = []
        self._dynamic: tuple[int, int] | None = None
        self._interpreter = ""
        self._left = _VERSIONS

    def facts(self) -> ElfFacts:
        self._read_segments()
        kind = _KINDS.get(str(self._header["e_type"]), "other")
        if kind == "library" and self._interpreter:
            kind = "program"  # position-independent; a library has no interpreter, save libc itself
        tags = list(self._tags())
        names = {name: tuple(self._names(tags, name)) for name in ("NEEDED", "SONAME", "RPATH", "RUNPATH")}
        return ElfFacts(
            machine=_machine(self._header["e_machine"]),
            bits=self._structs.elfclass,
            little_endian=self._structs.little_endian,
            kind=kind,
            interpreter=self._interpreter,
            soname=next(iter(names["SONAME"]), ""),
            needed=names["NEEDED"],
            rpath=_folders(names["RPATH"]),
            runpath=_folders(names["RUNPATH"]),
            versions=_highest(self._versions(tags)),
        )

    def _at(self, struct: Construct, offset: int) -> Any:
        """Return the structure at `offset`, which must lie within the file."""
        if not 0 <= offset <= self._size - struct.sizeof():
            raise ElfUnreadable("it refers to bytes behind its end: it is cut off or damaged")
        return self._parse(struct, self._stream, stream_pos=offset)

    def _text(self, offset: int) -> str:
        if not 0 <= offset < self._size:
            raise ElfUnreadable("it refers to names behind its end: it is cut off or damaged")
        self._stream.seek(offset)
        text, end, _ = self._stream.read(_TEXT).partition(b"\0")
        if not end:
            raise ElfUnreadable("one of its names has no end")
        shown = text.decode("utf-8", "backslashreplace")
        return shown if shown.isprintable() else ascii(shown)[1:-1]

    def _read_segments(self) -> None:
        count, start, step = (self._header[name] for name in ("e_phnum", "e_phoff", "e_phentsize"))
        if count > _SEGMENTS:
            raise ElfUnreadable(f"it claims {count:,} segments")
        if count and step != self._structs.Elf_Phdr.sizeof():
            raise ElfUnreadable("its table of segments has a size that none has")
        for index in range(count):
            segment = self._at(self._structs.Elf_Phdr, start + index * step)
            offset, size = segment["p_offset"], segment["p_filesz"]
            if segment["p_type"] == "PT_LOAD":
                if offset + size > self._size:
                    raise ElfUnreadable(f"it is cut off: {offset + size - self._size:,} bytes are missing")
                self._loads.append((segment["p_vaddr"], offset, size))
            elif segment["p_type"] == "PT_DYNAMIC":
                self._dynamic = (offset, size)
            elif segment["p_type"] == "PT_INTERP":
                self._interpreter = self._text(offset)

    def _offset(self, address: int) -> int:
        """Return where in the file the byte is that would be loaded at `address`."""
        for start, offset, size in self._loads:
            if start <= address < start + size:
                return offset + address - start
        raise ElfUnreadable("its dynamic section refers to memory that is not loaded")

    def _tags(self) -> Iterator[tuple[str, int]]:
        if self._dynamic is None:
            return
        offset, size = self._dynamic
        step = self._structs.Elf_Dyn.sizeof()
        for index in range(min(size // step, _TAGS + 1)):
            if index == _TAGS:
                raise ElfUnreadable("its dynamic section is longer than any real one")
            tag = self._at(self._structs.Elf_Dyn, offset + index * step)
            if tag["d_tag"] == "DT_NULL":
                return
            yield str(tag["d_tag"]).removeprefix("DT_"), tag["d_val"]

    def _names(self, tags: list[tuple[str, int]], wanted: str) -> Iterator[str]:
        values = [value for name, value in tags if name == wanted]
        if values:
            table = self._offset(dict(tags)["STRTAB"])
            yield from (self._text(table + value) for value in values)

    def _versions(self, tags: list[tuple[str, int]]) -> Iterator[tuple[str, str]]:
        """Yield library and version for every version that must be there."""
        found = dict(tags)
        if "VERNEED" not in found:
            return
        table, position = self._offset(found["STRTAB"]), self._offset(found["VERNEED"])
        for count in range(found.get("VERNEEDNUM", _VERSIONS)):
            if count >= _VERSIONS:
                raise ElfUnreadable("it needs versions of more libraries than any real file")
            need = self._at(self._structs.Elf_Verneed, position)
            library = self._text(table + need["vn_file"])
            for entry in self._entries(position + need["vn_aux"], need["vn_cnt"]):
                if not entry["vna_flags"] & _WEAK:
                    yield library, self._text(table + entry["vna_name"])
            if not need["vn_next"]:
                return
            position += need["vn_next"]

    def _entries(self, position: int, count: int) -> Iterator[Any]:
        for _ in range(count):
            self._left -= 1
            if self._left < 0:
                raise ElfUnreadable("it needs more versions than any real file")
            entry = self._at(self._structs.Elf_Vernaux, position)
            yield entry
            if not entry["vna_next"]:
                return
            position += entry["vna_next"]


def _machine(name: object) -> str:
    """Return the machine as `uname -m` calls it where it has a name there."""
    if not isinstance(name, str):
        return f"machine {name}"
    return _MACHINES.get(name, name.removeprefix("EM_").lower())


def _folders(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(folder for path in paths for folder in path.split(":") if folder)


def _highest(needs: Iterator[tuple[str, str]]) -> tuple[VersionNeed, ...]:
    """Keep the highest of each series for each library; others, as GLIBC_PRIVATE, say nothing."""
    found: dict[tuple[str, str], str] = {}
    for library, name in needs:
        match = _VERSION.fullmatch(name)
        if name == _DT_RELR[0]:
            series, version = _DT_RELR[1]
        elif match is not None:
            series, version = match[1], match[2]
        else:
            continue
        known = found.get((library, series))
        if known is None or version_tuple(version) > version_tuple(known):
            found[library, series] = version
    return tuple(VersionNeed(*key, version) for key, version in sorted(found.items()))
