from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planton_build.errors import DependencyInputInvalid, ImageUnavailable, LockOutdated
from planton_build.imaging.lock import NAME, ImageLocks, read, render

NAME_OF_BASE = "registry.example/lambda/python:3.13"
OLD, NEW = f"sha256:{'0' * 64}", f"sha256:{'1' * 64}"


def never() -> str:
    raise AssertionError("a locked image was resolved")


def test_an_image_is_resolved_once_and_locked(tmp_path: Path) -> None:
    locks = ImageLocks("build")
    assert locks.digest(tmp_path, NAME_OF_BASE, "arm64", lambda: OLD) == OLD
    assert locks.digest(tmp_path, NAME_OF_BASE, "arm64", never) == OLD
    assert ImageLocks("frozen").digest(tmp_path, NAME_OF_BASE, "arm64", never) == OLD
    assert read(tmp_path / NAME) == {NAME_OF_BASE: {"arm64": OLD}}


def test_each_architecture_has_a_digest_of_its_own(tmp_path: Path) -> None:
    locks = ImageLocks("build")
    locks.digest(tmp_path, NAME_OF_BASE, "arm64", lambda: OLD)
    locks.digest(tmp_path, NAME_OF_BASE, "x86_64", lambda: NEW)
    assert read(tmp_path / NAME) == {NAME_OF_BASE: {"arm64": OLD, "x86_64": NEW}}


@pytest.mark.parametrize("mode", ["frozen", "check"])
def test_where_nothing_may_be_written_an_image_that_is_not_locked_is_refused(
    tmp_path: Path, mode: str
) -> None:
    locks = ImageLocks(mode)  # type: ignore[arg-type]
    with pytest.raises(LockOutdated, match=NAME_OF_BASE) as caught:
        locks.digest(tmp_path, NAME_OF_BASE, "arm64", never)
    assert caught.value.findings[0].file == tmp_path / NAME
    assert not (tmp_path / NAME).exists()


def test_an_upgrade_resolves_each_image_again_and_only_once(tmp_path: Path) -> None:
    ImageLocks("build").digest(tmp_path, NAME_OF_BASE, "arm64", lambda: OLD)
    locks = ImageLocks("write", upgrade=True)
    assert locks.digest(tmp_path, NAME_OF_BASE, "arm64", lambda: NEW) == NEW
    assert locks.digest(tmp_path, NAME_OF_BASE, "arm64", never) == NEW
    assert read(tmp_path / NAME) == {NAME_OF_BASE: {"arm64": NEW}}


def test_what_cannot_be_resolved_leaves_the_lock_as_it_was(tmp_path: Path) -> None:
    ImageLocks("build").digest(tmp_path, NAME_OF_BASE, "arm64", lambda: OLD)
    before = (tmp_path / NAME).read_bytes()

    def fail() -> str:
        raise ImageUnavailable("not to be had")

    with pytest.raises(ImageUnavailable):
        ImageLocks("write", upgrade=True).digest(tmp_path, NAME_OF_BASE, "arm64", fail)
    assert (tmp_path / NAME).read_bytes() == before


def test_functions_side_by_side_lose_no_entry(tmp_path: Path) -> None:
    locks, together = ImageLocks("build"), threading.Barrier(8)

    def lock(number: int) -> None:
        together.wait()
        locks.digest(tmp_path, f"registry.example/base:{number}", "arm64", lambda: OLD)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lock, range(8)))
    assert len(read(tmp_path / NAME)) == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[broken", "cannot be read"),
        ('["a"]\narm64 = "sha256:12"\n', "an entry has a digest"),
        ('["a"]\nriscv = "' + OLD + '"\n', "an entry has a digest"),
        ('a = "b"\n', "an entry has a digest"),
        ("<<<<<<< HEAD\n", "conflict markers"),
        ("\udcff", "cannot be read"),
    ],
)
def test_a_lock_that_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / NAME).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DependencyInputInvalid, match=words) as caught:
        read(tmp_path / NAME)
    assert caught.value.findings[0].file == tmp_path / NAME


names = st.from_regex(r"[a-z0-9.]{1,10}(/[a-z0-9._-]{1,8}){0,2}(:[A-Za-z0-9_.-]{1,8})?", fullmatch=True)
digests = st.integers(0, 16**64 - 1).map(lambda number: f"sha256:{number:064x}")
pins = st.dictionaries(
    names, st.dictionaries(st.sampled_from(["arm64", "x86_64"]), digests, min_size=1), max_size=4
)


@given(pins)
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, pins: object) -> None:
    path = tmp_path_factory.mktemp("lock") / NAME
    path.write_text(render(pins))  # type: ignore[arg-type]
    assert read(path) == pins
