"""What is seen in a layer, on files that gcc compiles here and crafted ones; and what the store keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from planton_build.audit.image import facts as module
from planton_build.audit.image import stream as stream_module
from planton_build.audit.image.facts import LayerFacts, layer_facts
from planton_build.audit.image.stream import Allowance
from planton_build.cache import Store
from planton_build.errors import ImageInvalid, ImageMismatch, SizeLimitExceeded
from planton_build.oci.image import Layer

Craft = Callable[..., bytes]


@pytest.fixture
def look(by_hand: ModuleType, store: Store) -> Callable[..., LayerFacts]:
    def looked(*files: Any) -> LayerFacts:
        return layer_facts(by_hand.layer_of(by_hand.tar_of(files)), store)

    return looked


def test_native_files_say_what_they_need(look: Any, by_hand: ModuleType, elf: Craft) -> None:
    content = elf(
        "aarch64",
        needed=["libz.so.1", "libc.so.6"],
        versions=[("libc.so.6", "GLIBC_2.17"), ("libc.so.6", "GLIBC_2.28"), ("libz.so.1", "ZLIB_1.2")],
        soname="libx.so.1",
        runpath="$ORIGIN/../lib",
    )
    (found,) = look(by_hand.File("a/libx.so", content)).elves.items()
    assert found[0] == "a/libx.so"
    assert found[1].machine == "aarch64"
    assert (found[1].soname, found[1].glibc, found[1].fault) == ("libx.so.1", "2.28", "")
    assert (found[1].needed, found[1].folders) == (("libz.so.1", "libc.so.6"), ("$ORIGIN/../lib",))


def test_a_compiled_library_is_read_from_the_stream(look: Any, by_hand: ModuleType, compile_c: Any) -> None:
    content = compile_c('#include <stdio.h>\nint f(void) { return puts("x"); }')
    elf = look(by_hand.File("f.so", content)).elves["f.so"]
    assert (elf.machine, elf.kind, elf.needed) == ("x86_64", "library", ("libc.so.6",))
    assert elf.glibc.startswith("2.")


def test_a_cut_off_elf_file_keeps_its_machine(look: Any, by_hand: ModuleType, elf: Craft) -> None:
    found = look(by_hand.File("x.so", elf("aarch64", needed=["libc.so.6"])[:150])).elves["x.so"]
    assert (found.machine, found.kind) == ("aarch64", "library")
    assert "cut off" in found.fault


def test_of_a_huge_elf_file_only_the_header_is_read(
    look: Any, by_hand: ModuleType, elf: Craft, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = elf("aarch64", needed=["libc.so.6"])
    monkeypatch.setattr(module, "_LARGEST", len(content) - 1)
    found = look(by_hand.File("x.so", content), by_hand.File("y", b"#!/bin/sh\n", 0o755))
    assert (found.elves["x.so"].machine, found.elves["x.so"].needed) == ("aarch64", ())
    assert found.scripts == {"y": "/bin/sh"}


@pytest.mark.parametrize("name", ["libc.so.6", "libc-2.26.so", "libc-2.99.so"])
def test_a_c_library_says_its_version(look: Any, by_hand: ModuleType, elf: Craft, name: str) -> None:
    banner = b"\0GNU C Library (GNU libc) stable release version 2.26, by Roland\0GLIBC_2.2.5\0GLIBC_2.9\0"
    found = look(by_hand.File(f"lib64/{name}", elf() + banner)).libc
    assert found == {f"lib64/{name}": "2.99" if "2.99" in name else "2.26"}


def test_this_machine_s_own_c_library_says_its_version(look: Any, by_hand: ModuleType) -> None:
    import platform

    paths = [
        one for one in map(Path, ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6")) if one.exists()
    ]
    if not paths or platform.libc_ver()[0] != "glibc":
        pytest.skip("needs glibc on x86_64")
    found = look(by_hand.File("lib64/libc.so.6", paths[0].read_bytes(), 0o755))
    assert found.libc == {"lib64/libc.so.6": platform.libc_ver()[1]}


def test_scripts_name_their_interpreter_when_they_can_be_run(look: Any, by_hand: ModuleType) -> None:
    found = look(
        by_hand.File("run", b"#! /usr/bin/env python3\nx", 0o755),
        by_hand.File("empty", b"#!\n  x", 0o755),
        by_hand.File("plain", b"#!/bin/sh\n"),
        by_hand.File("long", b"#!/" + b"x" * 10_000, 0o755),
    )
    assert found.scripts == {"run": "/usr/bin/env", "empty": "", "long": "/" + "x" * 253}


def test_a_hard_link_is_the_file_it_names(look: Any, by_hand: ModuleType, elf: Craft) -> None:
    found = look(by_hand.File("a.so", elf()), by_hand.File("b.so", kind="h", target="./a.so"))
    assert found.elves["b.so"] == found.elves["a.so"]


def test_the_last_entry_of_a_path_counts(look: Any, by_hand: ModuleType, elf: Craft) -> None:
    found = look(by_hand.File("a.so", elf()), by_hand.File("b"), by_hand.File("a.so", b"text"))
    assert found.elves == {}
    assert [(entry.path, entry.size) for entry in found.entries] == [("b", 0), ("a.so", 4)]


def test_whiteouts_are_no_files(look: Any, by_hand: ModuleType) -> None:
    names = [".wh.top", "a/.wh.gone", "a/b/.wh..wh..opq", "a/.wh..wh.plnk", ".wh..wh..opq", "kept"]
    found = look(*(by_hand.File(name) for name in names))
    assert found.hidden == ("top", "a/gone")
    assert found.opaque == ("a/b", "")
    assert [entry.path for entry in found.entries] == ["kept"]


def test_a_second_look_reads_nothing(by_hand: ModuleType, store: Store, elf: Craft) -> None:
    files = [
        by_hand.File("ä\udcff\n", b"x", 0o4755),
        by_hand.File("l", kind="l", target="../ä"),
        by_hand.File("m", kind="l", target="l"),
        by_hand.File("lib.so", elf(versions=[("libc.so.6", "GLIBC_2.30")], needed=["libc.so.6"])),
        by_hand.File("s", b"#!/bin/sh", 0o755),
        by_hand.File(".wh.x"),
        by_hand.File("d", kind="d", mode=0o700),
    ]
    layer = by_hand.layer_of(by_hand.tar_of(files))
    first = layer_facts(layer, store)

    class Gone:
        def chunks(self, offset: int = 0) -> None:
            raise AssertionError

    assert layer_facts(replace(layer, content=Gone()), store) == first
    assert layer_facts(by_hand.layer_of(b"\0" * 1024), store).entries == ()
    assert layer_facts(by_hand.layer_of(b"\0" * 1024), store).entries == ()


def test_what_was_seen_of_other_digests_does_not_count(by_hand: ModuleType, store: Store) -> None:
    layer = by_hand.layer_of(by_hand.tar_of([by_hand.File("a")]))
    layer_facts(layer, store)
    lying = Layer(layer.descriptor, "sha256:" + "0" * 64, layer.content)
    with pytest.raises(ImageMismatch):
        layer_facts(lying, store)


def test_layers_that_are_known_count_against_the_limit(by_hand: ModuleType, store: Store) -> None:
    layer = by_hand.layer_of(by_hand.tar_of([by_hand.File("a", bytes(100_000))]))
    size = layer_facts(layer, store).unpacked
    with pytest.raises(SizeLimitExceeded):
        layer_facts(layer, store, allowance=Allowance(size - 1))


def test_entries_and_names_are_counted_over_all_layers(
    by_hand: ModuleType, store: Store, elf: Craft, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = by_hand.layer_of(by_hand.tar_of([by_hand.File("a"), by_hand.File("b")]))
    monkeypatch.setattr(stream_module, "_ENTRIES", 3)
    allowance = Allowance()
    layer_facts(layer, store, allowance=allowance)
    with pytest.raises(ImageInvalid, match="more than 3 entries"):
        layer_facts(layer, store, allowance=allowance)
    monkeypatch.setattr(module, "_NAMES", 200)
    files = [by_hand.File(f"{name}.so", elf(needed=["libc.so.6"])) for name in "abc"]
    with pytest.raises(ImageInvalid, match="than any real ones"):
        layer_facts(by_hand.layer_of(by_hand.tar_of(files)), store)


def test_a_damaged_record_is_made_anew(by_hand: ModuleType, store: Store) -> None:
    layer = by_hand.layer_of(by_hand.tar_of([by_hand.File("a")]))
    first = layer_facts(layer, store)
    (record,) = (store.root / "layer_facts").rglob("*.json")
    for damaged in ("12", '"AAAA"', '"%"', "{}"):
        record.write_text(damaged)
        assert layer_facts(layer, store) == first


def test_progress_counts_unpacked_bytes(by_hand: ModuleType, store: Store) -> None:
    seen: list[int] = []
    layer = by_hand.layer_of(by_hand.tar_of([by_hand.File("a", bytes(3 << 20))]))
    facts = layer_facts(layer, store, advanced=seen.append)
    assert sum(seen) == facts.unpacked
