from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from planton_build.files import CHUNK, UNFINISHED, replacing, sha256_of, write_atomic
from planton_build.project.left_out import DEFAULTS


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as staged:
        staged.write_text("new")
        assert path.read_text() == "old"
        assert staged.parent == path.parent  # so that it is one rename on one file system
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(failure), replacing(path) as staged:
        staged.write_text("half")
        raise failure
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
@pytest.mark.parametrize("mode", [0o644, 0o600, 0o755])
def test_the_mode_is_what_was_asked_for_whatever_the_umask_is(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        write_atomic(tmp_path / "deep" / "file", b"x", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "deep" / "file").stat().st_mode) == mode


def test_a_long_name_can_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    write_atomic(path, b"x")
    assert path.read_bytes() == b"x"


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomic(tmp_path / "folder", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_unfinished_files_are_not_packaged(tmp_path: Path) -> None:
    with replacing(tmp_path / "lambda.yaml") as staged:
        assert staged.name.endswith(UNFINISHED)
        assert DEFAULTS.decide(f"folder/{staged.name}", folder=False) is True
        staged.write_text("")


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1])
def test_the_digest_is_that_of_the_whole_file(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()
