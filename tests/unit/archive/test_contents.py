from __future__ import annotations

import hashlib
import os
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planton_build.archive import contents
from planton_build.archive.contents import inspect_entries, read_entry
from planton_build.archive.reader import read_zip
from planton_build.errors import ArchiveInvalid

Crafted = Callable[..., Path]


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def inspect(path: Path, **options: Any) -> dict[str, str]:
    return {entry.path: sha256 for entry, sha256 in inspect_entries(path, read_zip(path), **options)}


@pytest.mark.parametrize("size", [0, 1, 255, 256 << 10, (256 << 10) + 1, 3_000_000])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("kind", ["zeros", "noise", "text"])
def test_contents_of_every_size_and_kind_are_hashed(
    tmp_path: Path, size: int, method: int, kind: str
) -> None:
    content = {
        "zeros": bytes(size),
        "noise": os.urandom(size),
        "text": (b"some words " * (size // 11 + 1))[:size],
    }
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x", content[kind])
    assert inspect(path) == {"x": hashlib.sha256(content[kind]).hexdigest()}
    (entry,) = read_zip(path).entries
    assert read_entry(path, entry) == content[kind]


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_results_come_in_entry_order_with_any_number_of_threads(tmp_path: Path, jobs: int) -> None:
    path = tmp_path / "a.zip"
    contents = {f"f{number}": os.urandom(700_000 if number % 5 == 0 else 10) for number in range(40)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    expected = [(name, hashlib.sha256(content).hexdigest()) for name, content in contents.items()]
    found = inspect_entries(path, read_zip(path), jobs=jobs)
    assert [(entry.path, sha256) for entry, sha256 in found] == expected


LONG = b"a longer text, " * 100


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"content": b"hello", "crc": 1}, "CRC-32"),
        ({"content": LONG, "method": 8, "crc": 1}, "CRC-32"),
        ({"content": LONG, "method": 8, "size": len(LONG) - 1}, "unpacks to more than"),
        ({"content": LONG, "method": 8, "size": 1}, "unpacks to more than"),
        ({"content": LONG, "method": 8, "size": 0, "crc": 0}, "unpacks to more than"),
        ({"content": LONG, "method": 8, "size": len(LONG) + 1}, "unpacks to 1,500 bytes and claims 1,501"),
        ({"content": LONG, "method": 8, "payload": raw_deflate(LONG) + b"x"}, "after its compressed data"),
        (
            {"content": LONG, "method": 8, "payload": raw_deflate(LONG) + bytes(600_000)},
            "after its compressed data",
        ),
        ({"content": LONG, "method": 8, "payload": raw_deflate(LONG)[:-1]}, "without an end"),
        ({"content": b"", "method": 8, "payload": b""}, "without an end"),
        ({"content": LONG, "method": 8, "payload": b"\xff" * 100}, "damaged compressed data"),
        ({"content": LONG, "method": 8, "payload": zlib.compress(LONG)}, "damaged compressed data"),
    ],
    ids=range(12),
)
@pytest.mark.parametrize("jobs", [1, 3])
def test_contents_that_are_not_as_claimed_are_refused(
    crafted: Crafted, entry: dict[str, Any], reason: str, jobs: int
) -> None:
    path = crafted([{"name": b"good", "content": b"x"}, {"name": b"bad"} | entry])
    with pytest.raises(ArchiveInvalid, match=reason) as caught:
        inspect(path, jobs=jobs)
    assert "'bad'" in caught.value.message
    with pytest.raises(ArchiveInvalid, match=reason):
        read_entry(path, read_zip(path).entries[1])


def test_bytes_after_a_stream_that_ends_with_a_piece_are_refused(
    crafted: Crafted, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = raw_deflate(LONG)
    monkeypatch.setattr(contents, "_CHUNK", len(stream))
    entry = {"name": b"x", "content": LONG, "method": 8}
    assert inspect(crafted([entry])) == {"x": hashlib.sha256(LONG).hexdigest()}
    with pytest.raises(ArchiveInvalid, match="after its compressed data"):
        inspect(crafted([entry | {"payload": stream + b"x"}]))


def test_a_bomb_is_given_up_at_its_claimed_size(crafted: Crafted) -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(200)) + bomb.flush()
    path = crafted([{"name": b"bomb", "content": b"", "method": 8, "payload": payload, "size": 10_000}])
    listing = read_zip(path)
    tracemalloc.start()
    with pytest.raises(ArchiveInvalid, match="unpacks to more than"):
        list(inspect_entries(path, listing))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 << 20


def test_memory_stays_bounded_for_large_contents(tmp_path: Path) -> None:
    path = tmp_path / "large.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x", "w") as entry,
    ):
        for _ in range(64):
            entry.write(bytes(1 << 20))
    listing = read_zip(path)
    tracemalloc.start()
    assert len(list(inspect_entries(path, listing))) == 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 << 20


def test_an_archive_that_shrinks_after_listing_is_refused(crafted: Crafted) -> None:
    path = crafted([{"name": b"x", "content": b"hello"}])
    listing = read_zip(path)
    path.write_bytes(path.read_bytes()[:33])
    with pytest.raises(ArchiveInvalid, match="ends before its data does"):
        list(inspect_entries(path, listing))
    path.unlink()
    with pytest.raises(ArchiveInvalid, match="cannot be read"):
        list(inspect_entries(path, listing))


@pytest.mark.parametrize("target", [b"../outside", b"/etc/passwd", b"b/../../x", b"", b"\xff"])
def test_links_that_leave_the_archive_are_refused(crafted: Crafted, target: bytes) -> None:
    path = crafted([{"name": b"l", "content": target, "mode": 0o120777}])
    with pytest.raises(ArchiveInvalid, match="'l' is a symlink that"):
        inspect(path)


def test_absolute_links_are_accepted_only_below_the_given_roots(crafted: Crafted) -> None:
    path = crafted([{"name": b"l", "content": b"/opt/lib/x", "mode": 0o120777}])
    with pytest.raises(ArchiveInvalid):
        inspect(path)
    assert inspect(path, absolute_roots=["/opt"]) == {"l": hashlib.sha256(b"/opt/lib/x").hexdigest()}


def test_an_entry_above_the_limit_is_not_read(crafted: Crafted) -> None:
    path = crafted([{"name": b"x", "content": b"hello"}])
    (entry,) = read_zip(path).entries
    assert read_entry(path, entry, limit=5) == b"hello"
    with pytest.raises(ArchiveInvalid, match="5 bytes; 4 are read"):
        read_entry(path, entry, limit=4)
