from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from planton_build.cache import LEFTOVER_SECONDS, Store, key_of
from planton_build.errors import CacheBroken

DAY = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def kept(store: Store, content: bytes) -> tuple[str, Path]:
    digest = hashlib.sha256(content).hexdigest()
    with store.staging() as staged:
        staged.write_bytes(content)
        return digest, store.keep("artifacts", digest, staged)


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_key_depends_on_every_part_and_on_their_order() -> None:
    parts = [("a", "b"), ("ab",), ("b", "a"), (["a", "b"],), ("a", None), ("a", 1), ("a", "1"), ("a", True)]
    assert len({key_of(*one) for one in parts}) == len(parts)


def test_a_key_does_not_depend_on_the_order_of_a_mapping() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


def test_a_key_is_the_same_on_every_machine_and_day() -> None:
    assert key_of("é", 1, None, [True]) == hashlib.sha256(b'["\\u00e9",1,null,[true]]').hexdigest()


def test_what_is_kept_is_found_under_its_digest(store: Store) -> None:
    digest, path = kept(store, b"content")
    assert path == store.blob("artifacts", digest)
    assert path.read_bytes() == b"content"
    assert store.intact("artifacts", digest)
    assert list((store.root / "staging").iterdir()) == []


def test_what_is_not_kept_is_gone(store: Store) -> None:
    with pytest.raises(RuntimeError), store.staging() as staged:
        staged.write_bytes(b"half")
        raise RuntimeError
    assert list((store.root / "staging").iterdir()) == []


def test_a_staged_folder_is_gone_afterwards_with_what_is_in_it(store: Store) -> None:
    with pytest.raises(RuntimeError), store.staging_folder() as folder:
        (folder / "below").mkdir()
        (folder / "below" / "file").write_bytes(b"half")
        raise RuntimeError
    assert list((store.root / "staging").iterdir()) == []


def test_a_folder_that_cannot_be_staged_is_a_broken_cache(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CacheBroken, match="cannot be used"), Store(tmp_path / "file").staging_folder():
        pass


@pytest.mark.parametrize("content", [b"", b"conten", b"Content", b"content "])
def test_a_damaged_blob_is_told_and_removed(store: Store, content: bytes) -> None:
    digest, path = kept(store, b"content")
    path.write_bytes(content)
    assert not store.intact("artifacts", digest)
    assert not path.exists()
    assert not store.intact("artifacts", digest)


def test_small_content_is_written_once(store: Store) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    path = store.keep_bytes("deflated", digest, b"x")
    before = path.stat().st_mtime_ns
    assert store.keep_bytes("deflated", digest, b"x") == path
    assert path.stat().st_mtime_ns == before


def test_a_record_comes_back_as_it_was(store: Store) -> None:
    value = {"a": [1, "é", None], "b": {"c": True}}
    store.put_record("builds", "k" * 64, value)
    assert store.record("builds", "k" * 64) == value
    assert store.record("builds", "m" * 64) is None
    assert store.record("offers", "k" * 64) is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1', b"\xff\xfe"])
def test_a_damaged_record_is_none(store: Store, content: bytes) -> None:
    store.put_record("builds", "k" * 64, {"a": 1})
    (path,) = (store.root / "builds").rglob("*.json")
    path.write_bytes(content)
    assert store.record("builds", "k" * 64) is None


def test_many_threads_that_keep_the_same_do_not_disturb_each_other(store: Store) -> None:
    content, errors = os.urandom(200_000), []

    def work() -> None:
        try:
            for _ in range(10):
                digest, _ = kept(store, content)
                assert store.intact("artifacts", digest)
                store.put_record("builds", digest, {"n": 1})
                assert store.record("builds", digest) == {"n": 1}
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_every_way_to_use_a_broken_folder_is_explained(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    store = Store(tmp_path / "cache")
    staged = tmp_path / "staged"
    staged.touch()
    uses = [
        lambda: store.staging().__enter__(),
        lambda: store.keep("wheels", "a" * 64, staged),
        lambda: store.keep_bytes("wheels", "a" * 64, b""),
        lambda: store.intact("wheels", "a" * 64),
        lambda: store.record("builds", "a" * 64),
        lambda: store.put_record("builds", "a" * 64, {}),
    ]
    for use in uses:
        with pytest.raises(CacheBroken, match="cannot be used: Not a directory") as caught:
            use()
        assert "PLANTON_CACHE_DIR" in (caught.value.hint or "")


# prune


def test_prune_removes_entries_by_age(store: Store) -> None:
    _, old = kept(store, b"old")
    _, new = kept(store, b"newer")
    age(old, 31 * DAY)
    age(new, 29 * DAY)
    assert store.prune(older_than=30 * DAY) == (1, 3)
    assert not old.exists()
    assert new.exists()
    assert store.prune(older_than=0) == (1, 5)


@pytest.mark.parametrize(
    "name", ["staging/tmpx", "wheels/ab/.ab.x.planton-tmp", "parts/ab.part", "parts/ab.etag"]
)
def test_prune_removes_what_is_half_written_after_a_day(store: Store, name: str) -> None:
    path = store.root / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    age(path, LEFTOVER_SECONDS - 600)
    assert store.prune(older_than=30 * DAY) == (0, 0)
    age(path, LEFTOVER_SECONDS + 600)
    assert store.prune(older_than=30 * DAY) == (1, 4)
    path.write_bytes(b"half")
    age(path, 600)
    assert store.prune(older_than=300) == (1, 4)  # who asks for less gets less


def test_prune_follows_no_link_out_of_the_store(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    store.root.mkdir(parents=True)
    (store.root / "folder").symlink_to(outside)
    (store.root / "file").symlink_to(outside / "precious")
    age(outside / "precious", 90 * DAY)
    store.prune(older_than=30 * DAY)
    assert (outside / "precious").read_text() == "x"


def test_prune_of_nothing_is_nothing(store: Store) -> None:
    assert store.prune(older_than=0) == (0, 0)
    assert not store.root.exists()
