from __future__ import annotations

import hashlib
import io
import os
import tracemalloc
import zlib
from pathlib import Path

import deflate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planton_build.archive import compress
from planton_build.archive.compress import member_from_bytes, member_from_file, member_from_symlink
from planton_build.archive.member import DEFLATED, EXECUTABLE, REGULAR, STORED, SYMLINK, Member
from planton_build.cache import Store
from planton_build.errors import CacheBroken, SourceInvalid


@pytest.fixture
def own(tmp_path: Path) -> Store:
    """Return a store that no other test has written to."""
    return Store(tmp_path / "store")


def payload(member: Member) -> bytes:
    content = member.file.read_bytes()
    return content[member.offset : member.offset + member.compressed_size]


def unpacked(member: Member) -> bytes:
    return zlib.decompress(payload(member), -15) if member.method == DEFLATED else payload(member)


def from_bytes(content: bytes, store: Store) -> Member:
    return member_from_bytes(content, archive_path="a", executable=False, origin="", store=store)


def from_file(source: Path, store: Store) -> Member:
    return member_from_file(source, archive_path="a", executable=False, origin="", store=store)


def noise(seed: int, size: int) -> bytes:
    """Return bytes that no compressor can shorten, the same in every Python."""
    blocks = (hashlib.sha256(b"%d %d" % (seed, number)).digest() for number in range(size // 32 + 1))
    return b"".join(blocks)[:size]


SAMPLES = {
    "empty": b"",
    "one byte": b"a",
    "zeros": bytes(300_000),
    "source code": b"".join(b"def function_%d(x):\n    return x * %d\n" % (n, n * n) for n in range(20_000)),
    "noise": noise(1, 70_000),
    "few symbols": bytes(b"acgt"[byte % 4] for byte in noise(2, 500_000)),
    "records": b"".join(n.to_bytes(4, "little") + bytes([n % 7]) * 9 for n in range(60_000)),
    "noise and text": b"".join(noise(n, 500) + b"the same words again " * 40 for n in range(300)),
}

KNOWN = {
    "empty": (STORED, 0, "e3b0c44298fc1c149afbf4c8996fb924"),
    "one byte": (STORED, 1, "ca978112ca1bbdcafac231b39a23dc4d"),
    "zeros": (DEFLATED, 307, "c0aba741a32b47237e57ae1f3208a168"),
    "source code": (DEFLATED, 123489, "179765571b480f96b9a3b1253972a799"),
    "noise": (STORED, 70000, "da9b9ad0150b9ce2ad9fb1dd3c218c0e"),
    "few symbols": (DEFLATED, 136436, "d5076648e901b33fc36c59203536184c"),
    "records": (DEFLATED, 129525, "52acef0a330bdad1297192ed32d58498"),
    "noise and text": (DEFLATED, 152846, "116115239acb4e8f5a3637a08e73c83a"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_compressed_bytes_are_the_same_on_every_host(own: Store, name: str) -> None:
    """These digests were made on x86_64. A change of one means that users' artifacts change."""
    member = from_bytes(SAMPLES[name], own)
    found = (member.method, member.compressed_size, hashlib.sha256(payload(member)).hexdigest()[:32])
    assert found == KNOWN[name]


def test_the_pinned_compressor_is_installed() -> None:
    assert deflate.__version__ == "0.9.0"
    assert compress.COMPRESSOR == "deflate-0.9.0-level-6-up-to-67108864"


@given(st.one_of(st.binary(max_size=5_000), st.text(max_size=20).map(lambda text: text.encode() * 50)))
def test_members_unpack_to_their_content(store: Store, content: bytes) -> None:
    member = from_bytes(content, store)
    assert unpacked(member) == content
    assert member.size == len(content)
    assert member.crc32 == zlib.crc32(content)
    assert member.sha256 == hashlib.sha256(content).hexdigest()
    assert member.compressed_size <= len(content)
    assert (member.method == DEFLATED) == (member.compressed_size < len(content))


def test_members_say_what_they_were_made_from(own: Store, tmp_path: Path) -> None:
    source = tmp_path / "tool.sh"
    source.write_bytes(b"#!/bin/sh\n" * 20)
    run = member_from_file(source, archive_path="bin/tool", executable=True, origin="demo", store=own)
    assert (run.path, run.mode, run.origin) == ("bin/tool", EXECUTABLE, "demo")
    same = member_from_bytes(source.read_bytes(), archive_path="b", executable=False, origin="", store=own)
    assert (same.path, same.mode, same.origin) == ("b", REGULAR, "")
    assert (same.file, same.offset, same.sha256) == (run.file, run.offset, run.sha256)
    link = member_from_symlink("../lib/x", archive_path="bin/x", origin="demo", store=own)
    assert (link.path, link.mode, link.method) == ("bin/x", SYMLINK, STORED)
    assert unpacked(link) == b"../lib/x"


def test_the_same_content_is_compressed_once(own: Store) -> None:
    first = from_bytes(b"hello " * 100, own)
    os.utime(first.file, (1, 1))
    assert from_bytes(b"hello " * 100, own) == first
    assert first.file.stat().st_mtime == 1


@pytest.mark.parametrize("position", [0, 9, 20, 40, 75, -1], ids=str)
def test_a_damaged_blob_is_made_again(own: Store, position: int) -> None:
    member = from_bytes(b"hello " * 100, own)
    blob = bytearray(member.file.read_bytes())
    blob[position] ^= 1
    member.file.write_bytes(blob)
    assert from_bytes(b"hello " * 100, own) == member
    assert unpacked(member) == b"hello " * 100


@pytest.mark.parametrize("size", [0, 10, 103, 104, 105])
def test_a_cut_off_blob_is_made_again(own: Store, size: int) -> None:
    member = from_bytes(b"hello " * 100, own)
    member.file.write_bytes(member.file.read_bytes()[:size])
    assert unpacked(from_bytes(b"hello " * 100, own)) == b"hello " * 100


def test_a_blob_under_the_name_of_another_is_not_believed(own: Store) -> None:
    one, two = from_bytes(b"one " * 100, own), from_bytes(b"two " * 100, own)
    two.file.write_bytes(one.file.read_bytes())
    assert unpacked(from_bytes(b"two " * 100, own)) == b"two " * 100


def test_large_files_are_stored_and_never_held_in_memory(
    own: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compress, "STREAMED", 1 << 20)
    source = tmp_path / "large"
    with source.open("wb") as stream:
        for number in range(32):
            stream.write(bytes([number]) * (1 << 20))
    tracemalloc.start()
    member = from_file(source, own)
    again = from_file(source, own)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20
    assert again == member
    assert member.method == STORED
    assert (member.size, member.compressed_size) == (32 << 20, 32 << 20)
    content = source.read_bytes()
    assert payload(member) == content
    assert (member.crc32, member.sha256) == (zlib.crc32(content), hashlib.sha256(content).hexdigest())


def test_a_file_at_the_bound_is_compressed_and_one_above_is_stored(
    own: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compress, "STREAMED", 1000)
    source = tmp_path / "file"
    source.write_bytes(bytes(1000))
    assert from_file(source, own).method == DEFLATED
    source.write_bytes(bytes(1001))
    assert from_file(source, own).method == STORED


class _Changing(io.BytesIO):
    """A file that is another one whenever it is read from its beginning."""

    passes = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self.passes += 1
        super().seek(0)
        self.truncate()
        self.write(b"%d" % self.passes * (self.passes * 1000))
        return super().seek(offset, whence)


def test_a_large_file_that_changes_between_the_passes_gives_a_consistent_member(own: Store) -> None:
    changing = _Changing()
    member = compress._streamed(Path("x"), changing, "a", REGULAR, "", own)
    assert changing.passes == 2
    assert payload(member) == b"2" * 2000
    assert (member.size, member.crc32) == (2000, zlib.crc32(b"2" * 2000))
    assert member.sha256 == hashlib.sha256(b"2" * 2000).hexdigest()
    assert member.file == own.blob("deflated", compress._blob_name(member.sha256))
    assert compress._read_seal(own, member.file.name) is not None


def test_nothing_is_left_in_staging(own: Store) -> None:
    from_bytes(b"x" * 1000, own)
    assert list((own.root / "staging").iterdir()) == []


@pytest.mark.parametrize("path", ["../a", "/a", "a\\b", "a\nb", ""])
def test_paths_that_cannot_be_in_an_archive_are_the_users_mistake(
    own: Store, tmp_path: Path, path: str
) -> None:
    with pytest.raises(SourceInvalid) as caught:
        member_from_bytes(b"", archive_path=path, executable=False, origin="", store=own)
    assert caught.value.hint
    with pytest.raises(SourceInvalid):
        member_from_file(tmp_path / "x", archive_path=path, executable=False, origin="", store=own)
    with pytest.raises(SourceInvalid):
        member_from_symlink("x", archive_path=path, origin="", store=own)


def test_links_out_of_the_package_are_refused_but_links_into_layers_are_not(own: Store) -> None:
    for target in ("../x", "/etc/passwd", "/opt/../x"):
        with pytest.raises(SourceInvalid, match="the symlink a "):
            member_from_symlink(target, archive_path="a", origin="", store=own)
    assert unpacked(member_from_symlink("/opt/x", archive_path="a", origin="", store=own)) == b"/opt/x"
    with pytest.raises(SourceInvalid):
        member_from_symlink("/opt/x", archive_path="a", origin="", store=own, absolute_roots=())


@pytest.mark.parametrize("kind", ["absent", "folder"])
def test_a_source_that_cannot_be_read_is_named(own: Store, tmp_path: Path, kind: str) -> None:
    source = tmp_path / kind
    if kind == "folder":
        source.mkdir()
    with pytest.raises(SourceInvalid) as caught:
        from_file(source, own)
    assert str(source) in caught.value.message
    assert caught.value.findings[0].file == source


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"a file in the way")
    with pytest.raises(CacheBroken):
        from_bytes(b"x" * 100, Store(tmp_path / "store"))
