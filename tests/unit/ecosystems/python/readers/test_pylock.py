"""`pylock.toml`, as uv exports it and as the standard allows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.ecosystems.python.lock import Lock, LockedPackage
from planton_build.ecosystems.python.readers.pylock import read_pylock
from planton_build.errors import DependencyInputInvalid, NoFittingWheel, PlantonError
from planton_build.runtimes.catalog import target_for

FIXTURE = Path(__file__).parents[1] / "fixtures" / "pylock"
ARM = target_for("python3.13", "arm64")
A, B, C = "a" * 64, "b" * 64, "c" * 64

HEAD = 'lock-version = "1.0"\ncreated-by = "a test"\n'


def wheel(name: str, digest: str, tag: str = "py3-none-any") -> str:
    hashes = f'hashes = {{ sha256 = "{digest}" }}'
    return f'{{ name = "{name}-1.0-{tag}.whl", url = "https://index.example/{name}", {hashes} }}'


def package(name: str, *wheels: str, rest: str = "") -> str:
    files = ", ".join(wheels) or wheel(name, A)
    return f'[[packages]]\nname = "{name}"\nversion = "1.0"\n{rest}wheels = [{files}]\n'


def read(folder: Path, text: str, **chosen: tuple[str, ...]) -> Lock:
    (folder / "pylock.toml").write_text(HEAD + text, encoding="utf-8")
    return read_pylock(folder / "pylock.toml", ARM, **chosen)


def test_an_export_of_uv_gives_the_targets_packages() -> None:
    lock = read_pylock(FIXTURE / "pylock.toml", ARM)
    assert {f"{one.name}=={one.version}" for one in lock.packages} >= {
        "anyio==4.16.0",
        "blinker==1.9.0",
        "zipp==4.1.2",
    }
    assert len(lock.packages) == 13
    assert [one.folder for one in lock.local] == [FIXTURE / "libs" / "shared"]
    old = read_pylock(FIXTURE / "pylock.toml", target_for("python3.9", "x86_64"))
    assert {f"{one.name}=={one.version}" for one in old.packages} >= {"anyio==4.12.1", "zipp==3.19.2"}
    assert not [one for one in old.packages if one.name == "blinker"]


def test_all_hashes_of_a_package_count(tmp_path: Path) -> None:
    hashes = f'hashes = {{ sha256 = "{C.upper()}" }}'
    sdist = f'sdist = {{ name = "one-1.0.tar.gz", url = "https://index.example/", {hashes} }}\n'
    text = package("one", wheel("one", A), wheel("one", B, "cp313-cp313-win_amd64"), rest=sdist)
    assert read(tmp_path, text).packages == (LockedPackage("one", "1.0", frozenset({A, B, C})),)


def test_extras_and_groups_are_chosen(tmp_path: Path) -> None:
    text = 'extras = ["x"]\ndependency-groups = ["g", "h"]\ndefault-groups = ["h"]\n'
    for name, marker in (
        ("one", "'x' in extras"),
        ("two", "'g' in dependency_groups"),
        ("three", "'h' in dependency_groups"),
    ):
        text += package(name, rest=f'marker = "{marker}"\n')

    def names(**chosen: tuple[str, ...]) -> list[str]:
        return [one.name for one in read(tmp_path, text, **chosen).packages]

    assert names() == ["three"]
    assert names(extras=("x",)) == ["one", "three"]
    assert names(groups=("g",)) == ["three", "two"]
    with pytest.raises(DependencyInputInvalid, match="has no extra y"):
        names(extras=("y",))
    with pytest.raises(DependencyInputInvalid, match="has no group y"):
        names(groups=("y",))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[packages]]\nname = "one"\nversion = "1.0"\n', "not a valid pylock file"),
        ('requires-python = ">=3.14"\n' + package("one"), "does not serve python3.13-arm64: .*3.14"),
        ("environments = [\"sys_platform == 'win32'\"]\n" + package("one"), "does not serve"),
        (package("one") + package("one"), "Multiple packages"),
        (package("one", wheel("one", A).replace("sha256", "sha512")), "not pinned to a version with SHA-256"),
        (package("one").replace('version = "1.0"\n', ""), "not pinned"),
        (
            package("one").partition("wheels")[0]
            + 'vcs = { type = "git", url = "https://a.example", commit-id = "0" }\n',
            "one comes from",
        ),
        (
            package("one").partition("wheels")[0]
            + 'archive = { url = "https://index.example/a.zip", hashes = { sha256 = "00" } }\n',
            "one comes",
        ),
        ('[[packages]]\nname = "one"\ndirectory = { path = "/srv/one" }\n', "absolute"),
        ('[[packages]]\nname = "one"\ndirectory = { path = "gone" }\n', "does not exist"),
        (package("one", wheel("one", A).replace(".whl", "")), "one"),
    ],
)
def test_what_cannot_be_locked_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DependencyInputInvalid, match=says):
        read(tmp_path, text)


def test_a_package_without_a_fitting_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoFittingWheel, match="'one'"):
        read(tmp_path, package("one", wheel("one", A, "cp313-cp313-manylinux_2_17_x86_64")))


TEXT = package("one", rest="marker = \"os_name == 'posix'\"\n")
places = st.integers(0, len(TEXT))


@settings(deadline=None)
@given(places, places, st.text(max_size=8) | st.sampled_from(["[]", "{}", "1", '""', "true", "2026-01-01"]))
def test_no_damage_crashes_the_reader(
    tmp_path_factory: pytest.TempPathFactory, start: int, end: int, text: str
) -> None:
    try:
        read(tmp_path_factory.getbasetemp(), TEXT[:start] + text + TEXT[max(start, end) :])
    except PlantonError:
        pass
