from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.archive import originals, output, writer
from planton_build.archive.contents import inspect_entries
from planton_build.archive.digest import tree_digest
from planton_build.archive.member import EXECUTABLE, REGULAR, SYMLINK, Member
from planton_build.archive.names import conflicts, path_fault
from planton_build.archive.reader import read_zip
from planton_build.archive.writer import write_zip
from planton_build.errors import CacheBroken, MemberCollision, SizeLimitExceeded

MakeMember = Callable[..., Member]
Tool = Callable[[str], str]


@pytest.fixture
def few(make: MakeMember, link: MakeMember) -> list[Member]:
    return [
        make("handler.py", b"def handler(event, context):\n    return event\n" * 5),
        make("bin/run", b"#!/bin/sh\nexit 0\n", executable=True),
        make("daten/größe.txt", b"x"),
        make("empty", b""),
        make("a-b/c", os.urandom(1000)),
        link("bin/alias", "run"),
        make("a/b", b"content " * 1000),
    ]


def _fixed(make: MakeMember, link: MakeMember) -> list[Member]:
    return [
        make("handler.py", b"def handler(event, context):\n    return event\n" * 5),
        make("bin/run", b"#!/bin/sh\nexit 0\n", executable=True),
        make("größe.txt", b"x"),
        link("bin/alias", "run"),
    ]


def test_the_bytes_of_an_archive_never_change(tmp_path: Path, make: MakeMember, link: MakeMember) -> None:
    """If this digest changes, everybody's artifacts change: that is a decision, not a detail."""
    written = write_zip(_fixed(make, link), tmp_path / "a.zip")
    assert written.sha256 == "0879b871822ec0c5f9543d13cb93a353955bbc9e700eab75b0f4393456390cd3"


def test_what_is_reported_is_what_is_on_disk(tmp_path: Path, few: list[Member]) -> None:
    path = tmp_path / "a.zip"
    written = write_zip(few, path)
    content = path.read_bytes()
    assert written.sha256 == hashlib.sha256(content).hexdigest()
    assert written.size == len(content)
    assert written.unzipped_size == sum(member.size for member in few)
    assert written.files == len(few)
    assert written.tree_digest == tree_digest(few)


def test_headers_say_nothing_but_what_must_be_said(tmp_path: Path, few: list[Member]) -> None:
    path = tmp_path / "a.zip"
    write_zip(few, path)
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        assert archive.comment == b""
    assert [info.filename for info in infos] == sorted(
        (member.path for member in few), key=lambda name: name.encode()
    )
    modes = {member.path: member.mode for member in few}
    for info in infos:
        assert info.date_time == (1980, 1, 1, 0, 0, 0)
        assert info.create_system == 3
        assert info.external_attr == modes[info.filename] << 16
        assert info.flag_bits == (0 if info.filename.isascii() else 0x800)
        assert info.extract_version == (20 if info.compress_type else 10)
        assert (info.extra, info.comment, info.internal_attr) == (b"", b"", 0)


def test_an_empty_archive_is_an_end_record(tmp_path: Path) -> None:
    written = write_zip([], tmp_path / "a.zip")
    assert (written.size, written.files, written.unzipped_size) == (22, 0, 0)
    assert read_zip(tmp_path / "a.zip").entries == ()


_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="/\\"), min_size=1, max_size=9
)
_PATHS = st.lists(_TEXT, min_size=1, max_size=3).map("/".join).filter(lambda path: path_fault(path) is None)
_TREES = st.dictionaries(
    _PATHS,
    st.tuples(st.one_of(st.binary(max_size=200), st.just(b"repeated " * 50)), st.booleans()),
    max_size=8,
).filter(lambda tree: not list(conflicts(tree)))


@settings(max_examples=60, deadline=None)
@given(tree=_TREES, shuffler=st.randoms(use_true_random=False))
def test_any_tree_comes_back_and_its_order_does_not_matter(
    tree: dict[str, tuple[bytes, bool]],
    shuffler: random.Random,
    make: MakeMember,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    members = [make(path, content, executable=run) for path, (content, run) in tree.items()]
    first, second = (tmp_path_factory.getbasetemp() / name for name in ("first.zip", "second.zip"))
    written = write_zip(members, first)
    shuffler.shuffle(members)
    assert write_zip(iter(members), second) == written
    assert first.read_bytes() == second.read_bytes()
    found = {entry.path: (sha256, entry.mode) for entry, sha256 in inspect_entries(first, read_zip(first))}
    assert found == {
        path: (hashlib.sha256(content).hexdigest(), EXECUTABLE if run else REGULAR)
        for path, (content, run) in tree.items()
    }
    with zipfile.ZipFile(first) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            path: content for path, (content, _) in tree.items()
        }


def test_members_are_copied_out_of_another_archive_untouched(tmp_path: Path) -> None:
    wheel, path = tmp_path / "demo.whl", tmp_path / "a.zip"
    text = b"some text " * 1000
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("demo/a.py", text)
        archive.writestr("demo/b.so", os.urandom(3_000_000), zipfile.ZIP_STORED)
    members = [
        Member(
            entry.path, entry.member_mode, entry.method, entry.crc32, entry.size, entry.compressed_size,
            sha256, "demo", wheel, entry.offset,
        )
        for entry, sha256 in inspect_entries(wheel, read_zip(wheel))
    ]  # fmt: skip
    write_zip(members, path)
    for theirs, ours in zip(members, read_zip(path).entries, strict=True):
        assert (ours.method, ours.crc32) == (theirs.method, theirs.crc32)
        assert (
            path.read_bytes()[ours.offset : ours.offset + ours.compressed_size]
            == wheel.read_bytes()[theirs.offset : theirs.offset + theirs.compressed_size]
        )


@pytest.mark.parametrize("buffer", [1, 7, 64, 1000])
def test_the_size_of_the_buffer_does_not_show(
    tmp_path: Path, few: list[Member], monkeypatch: pytest.MonkeyPatch, buffer: int
) -> None:
    expected = write_zip(few, tmp_path / "a.zip")
    monkeypatch.setattr(output, "_BUFFER", buffer)
    assert write_zip(few, tmp_path / "b.zip") == expected
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_progress_adds_up_to_the_size(
    tmp_path: Path, few: list[Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_BUFFER", 500)
    steps: list[int] = []
    written = write_zip(few, tmp_path / "a.zip", advanced=steps.append)
    assert sum(steps) == written.size
    assert len(steps) > 3


def test_an_older_longer_file_is_replaced(tmp_path: Path, few: list[Member]) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(bytes(100_000))
    assert path.stat().st_size > write_zip(few, path).size == path.stat().st_size


def test_memory_does_not_grow_with_members(tmp_path: Path, make: MakeMember) -> None:
    large = [make(f"large{number}", bytes(1) + os.urandom(12 << 20)) for number in range(3)]
    tracemalloc.start()
    write_zip(large, tmp_path / "a.zip")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 << 20


def test_more_sources_than_may_be_open_are_read(
    tmp_path: Path, make: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(originals, "_OPEN_FILES", 2)
    members = [make(f"f{number}", b"%d" % number) for number in range(9)]
    members += [replace(member, path=f"again/{member.path}") for member in members]
    write_zip(members, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert all(archive.read(name) == name[-1].encode() for name in archive.namelist())
    with output.Output(tmp_path / "b.zip") as out, originals.Originals() as sources:
        for member in members:
            sources.copy(member, out)
            assert len(sources._open) <= 2


def test_a_vanished_source_breaks_the_cache(tmp_path: Path, make: MakeMember) -> None:
    gone = replace(make("a", b"x"), file=tmp_path / "gone")
    with pytest.raises(CacheBroken, match="gone, which holds a, cannot be read: No such file"):
        write_zip([gone], tmp_path / "a.zip")


def test_a_short_source_breaks_the_cache(tmp_path: Path, make: MakeMember) -> None:
    short = replace(make("a", b"x"), size=5000, compressed_size=5000)
    with pytest.raises(CacheBroken, match="ends before the bytes of a") as caught:
        write_zip([short], tmp_path / "a.zip")
    assert caught.value.hint


def test_a_destination_that_cannot_be_written_is_named(tmp_path: Path, few: list[Member]) -> None:
    with pytest.raises(CacheBroken, match="nowhere"):
        write_zip(few, tmp_path / "nowhere" / "a.zip")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a device of Linux")
def test_a_full_disk_is_reported_as_such(few: list[Member]) -> None:
    with pytest.raises(CacheBroken, match="/dev/full cannot be written: No space left"):
        write_zip(few, Path("/dev/full"))


def test_the_same_path_twice_is_refused(tmp_path: Path, make: MakeMember) -> None:
    with pytest.raises(MemberCollision, match="a is there twice"):
        write_zip([make("a", b"1"), make("b"), make("a", b"1")], tmp_path / "a.zip")


def test_a_file_below_a_file_is_refused(tmp_path: Path, make: MakeMember) -> None:
    with pytest.raises(MemberCollision, match="a is a file, and a folder because of a/b"):
        write_zip([make("a"), make("a-b"), make("a/b")], tmp_path / "a.zip")


@pytest.mark.parametrize(
    "change",
    [
        {"path": "../a"},
        {"mode": 0o100600},
        {"mode": 0o644},
        {"method": 12},
        {"method": 0, "compressed_size": 3},
    ],
)
def test_members_that_nobody_should_make_are_refused(
    tmp_path: Path, make: MakeMember, change: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match="a"):
        write_zip([replace(make("a", b"x"), **change)], tmp_path / "a.zip")  # type: ignore[arg-type]


def test_sizes_beyond_32_bits_are_refused_before_anything_is_written(
    tmp_path: Path, make: MakeMember
) -> None:
    half = replace(make("a"), size=1 << 31, compressed_size=1 << 31)
    deflated = replace(make("a"), method=8, size=0xFFFFFFFF, compressed_size=5_000_000)
    for members in ([half, replace(half, path="b")], [deflated]):
        with pytest.raises(SizeLimitExceeded, match="64-bit"):
            write_zip(members, tmp_path / "a.zip")
        assert not (tmp_path / "a.zip").exists()


def test_host_settings_leave_no_trace(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from planton_build.cache import Store\n"
        "from planton_build.archive.compress import member_from_bytes\n"
        "from planton_build.archive.writer import write_zip\n"
        "store = Store(Path(sys.argv[1]))\n"
        "names = {'b', 'a', 'ü', 'z/y', 'x' * 9}\n"
        "common = {'executable': True, 'origin': '', 'store': store}\n"
        "members = [member_from_bytes(n.encode() * 99, archive_path=n, **common) for n in names]\n"
        "print(write_zip(members, Path(sys.argv[1]) / 'out.zip').sha256)\n"
    )
    found = set()
    for number, (zone, locale, umask) in enumerate([("UTC", "C", 0o022), ("Asia/Tokyo", "C.UTF-8", 0o077)]):
        environment = os.environ | {"TZ": zone, "LC_ALL": locale, "PYTHONHASHSEED": str(number)}
        command = [sys.executable, "-c", script, str(tmp_path / str(number))]
        done = subprocess.run(
            command, env=environment, umask=umask, check=True, capture_output=True, text=True
        )
        found.add(done.stdout)
    assert len(found) == 1


@pytest.fixture(scope="module")
def many(make: MakeMember, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive of 70,000 members."""
    path = tmp_path_factory.mktemp("many") / "many.zip"
    one = make("x", b"tiny")
    write_zip((replace(one, path=f"d{number % 70}/f{number}") for number in range(70_000)), path)
    return path


def test_more_entries_than_16_bits_count_get_a_zip64_end_record(many: Path) -> None:
    listing = read_zip(many)
    assert len(listing.entries) == 70_000
    assert b"PK\x06\x06" in many.read_bytes()[-200:]
    with zipfile.ZipFile(many) as archive:
        assert len(archive.namelist()) == 70_000
        assert archive.read("d69/f69999") == b"tiny"


@pytest.mark.parametrize(("count", "zip64"), [(65_534, False), (65_535, True)])
def test_zip64_begins_where_it_must(count: int, zip64: bool) -> None:
    assert (b"PK\x06\x07" in writer._end_records(count, 0, 0)) is zip64


SECOND_OPINIONS = [["unzip", "-tq"], ["bsdtar", "-tf"], ["7z", "t"], ["jar", "tf"]]


@pytest.mark.parametrize("command", SECOND_OPINIONS, ids=lambda command: command[0])
def test_other_tools_find_no_fault(tmp_path: Path, few: list[Member], tool: Tool, command: list[str]) -> None:
    path = tmp_path / "a.zip"
    write_zip(few, path)
    done = subprocess.run([tool(command[0]), *command[1:], path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize("command", SECOND_OPINIONS, ids=lambda command: command[0])
def test_other_tools_read_the_zip64_end_record(many: Path, tool: Tool, command: list[str]) -> None:
    done = subprocess.run([tool(command[0]), *command[1:], many], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if command[0] in {"bsdtar", "jar"}:
        assert len(done.stdout.splitlines()) == 70_000


@pytest.mark.parametrize("command", [["unzip", "-q"], ["bsdtar", "-xf"]], ids=lambda command: command[0])
def test_modes_and_links_survive_unpacking(
    tmp_path: Path, few: list[Member], tool: Tool, command: list[str]
) -> None:
    write_zip(few, tmp_path / "a.zip")
    (tmp_path / "out").mkdir()
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    arguments = [tool(command[0]), *command[1:], str(tmp_path / "a.zip")]
    subprocess.run(arguments, cwd=tmp_path / "out", env=environment, umask=0o022, check=True)
    for member in few:
        status = (tmp_path / "out" / member.path).lstat()
        if member.mode == SYMLINK:
            assert os.readlink(tmp_path / "out" / member.path) == "run"
        else:
            assert status.st_mode == member.mode
            assert hashlib.sha256((tmp_path / "out" / member.path).read_bytes()).hexdigest() == member.sha256
