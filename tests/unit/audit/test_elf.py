from __future__ import annotations

import io
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.audit import elf as module
from planton_build.audit.elf import ElfFacts, ElfUnreadable, VersionNeed, read_elf

Compile = Callable[..., bytes]
Craft = Callable[..., bytes]


def read(content: bytes) -> ElfFacts:
    return read_elf(io.BytesIO(content), len(content))


def test_a_compiled_library_is_read_as_readelf_reads_it(compile_c: Compile, tmp_path: Path) -> None:
    content = compile_c(
        '#include <math.h>\n#include <stdio.h>\ndouble f(double x) { puts(""); return pow(x, x); }',
        *("-lm", "-Wl,-soname,libmine.so.3", "-Wl,-rpath,$ORIGIN/../lib:/opt/lib", "-Wl,--no-as-needed"),
    )
    facts = read(content)
    path = tmp_path / "made.so"
    path.write_bytes(content)
    shown = subprocess.run(["readelf", "-dVW", path], capture_output=True, text=True, check=True).stdout

    assert (facts.machine, facts.bits, facts.little_endian, facts.kind) == ("x86_64", 64, True, "library")
    assert facts.soname == "libmine.so.3"
    assert facts.runpath == ("$ORIGIN/../lib", "/opt/lib")
    assert facts.needed == ("libm.so.6", "libc.so.6")
    assert all(f"Shared library: [{name}]" in shown for name in facts.needed)
    glibc = {need.library: need.version for need in facts.versions if need.series == "GLIBC"}
    assert glibc == {"libm.so.6": "2.29", "libc.so.6": "2.2.5"}  # pow() was renewed in glibc 2.29
    assert "GLIBC_2.29" in shown


def test_a_program_and_a_static_one_are_told_apart(compile_c: Compile) -> None:
    source = "int main(void) { return 0; }"
    dynamic = read(compile_c(source, program=True))
    static = read(compile_c(source, "-static", program=True))
    assert (dynamic.kind, dynamic.interpreter) == ("program", "/lib64/ld-linux-x86-64.so.2")
    assert (static.kind, static.interpreter, static.needed) == ("program", "", ())


def test_an_object_file_is_one(compile_c: Compile) -> None:
    assert read(compile_c("int f(void) { return 1; }", "-c", "-fPIC", program=True)).kind == "object"


def test_a_crafted_file_of_another_machine_is_read(elf: Craft) -> None:
    facts = read(
        elf(
            "aarch64",
            needed=["libc.so.6", "libfoo.so.1"],
            versions=[("libc.so.6", "GLIBC_2.17"), ("libc.so.6", "GLIBC_2.9"), ("libx.so", "FOO_1.2")],
            rpath="$ORIGIN",
        )
    )
    assert facts.machine == "aarch64"
    assert facts.needed == ("libc.so.6", "libfoo.so.1")
    assert facts.rpath == ("$ORIGIN",)
    assert facts.versions == (VersionNeed("libc.so.6", "GLIBC", "2.17"), VersionNeed("libx.so", "FOO", "1.2"))


def test_weak_and_private_versions_say_nothing(elf: Craft) -> None:
    assert read(elf(versions=[("libc.so.6", "GLIBC_2.99")], weak=True)).versions == ()
    assert read(elf(versions=[("libc.so.6", "GLIBC_PRIVATE")])).versions == ()


def test_packed_relocations_need_the_glibc_that_has_them(elf: Craft) -> None:
    found = read(elf(versions=[("libc.so.6", "GLIBC_ABI_DT_RELR")])).versions
    assert found == (VersionNeed("libc.so.6", "GLIBC", "2.36"),)


def test_control_characters_in_names_do_not_reach_a_terminal(elf: Craft) -> None:
    assert read(elf(needed=["lib\x1b[2J.so"])).needed == ("lib\\x1b[2J.so",)


def test_a_file_that_is_cut_off_is_unreadable(elf: Craft) -> None:
    content = elf(needed=["libc.so.6"], versions=[("libc.so.6", "GLIBC_2.17")])
    for size in range(len(content)):
        with pytest.raises(ElfUnreadable):
            read(content[:size])
    with pytest.raises(ElfUnreadable, match="20 bytes are missing"):
        read(content[:-20])


def test_a_table_of_segments_that_claims_too_much_is_refused(elf: Craft) -> None:
    content = bytearray(elf())
    struct.pack_into("<H", content, 56, 60_000)
    with pytest.raises(ElfUnreadable, match="60,000 segments"):
        read(bytes(content))


def test_chains_of_versions_are_not_followed_for_ever(elf: Craft, monkeypatch: pytest.MonkeyPatch) -> None:
    content = elf(versions=[(f"lib{n}.so", "V_1") for n in range(5)])
    assert len(read(content).versions) == 5
    monkeypatch.setattr(module, "_VERSIONS", 4)
    with pytest.raises(ElfUnreadable, match="more libraries than any real file"):
        read(content)
    chain = bytearray(content)
    first = chain.index(struct.pack("<HH", 1, 1), 64 + 2 * 56)
    struct.pack_into("<HH", chain, first, 1, 60_000)  # vn_cnt
    for n in range(5):
        struct.pack_into("<I", chain, first + 16 + 32 * n + 12, 32)  # vna_next
    with pytest.raises(ElfUnreadable, match="more versions than any real file"):
        read(bytes(chain))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=600))
def test_random_bytes_behind_the_magic_are_unreadable_or_facts(rest: bytes) -> None:
    try:
        read(b"\x7fELF" + rest)
    except ElfUnreadable as error:
        assert str(error)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_file_with_any_bytes_changed_is_unreadable_or_facts(elf: Craft, data: st.DataObject) -> None:
    content = bytearray(
        elf(needed=["libc.so.6"], versions=[("libc.so.6", "GLIBC_2.17"), ("b", "B_1")], interpreter="/lib/ld")
    )
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(4, len(content) - 1))
        patch = data.draw(st.sampled_from([b"\xff", b"\x00", b"\x01", b"\x80", b"\xff" * 8, b"\x00" * 8]))
        content[place : place + len(patch)] = patch
    try:
        read(bytes(content))
    except ElfUnreadable as error:
        assert str(error)
