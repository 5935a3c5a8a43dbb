from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.archive.contents import inspect_entries
from planton_build.archive.member import EXECUTABLE, REGULAR, SYMLINK
from planton_build.archive.reader import Limits, read_zip
from planton_build.errors import ArchiveInvalid

Crafted = Callable[..., Path]
FILE = {"name": b"a.txt", "content": b"hello"}
OTHER = {"name": b"b/c.txt", "content": b"x" * 400, "method": 8}


def descriptor(content: bytes, packed: int, *, signature: bytes = b"PK\x07\x08", form: str = "<3I") -> bytes:
    return signature + struct.pack(form, zlib.crc32(content), packed, len(content))


STREAMED = {"name": b"s", "content": b"hello", "flags": 8, "local_crc": 0, "local_packed": 0, "local_size": 0}


def utf8_path(name: bytes, of: bytes) -> bytes:
    content = b"\x01" + struct.pack("<I", zlib.crc32(of)) + name
    return struct.pack("<2H", 0x7075, len(content)) + content


def test_entries_are_listed_in_the_order_of_the_directory(crafted: Crafted) -> None:
    folder = {"name": b"b/", "mode": 0o40755}
    path = crafted(
        [OTHER, folder, FILE | {"mode": 0o100755}, {"name": b"l", "content": b"a.txt", "mode": 0o120777}]
    )
    listing = read_zip(path)
    assert [entry.path for entry in listing.entries] == ["b/c.txt", "a.txt", "l"]
    assert [entry.member_mode for entry in listing.entries] == [REGULAR, EXECUTABLE, SYMLINK]
    assert [entry.size for entry in listing.entries] == [400, 5, 5]
    assert listing.directories == ("b",)
    assert listing.size == 410
    second = listing.entries[1]
    assert path.read_bytes()[second.offset : second.offset + second.compressed_size] == b"hello"


def test_an_empty_archive_has_no_entries(crafted: Crafted) -> None:
    assert read_zip(crafted([])).entries == ()


@pytest.mark.parametrize(
    "entries",
    [
        [STREAMED | {"after": descriptor(b"hello", 5)}],
        [STREAMED | {"after": descriptor(b"hello", 5, signature=b"")}, FILE],
        [STREAMED | {"after": descriptor(b"hello", 5, form="<I2Q")}, FILE],
        [STREAMED | {"after": descriptor(b"hello", 5, signature=b"", form="<I2Q")}],
        [FILE | {"flags": 8, "after": descriptor(b"hello", 5)}],
        [FILE | {"extra": struct.pack("<2H", 0x5455, 1) + b"x"}, OTHER],
        [FILE | {"extra": b"\0\0\0"}],
        [FILE | {"local_extra": b"\x99\x99\x00\x10" + bytes(4096)}, OTHER],
        [FILE | {"extra": utf8_path(b"a.txt", b"a.txt")}],
        [FILE | {"name": "é".encode(), "flags": 0x800}],
        [FILE | {"system": 0, "attributes": 0x20}],
        [FILE | {"mode": 0o644}],
        [{"name": b"d/", "mode": 0o40755, "method": 8}],
        [{"name": b"d/", "attributes": 0x10, "system": 0}],
    ],
    ids=range(14),
)
def test_what_honest_writers_do_is_accepted(crafted: Crafted, entries: list[dict[str, Any]]) -> None:
    path = crafted(entries)
    listing = read_zip(path)
    assert len(listing.entries) + len(listing.directories) == len(entries)
    assert len(list(inspect_entries(path, listing))) == len(listing.entries)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([FILE | {"flags": 1}], "encrypted"),
        ([FILE | {"flags": 0x41}], "encrypted"),
        ([FILE | {"flags": 0x2000}], "encrypted"),
        ([FILE | {"flags": 0x20}], "unknown flags"),
        ([FILE | {"method": 12}], "method 12"),
        ([FILE | {"method": 93}], "method 93"),
        ([FILE | {"local_name": b"b.txt"}], "another name"),
        ([FILE | {"local_method": 8}], "another method"),
        ([FILE | {"local_flags": 1}], "another method or flags"),
        ([FILE | {"local_size": 4}], "another CRC-32 or size"),
        ([FILE | {"local_packed": 4}], "another CRC-32 or size"),
        ([FILE | {"local_crc": 4}], "another CRC-32 or size"),
        ([FILE | {"local_crc": 0}], "another CRC-32 or size"),
        ([STREAMED | {"local_size": 4, "after": descriptor(b"hello", 5)}], "another CRC-32 or size"),
        ([STREAMED | {"after": descriptor(b"hello", 4)}], "data descriptor"),
        ([STREAMED | {"after": descriptor(b"hellO", 5)}], "data descriptor"),
        ([STREAMED], "data descriptor"),
        ([STREAMED | {"after": descriptor(b"hello", 5) + b"x"}, FILE], "data descriptor"),
        ([FILE | {"signature": b"PK\x03\x05"}], "no local header"),
        ([FILE, FILE], "there twice"),
        ([FILE, OTHER | {"offset": 0}], "overlaps"),
        ([FILE | {"packed": 6, "size": 6}], "overlaps"),
        ([FILE | {"packed": 60, "size": 60}, OTHER], "overlaps"),
        ([FILE | {"packed": 4, "size": 4}, OTHER], "bytes of no entry"),
        ([FILE, OTHER | {"before": b"gap"}], "bytes of no entry"),
        ([FILE | {"before": b"gap"}], "before its first entry"),
        ([FILE | {"size": 4}], "two different sizes"),
        ([OTHER | {"size": 0xFFFFFFFE}], "more than deflate can hold"),
        ([FILE | {"disk": 1}], "split archive"),
        ([FILE | {"name": b"/a"}], "absolute"),
        ([FILE | {"name": b"C:/a"}], "drive"),
        ([FILE | {"name": b"a\\b"}], "backslash"),
        ([FILE | {"name": b"../a"}], "'..'"),
        ([FILE | {"name": b"a/./b"}], "'.'"),
        ([FILE | {"name": b"a//b"}], "part ''"),
        ([FILE | {"name": b""}], "empty"),
        ([{"name": b"/"}], "empty"),
        ([FILE | {"name": b"a\0.txt"}], "control"),
        ([FILE | {"name": b"a\x1b[31m"}], "control"),
        ([FILE | {"name": b"\xff", "flags": 0x800}], "not UTF-8"),
        ([FILE | {"name": b"\xed\xa0\x80", "flags": 0x800}], "not UTF-8"),
        ([FILE | {"name": b"\x82"}], "unknown encoding"),
        ([FILE | {"name": b"a"}, FILE | {"name": b"a/b"}], "and a folder"),
        ([FILE | {"name": b"a"}, {"name": b"a/"}], "and a folder"),
        ([{"name": b"l", "content": b"/etc", "mode": 0o120777}, FILE | {"name": b"l/b"}], "and a folder"),
        ([{"name": b"d/", "content": b"x"}], "folder with content"),
        ([{"name": b"d/", "mode": 0o120777}], "something else by mode"),
        ([FILE | {"mode": 0o40755}], "folder by mode"),
        ([FILE | {"attributes": 0x10, "system": 0}], "folder by mode"),
        ([FILE | {"mode": 0o20644}], "device"),
        ([FILE | {"mode": 0o10644}], "device"),
        ([FILE | {"mode": 0o120777, "system": 0}], "only some tools"),
        ([FILE | {"mode": 0o120777, "content": b"x" * 5000}], "too long a target"),
        ([FILE | {"extra": b"\x01\x00\xff\x00"}], "damaged extra"),
        ([FILE | {"extra": struct.pack("<2HQ", 1, 8, 5) * 2}], "extra field twice"),
        ([FILE | {"size": 0xFFFFFFFF, "extra": struct.pack("<2H", 1, 0)}], "too short"),
        ([FILE | {"extra": utf8_path(b"../evil", b"a.txt")}], "different name"),
        ([FILE | {"local_extra": utf8_path(b"../evil", b"a.txt")}], "different name"),
    ],
    ids=range(58),
)
def test_hostile_entries_are_refused(crafted: Crafted, entries: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(ArchiveInvalid) as caught:
        read_zip(crafted(entries))
    assert reason in caught.value.message
    assert caught.value.message.startswith("crafted.zip")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ({"prefix": b"MZ"}, "before its first entry"),
        ({"prefix": b"MZ", "offset": 0}, "outside of its entries"),
        ({"suffix": b"x"}, "no ZIP end record"),
        ({"comment": b"hello", "comment_size": 4}, "no ZIP end record"),
        ({"between": b"x"}, "outside of its entries"),
        ({"offset": 0}, "outside of its entries"),
        ({"size": 0}, "outside of its entries"),
        ({"total": 0}, "more in its directory"),
        ({"total": 3}, "damaged central directory"),
        ({"here": 0}, "one part of several"),
        ({"disk": 1}, "one part of several"),
        ({"comment": b"PK\x05\x06" + bytes(18)}, "more than one end record"),
        ({"comment": b"PK\x05\x06 and more of the same comment"}, "more than one end record"),
        ({"zip64": {"total": 3}}, "contradict each other"),
        ({"zip64": {"offset": 1}}, "contradict each other"),
        ({"zip64": {"rest": 45}}, "between its end records"),
        ({"zip64": {"position": 1}}, "leads nowhere"),
        ({"zip64": {"position": 1 << 63}}, "leads nowhere"),
        ({"zip64": {"disks": 2}}, "leads nowhere"),
        ({"zip64": {"offset": 1 << 63}, "offset": 0xFFFFFFFF}, "outside of its entries"),
    ],
    ids=range(20),
)
def test_hostile_end_records_are_refused(crafted: Crafted, end: dict[str, Any], reason: str) -> None:
    with pytest.raises(ArchiveInvalid, match=reason):
        read_zip(crafted([FILE, OTHER], **end))


@pytest.mark.parametrize("end", [{"comment": b"a comment"}, {"zip64": {}}, {"zip64": {}, "total": 0xFFFF}])
def test_comments_and_zip64_end_records_are_accepted(crafted: Crafted, end: dict[str, Any]) -> None:
    assert len(read_zip(crafted([FILE, OTHER], **end)).entries) == 2


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06", b"not a ZIP at all" * 100, bytes(70_000)])
def test_a_file_that_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "garbage.whl"
    path.write_bytes(content)
    with pytest.raises(ArchiveInvalid, match=r"garbage\.whl has no ZIP end record"):
        read_zip(path)


def test_a_missing_file_is_refused_with_the_systems_reason(tmp_path: Path) -> None:
    with pytest.raises(ArchiveInvalid, match="cannot be read: No such file"):
        read_zip(tmp_path / "absent.zip")


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(entries=1), "2 entries"),
        (Limits(directory_size=60), "directory of"),
        (Limits(file_size=399), "claims 400 bytes"),
        (Limits(total_size=404), "more than 404 bytes"),
        (Limits(ratio=2), "deflate can hold"),
    ],
)
def test_each_limit_is_kept(crafted: Crafted, limits: Limits, reason: str) -> None:
    with pytest.raises(ArchiveInvalid, match=reason):
        read_zip(crafted([FILE, OTHER]), limits=limits)


def test_an_archive_at_its_limits_is_accepted(crafted: Crafted) -> None:
    limits = Limits(entries=2, directory_size=104, file_size=400, total_size=405)
    assert len(read_zip(crafted([FILE, OTHER]), limits=limits).entries) == 2


class _Pipe(io.RawIOBase):
    """A stream that cannot seek, so that zipfile writes data descriptors."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self.content += content
        return len(content)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("zip64", [False, True])
def test_what_zipfile_writes_is_read(tmp_path: Path, streamed: bool, zip64: bool) -> None:
    pipe: Any = _Pipe() if streamed else io.BytesIO()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder")
        for name in ("a.py", "folder/ü.txt"):
            with archive.open(name, "w", force_zip64=zip64) as entry:
                entry.write(name.encode() * 50)
    path = tmp_path / "theirs.zip"
    path.write_bytes(pipe.content if streamed else pipe.getvalue())
    listing = read_zip(path)
    assert [entry.path for entry in listing.entries] == ["a.py", "folder/ü.txt"]
    assert listing.directories == ("folder",)
    assert len(list(inspect_entries(path, listing))) == 2


@pytest.mark.parametrize(
    "command",
    [
        ["bsdtar", "-a", "-cf", "out.zip", "in"],
        ["7z", "a", "-bd", "out.zip", "in"],
        ["jar", "cfM", "out.zip", "in"],
        ["zip", "-rq", "out.zip", "in"],
    ],
    ids=lambda command: command[0],
)
def test_what_other_tools_write_is_read(
    tmp_path: Path, tool: Callable[[str], str], command: list[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("hello" * 99)
    subprocess.run([tool(command[0]), *command[1:]], cwd=tmp_path, check=True, capture_output=True)
    path = tmp_path / "out.zip"
    listing = read_zip(path)
    assert [entry.path for entry in listing.entries] == ["in/a.txt"]
    assert [sha256 for _, sha256 in inspect_entries(path, listing)] == [
        hashlib.sha256(b"hello" * 99).hexdigest()
    ]


def _sample(craft: Callable[..., bytes]) -> bytes:
    entries = [
        FILE | {"mode": 0o100755},
        OTHER,
        STREAMED | {"after": descriptor(b"hello", 5)},
        {"name": b"b/", "mode": 0o40755},
        {"name": "é".encode(), "content": b"\0\1", "flags": 0x800},
        {"name": b"b/l", "content": b"../a.txt", "mode": 0o120777},
    ]
    return craft(entries, comment=b"note", zip64={})


def _contents(path: Path) -> dict[str, str]:
    return {entry.path: sha256 for entry, sha256 in inspect_entries(path, read_zip(path))}


def test_no_flipped_bit_changes_what_is_read(tmp_path: Path, craft: Callable[..., bytes]) -> None:
    original = _sample(craft)
    path = tmp_path / "flipped.zip"
    path.write_bytes(original)
    expected, refused = _contents(path), 0
    assert len(expected) == 5
    for position in range(len(original)):
        for bit in range(8):
            flipped = bytearray(original)
            flipped[position] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                assert _contents(path) == expected, (position, bit)
            except ArchiveInvalid:
                refused += 1
    assert refused > len(original) * 4


def test_every_truncation_is_refused(tmp_path: Path, craft: Callable[..., bytes]) -> None:
    original = _sample(craft)
    path = tmp_path / "short.zip"
    for size in range(len(original)):
        path.write_bytes(original[:size])
        with pytest.raises(ArchiveInvalid):
            read_zip(path)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_rearranged_archives_are_refused_or_read_as_zipfile_reads_them(
    data: st.DataObject, craft: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(_sample(craft))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 40)))
        content[start:end] = data.draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from(
                    [b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x07", b"\xff" * 4, bytes(8)]
                ),
                st.just(bytes(content[end : end + 30])),
            )
        )
    path = tmp_path_factory.getbasetemp() / "fuzzed.zip"
    path.write_bytes(content)
    try:
        listing = read_zip(path)
        found = {entry.path: sha256 for entry, sha256 in inspect_entries(path, listing)}
    except ArchiveInvalid:
        return
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        assert {name: hashlib.sha256(archive.read(name)).hexdigest() for name in names} == found
        assert len(names) == len(found)
