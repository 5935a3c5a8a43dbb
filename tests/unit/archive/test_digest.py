from __future__ import annotations

import hashlib
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from planton_build.archive import digest
from planton_build.archive.digest import tree_digest, tree_digest_of_zip
from planton_build.archive.member import Member
from planton_build.archive.reader import read_zip
from planton_build.archive.writer import write_zip

MakeMember = Callable[..., Member]


def test_the_digest_is_the_documented_one(make: MakeMember, link: MakeMember) -> None:
    members = [make("b", b"hello"), make("ä/run", b"x", executable=True), link("l", "b")]
    lines = [
        f"100644 {hashlib.sha256(b'hello').hexdigest()} b\n",
        f"100755 {hashlib.sha256(b'x').hexdigest()} ä/run\n",
        f"120777 {hashlib.sha256(b'b').hexdigest()} l\n",
    ]
    assert tree_digest(members) == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert tree_digest(members) == "5f95475bddfd4dd2c4fe1b012c1d5545eeb8edb326cffdfd117be53c4975ac68"
    assert tree_digest([]) == hashlib.sha256(b"").hexdigest()


def test_order_origin_and_compression_do_not_count(make: MakeMember) -> None:
    members = [make("a", b"hello" * 100), make("b", b"x")]
    other = [replace(member, origin="x", method=0, compressed_size=1, offset=9) for member in members]
    assert tree_digest(members) == tree_digest(reversed(members)) == tree_digest(other)


def test_path_mode_and_content_count(make: MakeMember) -> None:
    trees = [
        [make("a", b"x")],
        [make("b", b"x")],
        [make("a", b"y")],
        [make("a", b"x", executable=True)],
        [make("a", b"x"), make("b", b"x")],
    ]
    assert len({tree_digest(members) for members in trees}) == len(trees)


def test_an_archive_gives_the_digest_of_its_members(
    tmp_path: Path, make: MakeMember, link: MakeMember
) -> None:
    members = [make("bin/run", b"#!", executable=True), make("ü", b"x" * 99), link("l", "/opt/x")]
    written = write_zip(members, tmp_path / "a.zip")
    listing = read_zip(tmp_path / "a.zip")
    assert tree_digest_of_zip(tmp_path / "a.zip", listing) == written.tree_digest == tree_digest(members)
    assert tree_digest_of_zip(tmp_path / "a.zip", listing, jobs=2) == written.tree_digest


def test_the_documented_shell_commands_recompute_it(tmp_path: Path, make: MakeMember) -> None:
    members = [
        make("run", b"#!", executable=True),
        make("d/a b.py", b"x = 1\n"),
        make("d.py", b""),
        make("ü", b"u"),
    ]
    written = write_zip(members, tmp_path / "a.zip")
    (tmp_path / "tree").mkdir()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        for info in archive.infolist():
            Path(archive.extract(info, tmp_path / "tree")).chmod(info.external_attr >> 16 & 0o777)
    assert digest.__doc__ is not None
    commands = digest.__doc__.split("symlinks:\n", 1)[1]
    done = subprocess.run(
        ["sh", "-c", commands], cwd=tmp_path / "tree", check=True, capture_output=True, text=True
    )
    assert done.stdout.split()[0] == written.tree_digest
