from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from planton_build.archive.member import Member
from planton_build.audit.binaries import native_files
from planton_build.cache import Store
from planton_build.errors import ArchiveInvalid

Make = Callable[..., Member]
Craft = Callable[..., bytes]

MACH_O = b"\xcf\xfa\xed\xfe" + bytes(60)
FAT = b"\xca\xfe\xba\xbe\x00\x00\x00\x02" + bytes(60)
JAVA = b"\xca\xfe\xba\xbe\x00\x00\x00\x41" + bytes(60)
PE = b"MZ" + bytes(58) + struct.pack("<I", 128) + bytes(64) + b"PE\0\0" + bytes(100)
PE_CUT = PE[:100]


@pytest.mark.parametrize(
    ("content", "platform"),
    [
        (MACH_O, "macos"),
        (FAT, "macos"),
        (PE, "windows"),
        (JAVA, None),
        (PE_CUT, None),
        (b"MZ is how this text begins", None),
        (b"", None),
        (b"\x7fEL", None),
        (b"#!/bin/sh\n", None),
    ],
)
def test_programs_are_known_by_their_content(
    content: bytes, platform: str | None, make: Make, store: Store
) -> None:
    found = native_files([make("some/file.dat", content)], store)
    assert [native.platform for native in found] == ([platform] if platform else [])


def test_elf_files_are_read_out_of_compressed_members(make: Make, store: Store, elf: Craft) -> None:
    members = [
        make("a.py", b"x = 1\n" * 50, origin="a"),
        make("a/b.so", elf(needed=["libc.so.6"]) + bytes(50_000), origin="a"),
        make("c/d", elf("aarch64", needed=["libm.so.6"]), origin="c"),
    ]
    assert members[1].method == 8
    found = native_files(members, store)
    assert [native.member.path for native in found] == ["a/b.so", "c/d"]
    assert [native.elf and (native.elf.machine, native.elf.needed) for native in found] == [
        ("x86_64", ("libc.so.6",)),
        ("aarch64", ("libm.so.6",)),
    ]


def test_the_second_time_no_file_is_opened(make: Make, store: Store, elf: Craft) -> None:
    members = [
        make("a.so", elf(versions=[("libc.so.6", "GLIBC_2.17")], rpath="$ORIGIN", soname="a"), origin="a"),
        make("b.txt", b"text", origin="a"),
    ]
    first = native_files(members, store)
    gone = [replace(member, file=Path("gone")) for member in members]
    again = native_files(gone, store)
    assert [native.elf for native in again] == [native.elf for native in first]
    with pytest.raises(ArchiveInvalid):
        native_files([replace(gone[0], origin="b", sha256="0" * 64)], store)


def test_a_part_of_a_package_has_facts_of_its_own(make: Make, store: Store, elf: Craft) -> None:
    one, other = make("a.so", elf(soname="a"), origin="p"), make("b.so", elf(soname="b"), origin="p")
    assert len(native_files([one], store)) == 1
    assert len(native_files([one, other], store)) == 2
    assert len(native_files([other], store)) == 1


def test_an_elf_file_that_is_none_is_told_as_such(make: Make, store: Store) -> None:
    (found,) = native_files([make("a.so", b"\x7fELF and more")], store)
    assert found.platform == "linux"
    assert found.elf is None
    assert "ends within its header" in found.fault


def test_a_member_that_unpacks_to_more_than_it_claims_is_unreadable(
    make: Make, store: Store, elf: Craft
) -> None:
    member = make("a.so", elf() + bytes(5_000_000))
    (found,) = native_files([replace(member, size=1_000)], store)
    assert found.elf is None
    assert "more than it claims" in found.fault
