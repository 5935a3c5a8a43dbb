from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planton_build.ecosystems.python.building.build_lock import (
    BuildLock,
    LockedBuild,
    read_build_lock,
    render,
)
from planton_build.ecosystems.python.lock import LockedPackage, build_lock_path
from planton_build.errors import DependencyInputInvalid
from planton_build.runtimes.catalog import target_for
from planton_build.sandbox.build_image import ImagePin

TARGET = target_for("python3.13", "arm64")
SETUPTOOLS = LockedPackage("setuptools", "80.9.0", frozenset({"a" * 64}))
WHEEL = LockedPackage("wheel", "0.45.1", frozenset({"b" * 64}))
LOCK = BuildLock(
    TARGET,
    ImagePin("public.ecr.aws/sam/build-python3.13:1.140", f"sha256:{'c' * 64}"),
    "d" * 64,
    ("libpq-devel=15.4-1",),
    {
        "crcmod==1.7": LockedBuild(("setuptools>=40.8.0", "wheel"), (SETUPTOOLS, WHEEL), "e" * 64),
        "./libs/shared": LockedBuild(("setuptools",), (SETUPTOOLS,)),
    },
    ("libpq-devel",),
)
TEXT = render(LOCK)

hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
names = st.from_regex(r"[a-z0-9]{1,5}(-[a-z0-9]{1,5})?", fullmatch=True)
versions = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}(\+[a-z0-9]{1,4})?", fullmatch=True)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
pins = st.builds(
    lambda name, version, sha256: LockedPackage(name, version, frozenset({sha256})), names, versions, hashes
)
requires = st.lists(pins, unique_by=lambda pin: pin.name, max_size=4).map(
    lambda found: tuple(sorted(found, key=lambda pin: pin.name))
)
folders = words.map(lambda word: f"./{word}")
asked = st.lists(words).map(tuple)
builds = st.dictionaries(folders, st.builds(LockedBuild, asked, requires), max_size=3) | st.dictionaries(
    st.builds("{}=={}".format, names, versions), st.builds(LockedBuild, asked, requires, hashes), max_size=3
)
locks = st.builds(
    BuildLock,
    st.just(TARGET),
    st.builds(ImagePin, words, hashes.map("sha256:{}".format)),
    hashes,
    st.lists(words).map(tuple),
    builds,
    st.lists(words).map(tuple),
)


def read(folder: Path, text: str) -> BuildLock:
    path = folder / "requirements.build.lock"
    path.write_text(text, encoding="utf-8")
    return read_build_lock(path, TARGET)


@given(lock=locks)
def test_what_is_written_is_read_back(lock: BuildLock, tmp_path_factory: pytest.TempPathFactory) -> None:
    text = render(lock)
    found = read(tmp_path_factory.mktemp("lock"), text)
    assert found == lock
    assert render(found) == text
    assert found.digest == lock.digest


def test_the_text_is_sorted_and_says_what_it_is() -> None:
    assert TEXT.startswith("# Made by planton-build")
    assert TEXT.index('[build."./libs/shared"]') < TEXT.index('[build."crcmod==1.7"]')
    assert f'    "setuptools==80.9.0 --hash=sha256:{"a" * 64}",\n' in TEXT
    turned = replace(LOCK, builds=dict(reversed(list(LOCK.builds.items()))))
    assert render(turned) == TEXT
    build = LOCK.builds["crcmod==1.7"]
    unsorted = {**LOCK.builds, "crcmod==1.7": replace(build, requires=build.requires[::-1])}
    assert render(replace(LOCK, builds=unsorted)) == TEXT


def test_every_part_counts_in_the_digest() -> None:
    others = [
        replace(LOCK, toolchain="0" * 64),
        replace(LOCK, system_packages=()),
        replace(LOCK, image=replace(LOCK.image, digest=f"sha256:{'0' * 64}")),
        replace(LOCK, builds={}),
    ]
    assert len({lock.digest for lock in [LOCK, *others]}) == 5


@pytest.mark.parametrize(
    ("lock", "expected"),
    [
        ("requirements.python3.13-arm64.lock", "requirements.python3.13-arm64.build.lock"),
        ("pyproject.extra-api.python3.13-arm64.lock", "pyproject.extra-api.python3.13-arm64.build.lock"),
        ("uv.lock", "uv.lock.python3.13-arm64.build.lock"),
        ("pylock.toml", "pylock.toml.python3.13-arm64.build.lock"),
        ("requirements.txt", "requirements.txt.python3.13-arm64.build.lock"),
    ],
)
def test_it_stands_beside_its_lock(lock: str, expected: str, tmp_path: Path) -> None:
    assert build_lock_path(tmp_path / lock, TARGET) == tmp_path / expected


def test_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.build.lock"
    path.write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert read_build_lock(path, TARGET) == LOCK


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\n[image]", "\n<<<<<<< HEAD\n[image]", r"lock:\d+: .*merge conflict"),
        ("target = ", "target ", r"not TOML"),
        ('"python3.13-arm64"', '"python3.13-x86_64"', r"lock:3: .*made for 'python3.13-x86_64'"),
        ("sha256:cccc", "sha256:zzzz", r"lock:\d+: .*64 hexadecimal"),
        ('toolchain = "dddd', 'toolchain = "zzzz', r"lock:\d+: .*toolchain"),
        ("[image]\n", "[image]\nfrom = 1\n", r"lock:\d+: .*'from', which this version does not know"),
        ("[image]", "[other]", "'other'"),
        ('name = "public', 'names = "public', "'names'"),
        ('sdist = "eeee', 'sdist = "zzzz', r"lock:\d+: .*SHA-256 of an sdist"),
        ('[build."crcmod==1.7"]', '[build."crcmod"]', r"lock:\d+: .*neither name==version nor a folder"),
        ('[build."crcmod==1.7"]', '[build."./crcmod"]', r"lock:\d+: .*one too many"),
        ('[build."./libs/shared"]', '[build."libs==1"]', r"lock:\d+: .*SHA-256 of an sdist"),
        ('"wheel==0.45.1 ', '"wheel>=0.45.1 ', r"lock:\d+: .*'wheel>=0.45.1"),
        ('"wheel==0.45.1 ', '"setuptools==0.45.1 ', "each name once"),
        ('    "wheel",\n', "    7,\n", "something else than strings"),
        ("asked = [\n", "asking = [\n", "'asking'"),
        ("system-packages = [\n", "system-packages = 3\nmore = [\n", "'more'"),
    ],
)
def test_what_is_not_a_whole_lock_is_refused_with_its_line(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert old in TEXT
    with pytest.raises(DependencyInputInvalid, match=message) as caught:
        read(tmp_path, TEXT.replace(old, new, 1))
    assert caught.value.findings[0].file == tmp_path / "requirements.build.lock"


def test_a_folder_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(DependencyInputInvalid, match="not valid Unicode"):
        render(replace(LOCK, builds={"./\udcff": LockedBuild((), ())}))
