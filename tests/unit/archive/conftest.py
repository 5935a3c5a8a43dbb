"""Members, hand-made archives and second opinions for the tests of `planton_build.archive`."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from planton_build.archive.compress import member_from_bytes, member_from_symlink
from planton_build.archive.member import Member
from planton_build.cache import Store

MakeMember = Callable[..., Member]
Craft = Callable[..., bytes]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def make(store: Store) -> MakeMember:
    """Return a function that makes a member: `make(path, content, executable=..., origin=...)`."""

    def member(path: str, content: bytes = b"", *, executable: bool = False, origin: str = "") -> Member:
        return member_from_bytes(
            content, archive_path=path, executable=executable, origin=origin, store=store
        )

    return member


@pytest.fixture(scope="session")
def link(store: Store) -> MakeMember:
    """Return a function that makes a symlink: `link(path, target, origin=...)`."""

    def member(path: str, target: str, *, origin: str = "") -> Member:
        return member_from_symlink(target, archive_path=path, origin=origin, store=store)

    return member


@pytest.fixture
def tool() -> Callable[[str], str]:
    """Return a function that finds another ZIP tool; without it the test is skipped, in CI it fails."""

    def find(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            reason = f"{name} is not installed"
            if os.environ.get("PLANTON_REQUIRE_ENGINES") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        return found

    return find


def raw_deflate(content: bytes) -> bytes:
    """Return raw deflate that zlib made."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def _craft(entries: Sequence[dict[str, Any]], **end: Any) -> bytes:
    """Return the bytes of an archive in which anything can be said differently from what it is.

    Each entry has `name` and `content`; `method`, `flags`, `crc`, `size`, `packed`, `offset`, `mode`,
    `system`, `attributes`, `extra`, `disk` and `payload` change what is said everywhere, the same with
    `local_` before it only the local header. `before` and `after` are bytes around the entry. `end` changes
    the end record:
    `prefix`, `between`, `here`, `total`, `size`, `offset`, `disk`, `comment`, `zip64`, `suffix`.
    """
    out, directory = bytearray(end.get("prefix", b"")), bytearray()
    for entry in entries:
        name, content = entry["name"], entry.get("content", b"")
        method = entry.get("method", 0)
        payload = entry.get("payload", raw_deflate(content) if method == 8 else content)
        said = {
            "name": name,
            "flags": entry.get("flags", 0),
            "method": method,
            "crc": entry.get("crc", zlib.crc32(content)),
            "packed": entry.get("packed", len(payload)),
            "size": entry.get("size", len(content)),
            "extra": entry.get("extra", b""),
        }
        local = {key: entry.get(f"local_{key}", value) for key, value in said.items()}
        out += entry.get("before", b"")
        offset = entry.get("offset", len(out))
        out += struct.pack(
            "<4s5H3I2H", entry.get("signature", b"PK\x03\x04"), 20, local["flags"], local["method"], 0, 33,
            local["crc"], local["packed"], local["size"], len(local["name"]), len(local["extra"]),
        )  # fmt: skip
        out += local["name"] + local["extra"] + payload + entry.get("after", b"")
        attributes = entry.get("attributes", entry.get("mode", 0o100644) << 16)
        directory += struct.pack(
            "<4s6H3I5H2I", b"PK\x01\x02", entry.get("system", 3) << 8 | 20, 20, said["flags"], said["method"],
            0, 33, said["crc"], said["packed"], said["size"], len(name), len(said["extra"]), 0,
            entry.get("disk", 0), 0, attributes, offset,
        )  # fmt: skip
        directory += name + said["extra"]
    start = len(out)
    out += end.get("between", b"") + directory
    count = len(entries)
    zip64 = end.get("zip64")
    if zip64 is not None:
        position = len(out)
        said64 = {"rest": 44, "here": count, "total": count, "size": len(directory), "offset": start} | zip64
        out += struct.pack(
            "<4sQ2H2I4Q", b"PK\x06\x06", said64["rest"], 45, 45, 0, 0,
            said64["here"], said64["total"], said64["size"], said64["offset"],
        )  # fmt: skip
        out += struct.pack(
            "<4sIQI", b"PK\x06\x07", 0, said64.get("position", position), said64.get("disks", 1)
        )
    comment = end.get("comment", b"")
    out += struct.pack(
        "<4s4H2IH", b"PK\x05\x06", end.get("disk", 0), end.get("disk", 0),
        end.get("here", end.get("total", count)), end.get("total", count),
        end.get("size", len(directory)), end.get("offset", start), end.get("comment_size", len(comment)),
    )  # fmt: skip
    return bytes(out + comment + end.get("suffix", b""))


@pytest.fixture(scope="session")
def craft() -> Craft:
    """Return `_craft`."""
    return _craft


@pytest.fixture
def crafted(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a hand-made archive and gives its path."""

    def write(entries: Sequence[dict[str, Any]], **end: Any) -> Path:
        path = tmp_path / "crafted.zip"
        path.write_bytes(_craft(entries, **end))
        return path

    return write
