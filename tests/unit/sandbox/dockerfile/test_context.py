"""The context: equal for equal sources, whatever the checkout; without what cannot or must not be sent."""

from __future__ import annotations

import io
import os
import socket
import sys
import tarfile
from pathlib import Path

import pytest

from planton_build.errors import SourceInvalid
from planton_build.sandbox.dockerfile.context import copy_context, read_context, write_context_tar

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes and symlinks of POSIX")


def sources(root: Path, *, umask: int = 0o022, backwards: bool = False) -> Path:
    """Write sources below `root`."""
    old = os.umask(umask)
    try:
        (root / "bin").mkdir(parents=True)
        (root / "empty").mkdir()
        files = {"bin/tool": "#!/bin/sh\n", "app.py": "def handler(): ...\n", "grüß.txt": "hallo"}
        for name, text in sorted(files.items(), reverse=backwards):
            (root / name).write_text(text)
        (root / "bin" / "tool").chmod(0o777 & ~umask)
        (root / "link").symlink_to("bin/../app.py")
    finally:
        os.umask(old)
    return root


def tar_of(root: Path) -> bytes:
    stream = io.BytesIO()
    write_context_tar(read_context(root, root / "Dockerfile"), stream)
    return stream.getvalue()


def test_equal_sources_give_equal_contexts_whatever_umask_order_and_time(tmp_path: Path) -> None:
    one = sources(tmp_path / "one")
    two = sources(tmp_path / "elsewhere" / "two", umask=0o077, backwards=True)
    os.utime(two / "app.py", (1, 1))
    assert read_context(one, one / "Dockerfile").digest == read_context(two, two / "Dockerfile").digest
    assert tar_of(one) == tar_of(two)


@pytest.mark.parametrize("change", ["content", "mode", "name", "link", "folder"])
def test_every_change_that_an_image_shows_changes_the_digest(tmp_path: Path, change: str) -> None:
    root = sources(tmp_path / "root")
    before = read_context(root, root / "Dockerfile").digest
    if change == "content":
        (root / "app.py").write_text("def handler(): pass\n")
    elif change == "mode":
        (root / "app.py").chmod(0o755)
    elif change == "name":
        (root / "app.py").rename(root / "app2.py")
    elif change == "link":
        (root / "link").unlink()
        (root / "link").symlink_to("app.py")
    else:
        (root / "empty").rmdir()
    assert read_context(root, root / "Dockerfile").digest != before


def test_the_tar_belongs_to_root_and_has_plain_modes(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(tar_of(sources(tmp_path / "root", umask=0o077)))) as archive:
        entries = {entry.name: entry for entry in archive}
    assert {name: oct(entry.mode) for name, entry in entries.items()} == {
        "app.py": "0o644",
        "bin": "0o755",
        "bin/tool": "0o755",
        "empty": "0o755",
        "grüß.txt": "0o644",
        "link": "0o777",
    }
    assert {(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in entries.values()} == {
        (0, 0, "", 315532800)
    }
    assert entries["link"].linkname == "bin/../app.py"


def test_a_copy_is_the_same_context(tmp_path: Path) -> None:
    context = read_context(sources(tmp_path / "root", umask=0o077), tmp_path / "root" / "Dockerfile")
    (tmp_path / "copy").mkdir()
    copy_context(context, tmp_path / "copy")
    assert read_context(tmp_path / "copy", tmp_path / "copy" / "Dockerfile").digest == context.digest
    assert {path.lstat().st_mtime for path in (tmp_path / "copy").rglob("*")} == {315532800}


def test_folders_above_what_is_brought_back_are_there(tmp_path: Path) -> None:
    root = sources(tmp_path / "root")
    (root / ".dockerignore").write_text("*\n!bin/tool\n")
    assert [entry.name for entry in read_context(root, root / "Dockerfile").entries] == ["bin", "bin/tool"]


def test_what_a_build_writes_itself_can_be_kept_out(tmp_path: Path) -> None:
    root = sources(tmp_path / "root")
    before = read_context(root, root / "Dockerfile").digest
    (root / "images.lock").write_text("new")
    own = {os.path.realpath(root / "images.lock")}
    assert read_context(root, root / "Dockerfile", without=own).digest == before


def test_a_socket_is_left_out_and_a_pipe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket")
        assert read_context(tmp_path, tmp_path / "Dockerfile").entries == ()
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(SourceInvalid, match="'pipe'"):
            read_context(tmp_path, tmp_path / "Dockerfile")


def test_a_file_that_is_gone_when_it_is_sent_is_named(tmp_path: Path) -> None:
    root = sources(tmp_path / "root")
    context = read_context(root, root / "Dockerfile")
    (root / "app.py").unlink()
    with pytest.raises(SourceInvalid, match=r"'app\.py' .* changed"):
        write_context_tar(context, io.BytesIO())
