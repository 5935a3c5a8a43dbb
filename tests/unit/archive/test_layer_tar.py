"""Headers of tar, written and scanned; the second opinion is Python's `tarfile`."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.archive import tar, tar_reader
from planton_build.archive.tar_reader import scan_tar
from planton_build.errors import ArchiveInvalid

PARTS = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=120)
PATHS = (
    st.lists(PARTS.filter(lambda part: part not in {".", ".."}), min_size=1, max_size=5)
    .map("/".join)
    .filter(lambda path: not path.endswith(" "))
)
KINDS = {
    tar.FILE: tarfile.REGTYPE,
    tar.FOLDER: tarfile.DIRTYPE,
    tar.SYMLINK: tarfile.SYMTYPE,
    tar.HARD_LINK: tarfile.LNKTYPE,
}


def parsed(content: bytes) -> tarfile.TarInfo:
    with tarfile.open(fileobj=io.BytesIO(content + tar.END)) as archive:
        info = archive.next()
        assert info is not None
        return info


@settings(max_examples=150, deadline=None)
@given(PATHS, st.sampled_from(list(KINDS)), st.integers(0, 0o7777), PATHS, st.integers(0, 1 << 33))
def test_a_header_says_to_others_what_it_was_told(
    path: str, kind: bytes, mode: int, link: str, owner: int
) -> None:
    link = link if kind in {tar.SYMLINK, tar.HARD_LINK} else ""
    content = tar.header(path, mode=mode, kind=kind, link=link, uid=owner, gid=owner // 2)
    assert len(content) % tar.BLOCK == 0
    info = parsed(content)
    assert (info.name, info.type, info.mode, info.linkname) == (path, KINDS[kind], mode, link)
    assert (info.uid, info.gid, info.mtime, info.uname, info.gname) == (owner, owner // 2, tar.EPOCH, "", "")


@pytest.mark.parametrize("size", [0, 1, 8**11 - 1, 8**11, 10 << 40])
def test_a_header_says_the_size_whatever_it_is(size: int) -> None:
    assert parsed(tar.header("a", mode=0o644, size=size)).size == size


@pytest.mark.parametrize(
    ("path", "blocks"),
    [
        ("a" * 100, 1),
        ("a" * 101, 3),
        ("p" * 155 + "/" + "a" * 100, 1),
        ("p" * 156 + "/" + "a" * 100, 3),
        ("p/" + "a" * 101, 3),
        ("/".join(["folder"] * 36), 1),
        ("é", 3),
    ],
)
def test_only_what_does_not_fit_gets_a_pax_header(path: str, blocks: int) -> None:
    content = tar.header(path, mode=0o644)
    assert len(content) == blocks * tar.BLOCK
    assert parsed(content).name == path


def test_more_records_are_kept_sorted() -> None:
    records = {"SCHILY.xattr.user.b": b"\x00\xff", "SCHILY.xattr.security.capability": b"\x01\n2"}
    content = tar.header("a", mode=0o644, records=records)
    assert content == tar.header("a", mode=0o644, records=dict(reversed(records.items())))
    assert parsed(content).pax_headers.keys() == records.keys()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(PATHS, st.binary(max_size=1500), st.sampled_from("fdsl"), PATHS), max_size=6),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_a_scan_finds_what_another_tool_has_written(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, bytes, str, str]], form: int
) -> None:
    path = tmp_path_factory.mktemp("scan") / "a.tar"
    kinds = {"f": tarfile.REGTYPE, "d": tarfile.DIRTYPE, "s": tarfile.SYMTYPE, "l": tarfile.LNKTYPE}
    with tarfile.open(path, "w", format=form) as archive:
        for name, content, kind, link in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kinds[kind], link if kind in "sl" else ""
            info.size = len(content) if kind == "f" else 0
            archive.addfile(info, io.BytesIO(content))
    raw = path.read_bytes()
    found = [
        (entry.path.removesuffix("/") if entry.kind == tar.FOLDER else entry.path, entry.kind, entry.link,
         raw[entry.offset : entry.offset + entry.size])
        for entry in scan_tar(path)
    ]  # fmt: skip
    assert found == [
        (name, kinds[kind], link if kind in "sl" else "", content if kind == "f" else b"")
        for name, content, kind, link in entries
    ]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_tar_is_refused_or_read_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(
        tar.header("é" * 90, mode=0o644, size=5) + b"hello" + tar.padding(5)
        + tar.header("b", mode=0o755, kind=tar.SYMLINK, link="ö") + tar.END
    )  # fmt: skip
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    path = tmp_path_factory.mktemp("damage") / "a.tar"
    path.write_bytes(content[:cut])
    try:
        for entry in scan_tar(path):
            assert 0 <= entry.offset <= entry.offset + entry.size <= cut
    except ArchiveInvalid:
        pass


def pax(record: bytes) -> bytes:
    info = tarfile.TarInfo("pax")
    info.type, info.size = b"x", len(record)
    return info.tobuf() + record + tar.padding(len(record)) + tar.header("a", mode=0o644) + tar.END


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no tar at all",
        b"x" * 2048,
        bytes(100),
        tar.header("a", mode=0o644, size=1000),
        tar.header("a", mode=0o644, size=1 << 40) + bytes(1024),
        pax(b"99 path=x\n"),
        pax(b"9 path=x\n9 path=x"),
        pax(b"0 path=x\n"),
        pax(b"99999999999 path=x\n"),
        pax(b"10 size=-1\n"),
        pax(b"11 size=1e3\n"),
        pax(b"26 GNU.sparse.major=1.0000\n"),
        tar.header("a", mode=0o644, kind=b"S") + tar.END,
        tar.header("a", mode=0o644, kind=b"x", size=8 << 20) + bytes(8 << 20) + tar.END,
    ],
    ids=range(15),
)
def test_what_is_no_whole_tar_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    with pytest.raises(ArchiveInvalid):
        list(scan_tar(path))


def test_more_entries_than_any_archive_of_an_image_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_reader, "ENTRIES_MAX", 3)
    path = tmp_path / "a.tar"
    path.write_bytes(tar.header("a", mode=0o644) * 3 + tar.END)
    assert len(list(scan_tar(path))) == 3
    path.write_bytes(tar.header("a", mode=0o644) * 4 + tar.END)
    with pytest.raises(ArchiveInvalid, match="entries"):
        list(scan_tar(path))
