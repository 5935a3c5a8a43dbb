"""Native files for the audit: compiled here for this machine, or written byte by byte for any other."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from planton_build.archive.compress import member_from_bytes
from planton_build.archive.member import Member
from planton_build.cache import Store

Compile = Callable[..., bytes]
Make = Callable[..., Member]

MACHINES = {"x86_64": 62, "aarch64": 183, "i686": 3}
"""e_machine (gABI): EM_X86_64, EM_AARCH64, EM_386."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def make(store: Store) -> Make:
    """Return a function that makes a member: `make(path, content, origin=...)`."""

    def member(path: str, content: bytes = b"", *, origin: str = "") -> Member:
        return member_from_bytes(content, archive_path=path, executable=False, origin=origin, store=store)

    return member


@pytest.fixture(scope="session")
def compile_c(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Return a function that compiles C with this machine's gcc and returns a library, or a program."""
    gcc = shutil.which("gcc")
    if gcc is None or os.uname().machine != "x86_64":
        if os.environ.get("PLANTON_REQUIRE_ENGINES") == "1":
            pytest.fail("gcc on x86_64 is required here")
        pytest.skip("needs gcc on x86_64")

    def compiled(
        source: str, *flags: str, libraries: Sequence[tuple[str, bytes]] = (), program: bool = False
    ) -> bytes:
        folder = tmp_path_factory.mktemp("c")
        (folder / "source.c").write_text(source)
        for name, content in libraries:
            (folder / name).write_bytes(content)
        kind = () if program else ("-shared", "-fPIC")
        command = [gcc, *kind, "-o", "made", "source.c", *(name for name, _ in libraries), *flags]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return (folder / "made").read_bytes()

    return compiled


@pytest.fixture(scope="session")
def elf() -> Callable[..., bytes]:
    """Return `crafted_elf`."""
    return crafted_elf


def crafted_elf(
    machine: str = "x86_64",
    *,
    needed: Sequence[str] = (),
    versions: Sequence[tuple[str, str]] = (),
    soname: str = "",
    rpath: str = "",
    runpath: str = "",
    interpreter: str = "",
    weak: bool = False,
) -> bytes:
    """Return a 64-bit ELF file of any machine with a dynamic section, written without an ELF library.

    `versions` are pairs of library and version. Everything lies in one segment loaded at its own offset.
    """
    strings = bytearray(b"\0")

    def text(value: str) -> int:
        place = len(strings)
        strings.extend(value.encode() + b"\0")
        return place

    tags: list[tuple[int, int]] = [(1, text(name)) for name in needed]
    tags += [(tag, text(value)) for tag, value in ((14, soname), (15, rpath), (29, runpath)) if value]
    names = [(text(library), text(version)) for library, version in versions]
    program = text(interpreter)
    headers = 3 if interpreter else 2
    table = 64 + headers * 56
    needs = b""
    for index, (library, version) in enumerate(names):
        last = index + 1 == len(names)
        needs += struct.pack("<HHIII", 1, 1, library, 16, 0 if last else 32)
        needs += struct.pack("<IHHII", 0, 2 if weak else 0, 2, version, 0)
    versions_at = table + len(strings)
    dynamic_at = versions_at + len(needs)
    tags += [(5, table), (10, len(strings))]
    if names:
        tags += [(0x6FFFFFFE, versions_at), (0x6FFFFFFF, len(names))]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in [*tags, (0, 0)])
    size = dynamic_at + len(dynamic)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, MACHINES[machine], 1, 0, 64, 0, 0, 64, 56, headers, 64, 0, 0)
    segments = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, size, size, 4096)
    segments += struct.pack("<IIQQQQQQ", 2, 6, *(dynamic_at,) * 3, len(dynamic), len(dynamic), 8)
    if interpreter:
        place = table + program
        segments += struct.pack("<IIQQQQQQ", 3, 4, place, place, place, len(interpreter) + 1, 0, 1)
    return header + segments + bytes(strings) + needs + dynamic
