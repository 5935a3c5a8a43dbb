"""From wheels to members: the tree that installers make, and hostile wheels turned away with the reason."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planton_build.archive.member import EXECUTABLE, REGULAR, SYMLINK, Member
from planton_build.cache import Store
from planton_build.ecosystems.python import wheel as module
from planton_build.ecosystems.python.wheel import wheel_members
from planton_build.ecosystems.python.wheelhouse import WheelFile
from planton_build.errors import WheelInvalid
from planton_build.runtimes.target import Target

INFO, DATA = "demo-1.0.dist-info", "demo-1.0.data"


@pytest.fixture
def kept(store: Store) -> Callable[[Any], WheelFile]:
    """Put a wheel into the store as the wheelhouse does."""

    def keep(wheel: Any) -> WheelFile:
        path = store.keep_bytes("wheels", wheel.sha256, wheel.content)
        name, version = wheel.filename.split("-")[:2]
        return WheelFile(name, version, wheel.filename, wheel.sha256, path)

    return keep


def content_of(member: Member) -> bytes:
    with member.file.open("rb") as stream:
        stream.seek(member.offset)
        packed = stream.read(member.compressed_size)
    return packed if member.method == 0 else zlib.decompress(packed, -15)


def tree_of(members: tuple[Member, ...]) -> dict[str, tuple[bytes, int]]:
    return {member.path: (content_of(member), member.mode) for member in members}


FULL = {
    "demo/__init__.py": b"a = 1",
    "demo/__pycache__/x.cpython-311.pyc": b"bytecode",
    "demo/run.sh": b"#!/bin/sh\n",
    "demo/empty": b"",
    f"{DATA}/data/share/man/x.1": b"man",
    f"{DATA}/data/demo2.txt": b"d",
    f"{DATA}/headers/demo.h": b"h",
    f"{DATA}/scripts/tool": b"#!python -E\nprint(1)\n",
    f"{DATA}/scripts/tool.sh": b"#!/bin/sh\n",
    f"{DATA}/scripts/ep": b"#!python\nold",
    f"{DATA}/purelib/pure.py": b"p",
    f"{DATA}/platlib/plat.py": b"p",
    f"{DATA}/purelib/demo/__init__.py": b"other",
    f"{INFO}/entry_points.txt": b"[console_scripts]\nep = demo:main\nep2=demo.x:main.y [extra]\n[other]\nz=q",
    f"{INFO}/licenses/LICENSE": b"L",
    f"{INFO}/RECORD.jws": b"signature",
    f"{INFO}/INSTALLER": b"me",
    f"{INFO}/REQUESTED": b"",
    f"{INFO}/direct_url.json": b"{}",
}
FULL_MODES = {"demo/run.sh": 0o100755, f"{INFO}/METADATA": 0o100610, f"{DATA}/data/demo2.txt": 0o100700}


def test_members_are_the_files_of_the_wheel_in_their_places(
    kept: Callable[[Any], WheelFile], store: Store, wheel_maker: Callable[..., Any]
) -> None:
    wheel = kept(wheel_maker(files=FULL, modes=FULL_MODES))

    members = wheel_members(wheel, store)
    tree = tree_of(members)

    assert sorted(tree) == [member.path for member in members]
    assert set(tree) == {
        "demo/__init__.py",
        "demo/__pycache__/x.cpython-311.pyc",
        "demo/run.sh",
        "demo/empty",
        "share/man/x.1",
        "demo2.txt",
        "pure.py",
        "plat.py",
        f"{INFO}/METADATA",
        f"{INFO}/WHEEL",
        f"{INFO}/entry_points.txt",
        f"{INFO}/licenses/LICENSE",
    }
    assert tree["demo/__init__.py"] == (b"other", REGULAR)
    assert {path for path, (_, mode) in tree.items() if mode == EXECUTABLE} == {
        "demo/run.sh",
        "demo2.txt",
        f"{INFO}/METADATA",
    }
    for member in members:
        content = content_of(member)
        assert (member.file, member.origin) == (wheel.path, "demo")
        assert (member.size, member.crc32) == (len(content), zlib.crc32(content))
        assert member.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_pip_and_uv_make_the_same_tree(
    kept: Callable[[Any], WheelFile],
    store: Store,
    wheel_maker: Callable[..., Any],
    intel: Target,
    tmp_path: Path,
    installer: str,
) -> None:
    import uv

    made = wheel_maker(files=FULL, modes=FULL_MODES)
    (tmp_path / made.filename).write_bytes(made.content)
    target = tmp_path / "target"
    pip = [sys.executable, "-m", "pip", "install", "--no-compile"]
    commands = {"pip": pip, "uv": [uv.find_uv_bin(), "pip", "install", "--python", sys.executable]}
    subprocess.run(
        [*commands[installer], "-q", "--no-deps", "--no-index", "--target", target, tmp_path / made.filename],
        check=True,
        env={**os.environ, "UV_CACHE_DIR": str(tmp_path / "uv")},
    )
    installed = {
        path.relative_to(target).as_posix(): (
            path.read_bytes(),
            EXECUTABLE if os.access(path, os.X_OK) else REGULAR,
        )
        for path in target.rglob("*")
        if path.is_file()
    }
    books = {
        f"{INFO}/{name}" for name in ("RECORD", "RECORD.jws", "INSTALLER", "REQUESTED", "direct_url.json")
    }
    books |= {".lock", f"{INFO}/uv_cache.json"}
    members = tree_of(wheel_members(kept(made), store, scripts=intel))

    assert {path for path in installed if not path.startswith("include/")} - books == set(members)
    assert {path: found for path, found in members.items() if not path.startswith("bin/")} == {
        path: found
        for path, found in installed.items()
        if path not in books and not path.startswith(("bin/", "include/"))
    }


def test_scripts_run_with_the_python_of_the_runtime(
    kept: Callable[[Any], WheelFile],
    store: Store,
    wheel_maker: Callable[..., Any],
    intel: Target,
    arm: Target,
) -> None:
    wheel = kept(wheel_maker(files=FULL))

    tree = tree_of(wheel_members(wheel, store, scripts=intel))

    assert {path for path in tree if path.startswith("bin/")} == {
        "bin/ep",
        "bin/ep2",
        "bin/tool",
        "bin/tool.sh",
    }
    assert all(mode == EXECUTABLE for path, (_, mode) in tree.items() if path.startswith("bin/"))
    assert tree["bin/tool"][0] == b"#!/var/lang/bin/python3.13\nprint(1)\n"
    assert tree["bin/tool.sh"][0] == b"#!/bin/sh\n"
    assert tree["bin/ep2"][0].decode() == (
        "#!/var/lang/bin/python3.13\nimport sys\nfrom demo.x import main\n"
        'if __name__ == "__main__":\n    sys.exit(main.y())\n'
    )
    assert b"python3.11\n" in tree_of(wheel_members(wheel, store, scripts=arm))["bin/ep"][0]


@pytest.mark.parametrize(
    "line",
    ["../evil = demo:main", "a/b = demo:main", "x = demo", "x = demo:__import__('os')", "x", "é = demo:\\n"],
)
def test_a_malformed_entry_point_is_refused_when_scripts_are_wanted(
    kept: Callable[[Any], WheelFile], store: Store, wheel_maker: Callable[..., Any], intel: Target, line: str
) -> None:
    files = {"demo.py": b"", f"{INFO}/entry_points.txt": f"[console_scripts]\n{line}\n".encode()}
    wheel = kept(wheel_maker(files=files))

    wheel_members(wheel, store)
    with pytest.raises(WheelInvalid):
        wheel_members(wheel, store, scripts=intel)


def test_a_second_look_reads_the_record_and_not_the_wheel(
    kept: Callable[[Any], WheelFile], store: Store, wheel_maker: Callable[..., Any]
) -> None:
    wheel = kept(wheel_maker(files=FULL))
    first = wheel_members(wheel, store)

    wheel.path.unlink()

    assert wheel_members(wheel, store) == first


def bent(content: bytes, *changes: tuple[bytes, bytes]) -> bytes:
    for old, new in changes:
        assert old in content
        content = content.replace(old, new)
    return content


def refused(store: Store, kept: Callable[[Any], WheelFile], wheel: Any) -> str:
    with pytest.raises(WheelInvalid) as caught:
        wheel_members(kept(wheel), store)
    assert wheel.filename in caught.value.message
    assert str(store.root) not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    "path",
    ["../evil.py", "/etc/evil.py", "demo/../../evil.py", "demo\\evil.py", "C:/evil.py", "demo//x", "./x"],
)
def test_a_path_that_leaves_the_tree_is_refused(
    kept: Callable[[Any], WheelFile], store: Store, wheel_maker: Callable[..., Any], path: str
) -> None:
    refused(store, kept, wheel_maker(files={path: b"evil"}))
    refused(store, kept, wheel_maker(files={f"{DATA}/data/{path}": b"evil"}))


def test_symlinks_stay_only_if_they_stay_inside(
    kept: Callable[[Any], WheelFile], store: Store, wheel_maker: Callable[..., Any]
) -> None:
    link = {"demo/link": 0o120777}
    inside = kept(wheel_maker(files={"demo/link": b"file", "demo/file": b"x"}, modes=link))
    assert tree_of(wheel_members(inside, store))["demo/link"] == (b"file", SYMLINK)

    for target in (b"../../etc/passwd", b"/etc/passwd", b"../..", b"\xff"):
        assert "symlink" in refused(store, kept, wheel_maker(files={"demo/link": target}, modes=link))
    moved = f"{DATA}/data/share/link"
    assert "symlink" in refused(store, kept, wheel_maker(files={moved: b"../../x"}, modes={moved: 0o120777}))


def test_a_duplicate_entry_is_refused(
    kept: Callable[[Any], WheelFile], store: Store, wheel_maker: Callable[..., Any]
) -> None:
    wheel = wheel_maker(files={"demo/a.py": b"good", "demo/b.py": b"evil"})
    twice = type(wheel)(wheel.filename, bent(wheel.content, (b"demo/b.py", b"demo/a.py")))
    assert "twice" in refused(store, kept, twice)


def test_a_wrong_crc_is_refused(
    kept: Callable[[Any], WheelFile], store: Store, wheel_maker: Callable[..., Any]
) -> None:
    content = b"good " * 100
    wheel = wheel_maker(files={"demo.py": content})
    lie = bent(wheel.content, (struct.pack("<I", zlib.crc32(content)), b"\1\2\3\4"))
    assert "CRC-32" in refused(store, kept, type(wheel)(wheel.filename, lie))


def test_a_bomb_is_refused_without_being_unpacked(
    kept: Callable[[Any], WheelFile], store: Store, wheel_maker: Callable[..., Any]
) -> None:
    content = b"\0" * 20_000_000
    wheel = wheel_maker(files={"demo.py": content})
    size = struct.pack("<I", len(content))
    lie = type(wheel)(wheel.filename, bent(wheel.content, (size, struct.pack("<I", 100))))
    assert "unpacks to more than" in refused(store, kept, lie)


def test_an_encrypted_entry_is_refused(
    kept: Callable[[Any], WheelFile], store: Store, wheel_maker: Callable[..., Any]
) -> None:
    wheel = wheel_maker()
    content = bytearray(wheel.content)
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.index(signature) + at
        content[place] |= 1
    assert "encrypted" in refused(store, kept, type(wheel)(wheel.filename, bytes(content)))


def test_something_that_is_no_zip_is_refused(
    kept: Callable[[Any], WheelFile], store: Store, wheel_maker: Callable[..., Any]
) -> None:
    wheel = wheel_maker()
    for content in (b"", b"<html>not found</html>", wheel.content[:-30], b"junk" + wheel.content):
        refused(store, kept, type(wheel)(wheel.filename, content))


Lines = list[list[str]]


def _changed(line: list[str]) -> list[str]:
    return [line[0], "sha256=" + base64.urlsafe_b64encode(b"\0" * 32).decode().rstrip("="), line[2]]


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (lambda lines: lines[1:], "is not in RECORD"),
        (lambda lines: [*lines, ["ghost.py", lines[0][1], "1"]], "is not there"),
        (lambda lines: [_changed(lines[0]), *lines[1:]], "does not have the hash"),
        (lambda lines: [[*lines[0][:2], "7"], *lines[1:]], "bytes and not the 7"),
        (lambda lines: [[lines[0][0], "", ""], *lines[1:]], "no SHA-256 or better"),
        (lambda lines: [[lines[0][0], "md5=abc", ""], *lines[1:]], "no SHA-256 or better"),
        (lambda lines: [[lines[0][0], "sha256=!", ""], *lines[1:]], "does not have the hash"),
        (lambda lines: [[lines[0][0], "sha512=AAAA", ""], *lines[1:]], "does not have the hash"),
        (lambda lines: [*lines, _changed(lines[0])], "contradicts itself"),
        (lambda lines: [["one", "column", "too", "many"]], "is not a list"),
    ],
)
def test_a_record_that_lies_is_refused(
    kept: Callable[[Any], WheelFile],
    store: Store,
    wheel_maker: Callable[..., Any],
    bend: Callable[[Lines], Lines],
    reason: str,
) -> None:
    assert reason in refused(store, kept, wheel_maker(record=bend))


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_stronger_hashes_in_the_record_are_compared_too(
    kept: Callable[[Any], WheelFile], store: Store, wheel_maker: Callable[..., Any], algorithm: str
) -> None:
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, b"x").digest()).decode()

    def stronger(lines: Lines) -> Lines:
        # Also with padding, a repetition and a folder, all of which exist in the wild.
        return [[lines[0][0], f"{algorithm}={digest}", ""], *lines[1:], lines[1], ["demo/", "", ""]]

    assert wheel_members(kept(wheel_maker(files={"demo.py": b"x"}, record=stronger)), store)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metadata": "Name: other\nVersion: 1.0\n"}, "METADATA is that of 'other'"),
        ({"metadata": "Name: demo\nVersion: 2.0\n"}, "'2.0'"),
        ({"metadata": "Name: demo\n"}, "METADATA is that of"),
        ({"wheel": "Wheel-Version: 2.0\n"}, "'2.0', and only 1"),
        ({"wheel": "Tag: py3-none-any\n"}, "only 1 is known"),
        ({"files": {"demo.py": b"", "other-1.0.dist-info/METADATA": b""}}, "2 .dist-info folders"),
        ({"files": {f"{INFO}/METADATA": b"\xff"}}, "not UTF-8"),
        ({"files": {f"{DATA}/weird/x": b""}}, "no folder that the format knows"),
        ({"files": {f"{DATA}/purelib": b""}}, "no folder that the format knows"),
        ({"files": {"demo/x": b"", f"{DATA}/data/demo": b""}}, "a folder because of"),
    ],
)
def test_a_wheel_against_its_own_format_is_refused(
    kept: Callable[[Any], WheelFile],
    store: Store,
    wheel_maker: Callable[..., Any],
    changes: dict[str, Any],
    reason: str,
) -> None:
    assert reason in refused(store, kept, wheel_maker(**changes))


def test_a_wheel_of_another_name_or_without_metadata_is_refused(
    kept: Callable[[Any], WheelFile], store: Store, wheel_maker: Callable[..., Any]
) -> None:
    wheel = wheel_maker()
    wheel_members(kept(wheel), store)
    assert "its metadata are in" in refused(
        store, kept, type(wheel)("demo-2.0-py3-none-any.whl", wheel.content)
    )
    assert "its metadata are in" in refused(
        store, kept, type(wheel)("other-1.0-py3-none-any.whl", wheel.content)
    )
    assert "is not the name" in refused(store, kept, type(wheel)("demo-1.0.whl", wheel.content))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{INFO}/RECORD", f"{INFO}/RECORD,,\n")
    assert "has no" in refused(store, kept, type(wheel)(wheel.filename, buffer.getvalue()))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("demo.py", "")
    assert "0 .dist-info folders" in refused(store, kept, type(wheel)(wheel.filename, buffer.getvalue()))


def test_a_new_format_number_forgets_old_records(
    kept: Callable[[Any], WheelFile],
    store: Store,
    wheel_maker: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wheel = kept(wheel_maker())
    wheel_members(wheel, store)
    wheel.path.unlink()

    monkeypatch.setattr(module, "_FORMAT", 0)

    with pytest.raises(WheelInvalid):
        wheel_members(wheel, store)
