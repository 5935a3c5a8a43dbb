"""The layer writer: two ways to compress, one tar, the same bytes always."""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tomllib
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planton_build.archive import gzipped, spliced
from planton_build.archive.contents import read_member
from planton_build.archive.gzipped import COMPRESSOR, Gzipped, Pieces
from planton_build.archive.layer import Compression, WrittenLayer, write_layer
from planton_build.archive.member import EXECUTABLE, REGULAR, STORED, SYMLINK, Member
from planton_build.errors import CacheBroken, MemberCollision

MakeMember = Callable[..., Member]
WAYS: list[Compression] = ["gzip", "spliced"]
EPOCH = 315_532_800


@pytest.fixture
def few(make: MakeMember, link: MakeMember) -> list[Member]:
    return [
        make("handler.py", b"def handler(event, context):\n    return event\n" * 5),
        make("bin/run", b"#!/bin/sh\nexit 0\n", executable=True),
        make("daten/größe.txt", b"x"),
        make("empty", b""),
        make("a-b/c", hashlib.shake_256(b"noise").digest(100_000)),
        make("a/b", b"content " * 200_000),
        make("a/" + "n" * 120 + "/" + "m" * 200, b"long"),
        link("bin/alias", "run"),
        link("bin/été", "../daten/größe.txt"),
    ]


def write(members: list[Member], path: Path, way: Compression, jobs: int = 2) -> WrittenLayer:
    return write_layer(members, path, root="var/task", compression=way, jobs=jobs)


@pytest.mark.parametrize(
    ("way", "digest"),
    [
        ("gzip", "sha256:296929ab5452a14714de49b836a5535d424022b7554a972017c28381405350a7"),
        ("spliced", "sha256:7231bf5cec10beaf9df3a721272b2d30cfd82e6b727d5c5587b6e17ea0da63b8"),
    ],
)
def test_the_bytes_of_a_layer_never_change(
    tmp_path: Path, few: list[Member], way: Compression, digest: str
) -> None:
    """If a digest changes, everybody's images change: that is a decision, not a detail."""
    written = write(few, tmp_path / "layer", way)
    assert written.diff_id == "sha256:54b47d7b4e51c2fcc699428328d838fe6f065743414a2e11d599fa4e5be61f1b"
    assert written.digest == digest


@pytest.mark.parametrize("way", WAYS)
def test_what_is_reported_of_a_layer_is_what_is_on_disk(
    tmp_path: Path, few: list[Member], way: Compression
) -> None:
    written = write(few, tmp_path / "layer", way)
    content = (tmp_path / "layer").read_bytes()
    unpacked = gzip.decompress(content)
    assert (written.size, written.tar_size, written.files) == (len(content), len(unpacked), len(few))
    assert written.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert written.diff_id == f"sha256:{hashlib.sha256(unpacked).hexdigest()}"


@pytest.mark.parametrize("way", WAYS)
def test_a_layer_holds_the_members_and_every_folder_once_before_what_is_in_it(
    tmp_path: Path, few: list[Member], way: Compression
) -> None:
    write(few, tmp_path / "layer", way)
    seen: list[str] = []
    with tarfile.open(tmp_path / "layer") as archive:
        for info in archive:
            assert (info.mtime, info.uid, info.gid, info.uname, info.gname) == (EPOCH, 0, 0, "", "")
            assert info.name not in seen
            assert info.name.rpartition("/")[0] in {"", *seen}
            seen.append(info.name)
            if info.isdir():
                assert info.mode == 0o755
        for member in few:
            info = archive.getmember(f"var/task/{member.path}")
            content = read_member(member, limit=1 << 30)
            if member.mode == SYMLINK:
                assert (info.issym(), info.mode, info.linkname) == (True, 0o777, content.decode())
            else:
                assert (info.isreg(), info.mode) == (True, member.mode & 0o777)
                stream = archive.extractfile(info)
                assert stream is not None
                assert stream.read() == content
    files = [name for name in seen if name.removeprefix("var/task/") in {member.path for member in few}]
    assert files == sorted(files, key=str.encode)
    assert seen[:2] == ["var", "var/task"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_other_tools_unpack_the_same_tree(
    tmp_path: Path, few: list[Member], way: Compression, program: str, tool: Callable[[str], str]
) -> None:
    write(few, tmp_path / "layer", way)
    folder = tmp_path / "out"
    folder.mkdir()
    command = [tool(program), "-xpzf", str(tmp_path / "layer"), "-C", str(folder)]
    done = subprocess.run(command, env={**os.environ, "LC_ALL": "C.UTF-8"}, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    for member in few:
        path, content = folder / "var/task" / member.path, read_member(member, limit=1 << 30)
        if member.mode == SYMLINK:
            assert os.readlink(path).encode() == content
        else:
            assert path.read_bytes() == content
            assert stat.S_IMODE(path.stat().st_mode) == member.mode & 0o777


def test_a_gzipped_layer_is_one_gzip_member(tmp_path: Path, few: list[Member]) -> None:
    write(few, tmp_path / "layer", "gzip")
    inflater = zlib.decompressobj(31)
    inflater.decompress((tmp_path / "layer").read_bytes())
    assert inflater.eof
    assert inflater.unused_data == b""


def test_the_head_of_a_layer_says_nothing_of_this_host(tmp_path: Path, few: list[Member]) -> None:
    for way in WAYS:
        write(few, tmp_path / way, way)
        assert (tmp_path / way).read_bytes()[:10] == bytes.fromhex("1f8b080000000000 00ff")


@pytest.mark.parametrize("jobs", [1, 3, 20])
@pytest.mark.parametrize("size", [10, 5_000, 1 << 20])
def test_the_number_of_threads_changes_no_byte(
    tmp_path: Path, few: list[Member], monkeypatch: pytest.MonkeyPatch, jobs: int, size: int
) -> None:
    monkeypatch.setattr(gzipped, "PIECE", size * 100)
    expected = write(few, tmp_path / "one", "gzip", jobs=2)
    assert write(few, tmp_path / "two", "gzip", jobs=jobs) == expected
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("way", WAYS)
def test_the_order_in_which_members_come_changes_no_byte(
    tmp_path: Path, few: list[Member], way: Compression
) -> None:
    assert write(few, tmp_path / "one", way) == write(few[::-1], tmp_path / "two", way)


def test_a_spliced_layer_has_the_members_own_compressed_bytes(tmp_path: Path, few: list[Member]) -> None:
    write(few, tmp_path / "layer", "spliced")
    content = (tmp_path / "layer").read_bytes()
    for member in few:
        if member.method != STORED and member.mode != SYMLINK:
            with member.file.open("rb") as stream:
                stream.seek(member.offset)
                assert stream.read(member.compressed_size) in content


@pytest.mark.parametrize("between", [1, 600, 1 << 20])
def test_how_much_comes_together_between_files_does_not_show_in_the_tar(
    tmp_path: Path, few: list[Member], monkeypatch: pytest.MonkeyPatch, between: int
) -> None:
    expected = write(few, tmp_path / "one", "gzip")
    monkeypatch.setattr(spliced, "_BETWEEN", between)
    assert write(few, tmp_path / "two", "spliced").diff_id == expected.diff_id
    unpacked = gzip.decompress((tmp_path / "two").read_bytes())
    assert f"sha256:{hashlib.sha256(unpacked).hexdigest()}" == expected.diff_id


@pytest.mark.parametrize("way", WAYS)
def test_progress_adds_up_to_the_sizes_of_the_members(
    tmp_path: Path, few: list[Member], way: Compression
) -> None:
    steps: list[int] = []
    write_layer(few, tmp_path / "layer", root="opt", compression=way, advanced=steps.append)
    assert sum(steps) == sum(member.size for member in few)


@pytest.mark.parametrize("way", WAYS)
def test_a_layer_of_nothing_is_an_empty_tar(tmp_path: Path, way: Compression) -> None:
    written = write([], tmp_path / "layer", way)
    assert gzip.decompress((tmp_path / "layer").read_bytes()) == bytes(1024)
    assert (written.files, written.tar_size) == (0, 1024)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", ["crc32", "size+", "size-", "bytes", "short", "gone"])
def test_a_member_damaged_after_it_was_verified_does_not_get_in(
    tmp_path: Path, make: MakeMember, way: Compression, change: str
) -> None:
    whole = make("file", b"some text, and more of it " * 500)
    copy = tmp_path / "copy"
    shutil.copyfile(whole.file, copy)
    member = replace(whole, file=copy)
    if change == "crc32":
        member = replace(member, crc32=member.crc32 ^ 1)
    elif change.startswith("size"):
        member = replace(member, size=member.size + (1 if change == "size+" else -1))
    elif change == "bytes":
        content = bytearray(copy.read_bytes())
        content[member.offset + member.compressed_size // 2] ^= 0x10
        copy.write_bytes(content)
    elif change == "short":
        os.truncate(copy, member.offset + member.compressed_size - 3)
    else:
        copy.unlink()
    with pytest.raises(CacheBroken, match="file"):
        write([member], tmp_path / "layer", way)


@pytest.mark.parametrize("way", WAYS)
def test_bytes_behind_compressed_data_do_not_get_in(
    tmp_path: Path, make: MakeMember, way: Compression
) -> None:
    whole = make("file", b"text " * 1000)
    with whole.file.open("rb") as stream:
        stream.seek(whole.offset)
        (tmp_path / "copy").write_bytes(stream.read(whole.compressed_size) + b"more")
    member = replace(whole, file=tmp_path / "copy", offset=0, compressed_size=whole.compressed_size + 4)
    with pytest.raises(CacheBroken, match="bytes after"):
        write([member], tmp_path / "layer", way)


def test_two_members_of_one_path_and_a_file_as_a_folder_collide(tmp_path: Path, make: MakeMember) -> None:
    with pytest.raises(MemberCollision, match="twice"):
        write([make("a"), make("a")], tmp_path / "layer", "gzip")
    with pytest.raises(MemberCollision, match="folder"):
        write([make("a"), make("a/b")], tmp_path / "layer", "gzip")


def test_a_destination_that_cannot_be_written_breaks_the_cache(tmp_path: Path, make: MakeMember) -> None:
    for way in WAYS:
        with pytest.raises(CacheBroken, match="cannot be written"):
            write([make("a")], tmp_path / "missing" / "layer", way)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("way", WAYS)
def test_a_full_disk_breaks_the_cache_and_leaves_no_thread(make: MakeMember, way: Compression) -> None:
    member = make("noise", hashlib.shake_256(b"full").digest(3_000_000))
    with pytest.raises(CacheBroken, match="No space left"):
        write([member], Path("/dev/full"), way)


@pytest.mark.parametrize("root", ["", "/var/task", "../x", "a//b"])
def test_a_root_outside_of_the_image_is_refused(tmp_path: Path, make: MakeMember, root: str) -> None:
    with pytest.raises(ValueError, match="root"):
        write_layer([make("a")], tmp_path / "layer", root=root)


@pytest.mark.parametrize("way", WAYS)
def test_memory_does_not_grow_with_the_size_of_members(
    tmp_path: Path, make: MakeMember, way: Compression
) -> None:
    large = [make(f"large{number}", bytes(24 << 20)) for number in range(2)]
    tracemalloc.start()
    write(large, tmp_path / "layer", way)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 << 20


def test_the_compressor_that_keys_name_is_the_one_that_is_installed_and_pinned() -> None:
    version = importlib.metadata.version("zlib-ng")
    assert COMPRESSOR.startswith(f"zlib-ng-{version}-level-")
    pyproject = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert f"zlib-ng=={version}" in pyproject["project"]["dependencies"]


def test_writing_a_zip_does_not_import_the_compressor_of_layers() -> None:
    modules = "planton_build.archive.writer, planton_build.archive.layer"
    question = f"import sys, {modules}; print('zlib_ng' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", question], text=True).strip() == "False"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=3000), max_size=20), st.integers(1, 700))
def test_a_stream_is_the_same_however_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], size: int
) -> None:
    taken: list[bytes] = []
    pieces = Pieces(size, lambda piece: taken.append(bytes(piece)))
    for part in parts:
        pieces.write(part)
    pieces.end()
    assert b"".join(taken) == b"".join(parts)
    assert {len(piece) for piece in taken[:-1]} <= {size}
    path = tmp_path_factory.mktemp("cut") / "a.gz"
    written = []
    for cut in (parts, [b"".join(parts)]):
        with Gzipped(path) as output:
            for part in cut:
                output.write(part)
            written.append(output.finish())
    assert written[0] == written[1]
    assert gzip.decompress(path.read_bytes()) == b"".join(parts)


NAMES = st.text("abÄ函-_. ", min_size=1, max_size=60).filter(lambda name: name not in {".", ".."})
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(PATHS, st.tuples(st.binary(max_size=2000), st.booleans()), max_size=8))
def test_any_tree_comes_out_of_both_ways_as_it_went_in(
    tmp_path: Path, make: MakeMember, tree: dict[str, tuple[bytes, bool]]
) -> None:
    members = [make(path, content * 3, executable=runs) for path, (content, runs) in tree.items()]
    try:
        first = write(members, tmp_path / "layer", "gzip")
    except MemberCollision:
        return
    unpacked = gzip.decompress((tmp_path / "layer").read_bytes())
    assert write(members, tmp_path / "layer", "spliced").diff_id == first.diff_id
    assert gzip.decompress((tmp_path / "layer").read_bytes()) == unpacked
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
        found = {
            info.name: (stream.read(), info.mode)
            for info in archive
            if (stream := archive.extractfile(info)) is not None
        }
    assert found == {
        f"var/task/{path}": (content * 3, (EXECUTABLE if runs else REGULAR) & 0o777)
        for path, (content, runs) in tree.items()
    }
