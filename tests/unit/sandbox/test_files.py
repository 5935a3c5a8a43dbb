from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planton_build.errors import CompileFailed
from planton_build.sandbox import files
from planton_build.sandbox.files import EPOCH, Input, first_file, unpack, write_tar


def tar_of(*inputs: Input) -> bytes:
    stream = io.BytesIO()
    write_tar(inputs, stream)
    return stream.getvalue()


def entries(content: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {entry.name: entry for entry in archive}


def crafted(*entries: tuple[str, bytes, bytes | str]) -> bytes:
    """Return a tar archive of (name, type, content or link target)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, kind, content in entries:
            entry = tarfile.TarInfo(name)
            entry.type = kind
            if isinstance(content, str):
                entry.linkname = content
            else:
                entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    return stream.getvalue()


def pieces(content: bytes, size: int = 700) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def test_inputs_belong_to_root_and_are_read_only(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("print()\n")
    found = entries(
        tar_of(
            Input("/build/in/a.txt", b"a"),
            Input("/build/in/tool", b"#!/bin/sh\n", executable=True),
            Input("/build/in/deep/script.py", script),
            Input("/build/.secrets/token", b"secret", mode=0o400, owner=1000),
        )
    )
    assert {name: (entry.mode, entry.uid) for name, entry in found.items() if entry.isfile()} == {
        "build/in/a.txt": (0o444, 0),
        "build/in/tool": (0o555, 0),
        "build/in/deep/script.py": (0o444, 0),
        "build/.secrets/token": (0o400, 1000),
    }
    assert found["build/in/deep"].mode == 0o755
    assert "build/in" not in found  # it is there, with an owner of its own
    assert {entry.mtime for entry in found.values()} == {EPOCH}


def test_equal_inputs_give_equal_bytes_whatever_their_order_and_times(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "x.py").write_text("x")
    (folder / "a.py").write_text("a")
    (folder / "link").symlink_to("b/x.py")
    one, two = Input("/build/in/tree", folder), Input("/build/in/z", b"z")
    before = tar_of(one, two)
    (folder / "a.py").touch()
    assert tar_of(two, one) == before
    found = entries(before)
    assert found["build/in/tree/link"].linkname == "b/x.py"


def test_what_a_container_left_is_unpacked_without_its_top_folder(tmp_path: Path) -> None:
    content = crafted(
        ("out/", tarfile.DIRTYPE, b""),
        ("out/a.txt", tarfile.REGTYPE, b"a" * 2000),
        ("out/deep/b.txt", tarfile.REGTYPE, b"b"),
    )
    assert unpack(pieces(content), tmp_path, what="the step") == [
        tmp_path / "a.txt",
        tmp_path / "deep" / "b.txt",
    ]
    assert (tmp_path / "a.txt").read_bytes() == b"a" * 2000
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("name", "kind", "content"),
    [
        ("out/../../escape", tarfile.REGTYPE, b"x"),
        ("/out/absolute", tarfile.REGTYPE, b"x"),
        ("top-level", tarfile.REGTYPE, b"x"),
        ("out/link", tarfile.SYMTYPE, "/etc/passwd"),
        ("out/hard", tarfile.LNKTYPE, "out/a"),
        ("out/pipe", tarfile.FIFOTYPE, b""),
        ("out/device", tarfile.CHRTYPE, b""),
    ],
)
def test_a_container_hands_back_plain_files_only(
    name: str, kind: bytes, content: bytes | str, tmp_path: Path
) -> None:
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(CompileFailed, match="the step left"):
        unpack(pieces(crafted((name, kind, content))), into, what="the step")
    assert [path.name for path in tmp_path.rglob("*")] == ["into"]


def test_a_file_given_twice_is_refused(tmp_path: Path) -> None:
    twice = crafted(("out/a", tarfile.REGTYPE, b"1"), ("out/a", tarfile.REGTYPE, b"2"))
    with pytest.raises(CompileFailed):
        unpack(pieces(twice), tmp_path, what="the step")


def test_too_many_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "OUTPUT_LIMIT", 1000)
    big = crafted(("out/a", tarfile.REGTYPE, b"1" * 600), ("out/b", tarfile.REGTYPE, b"2" * 600))
    with pytest.raises(CompileFailed, match="1,000 bytes"):
        unpack(pieces(big), tmp_path, what="the step")


@given(st.binary(max_size=3000), st.integers(1, 600))
def test_any_bytes_are_files_or_a_typed_error(content: bytes, size: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        try:
            found = unpack(pieces(content, size), Path(name), what="the step")
        except CompileFailed:
            return
        assert all(path.is_relative_to(name) for path in found)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,2}\.t", fullmatch=True), st.binary()))
def test_what_goes_in_comes_out(contents: dict[str, bytes]) -> None:
    import tempfile

    content = tar_of(*(Input(f"/out/{name}", value) for name, value in contents.items()))
    with tempfile.TemporaryDirectory() as name:
        unpack(pieces(content), Path(name), what="the step")
        assert {path: Path(name, path).read_bytes() for path in contents} == contents


def test_the_first_file_is_read_up_to_a_limit() -> None:
    content = crafted(("python3", tarfile.REGTYPE, b"\x7fELF" + bytes(100_000)))
    assert first_file(pieces(content), 4) == b"\x7fELF"
    assert first_file(pieces(crafted(("bin", tarfile.DIRTYPE, b""))), 4) == b""
