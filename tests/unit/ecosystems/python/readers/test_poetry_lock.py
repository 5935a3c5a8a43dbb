"""`poetry.lock` of three formats, each written by its own Poetry for the same project.

The expected sets were compared with `poetry install --dry-run` (Python 3.11) and `poetry export`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.ecosystems.python.inputs import find_input
from planton_build.ecosystems.python.lock import Lock
from planton_build.ecosystems.python.readers.poetry_entry import entries
from planton_build.ecosystems.python.readers.poetry_lock import _selected, read_poetry_lock
from planton_build.ecosystems.python.readers.poetry_walk import walk
from planton_build.errors import DependencyInputInvalid, LockOutdated, PlantonError, ResolutionFailed
from planton_build.project.function import FunctionProject
from planton_build.runtimes.catalog import target_for

Make = Callable[..., FunctionProject]
TARGET = target_for("python3.13", "arm64")
KEYS = [
    "dependencies",
    "extras",
    "files",
    "groups",
    "markers",
    "name",
    "one",
    "optional",
    "python",
    "source",
    "version",
]
FIXTURES = Path(__file__).parents[1] / "fixtures"

HTTP = "certifi==2026.10.18 h11==0.16.0 httpcore==1.0.9 httpx==0.28.1 idna==3.20"
OLD = f"{HTTP} anyio==4.12.1 click==8.1.8 h2==4.3.0 hpack==4.1.0 hyperframe==6.1.0"
NEW = f"{HTTP} anyio==4.16.0 click==8.5.1 h2==4.4.1 hpack==4.2.0 hyperframe==6.1.0 typing-extensions==4.16.0"
BACKPORTS = "exceptiongroup==1.3.1 typing-extensions==4.16.0"
XML, ALL = "defusedxml==0.7.1", "defusedxml==0.7.1 itsdangerous==2.2.0"

CASES = [
    ("poetry-2.1", "python3.13", "arm64", (), (), f"{NEW} blinker==1.9.0 zipp==4.1.2"),
    ("poetry-2.1", "python3.13", "x86_64", (), (), f"{NEW} zipp==4.1.2"),
    ("poetry-2.1", "python3.10", "x86_64", ("all",), (), f"{OLD} {BACKPORTS} {ALL} zipp==3.19.2"),
    ("poetry-2.1", "python3.9", "x86_64", ("all",), (), f"{OLD} {BACKPORTS} {XML} zipp==3.19.2"),
    ("poetry-2.1", "python3.13", "x86_64", ("xml",), ("prod",), f"{NEW} {XML} sniffio==1.3.1 zipp==4.1.2"),
    ("poetry-2.1", "python3.13", "x86_64", (), ("dev",), f"{NEW} iniconfig==2.3.1 zipp==4.1.2"),
    ("poetry-2.1", "python3.13", "x86_64", (), ("worker",), f"{NEW} more-itertools==11.2.1 zipp==4.1.2"),
    ("poetry-2.0", "python3.13", "arm64", (), (), f"{OLD} blinker==1.9.0 zipp==3.23.1"),
    (
        "poetry-2.0",
        "python3.11",
        "x86_64",
        ("all",),
        (),
        f"{OLD} {ALL} typing-extensions==4.16.0 zipp==3.19.2",
    ),
    (
        "poetry-2.0",
        "python3.10",
        "x86_64",
        ("xml",),
        ("prod",),
        f"{OLD} {BACKPORTS} {XML} sniffio==1.3.1 zipp==3.19.2",
    ),
    ("poetry-2.0", "python3.13", "x86_64", (), ("dev",), f"{OLD} iniconfig==2.1.0 zipp==3.23.1"),
    ("poetry-1.1", "python3.13", "arm64", (), (), f"{OLD} blinker==1.9.0 zipp==3.23.1"),
    ("poetry-1.1", "python3.10", "x86_64", ("all",), (), f"{OLD} {BACKPORTS} {ALL} zipp==3.19.2"),
    ("poetry-1.1", "python3.13", "x86_64", (), ("dev",), f"{OLD} iniconfig==2.1.0 zipp==3.23.1"),
]


def read(project: FunctionProject) -> Lock:
    dependencies = find_input(project)
    assert dependencies is not None
    return read_poetry_lock(dependencies, project.target)


@pytest.mark.parametrize(("folder", "runtime", "architecture", "extras", "groups", "expected"), CASES)
def test_the_packages_are_those_poetry_installs(
    function: Make,
    folder: str,
    runtime: str,
    architecture: str,
    extras: tuple[str, ...],
    groups: tuple[str, ...],
    expected: str,
) -> None:
    source = FIXTURES / folder
    project = function(
        runtime=runtime, architecture=architecture, source=source, extras=extras, groups=groups
    )
    lock = read(project)
    assert {f"{one.name}=={one.version}" for one in lock.packages} == set(expected.split())
    assert [one.name for one in lock.packages] == sorted(one.name for one in lock.packages)
    assert [one.folder for one in lock.local] == [source, source / "libs" / "shared"]
    assert lock.local[0].extras == extras


@pytest.mark.parametrize("folder", ["poetry-1.1", "poetry-2.0"])
def test_hashes_are_those_of_the_chosen_version_only(function: Make, folder: str) -> None:
    (zipp,) = (one for one in read(function(source=FIXTURES / folder)).packages if one.name == "zipp")
    assert zipp.hashes == {
        "0b3596c50a5c700c9cb40ba8d86d9f2cc4807e9bedb06bcdf7fac85633e444dc",
        "32120e378d32cd9714ad503c1d024619063ec28aad2248dc6672ad13edfa5110",
    }


@pytest.fixture
def copy(tmp_path: Path, function: Make) -> Callable[..., FunctionProject]:
    """Copy a fixture, and replace text in its files."""

    def make(folder: str, *changes: tuple[str, str, str], **options: object) -> FunctionProject:
        source = tmp_path / "source"
        shutil.copytree(FIXTURES / folder, source)
        for name, old, new in changes:
            text = (source / name).read_text()
            assert old in text
            (source / name).write_text(text.replace(old, new))
        return function(**options)

    return make


@pytest.mark.parametrize("folder", ["poetry-1.1", "poetry-2.0", "poetry-2.1"])
def test_a_lock_of_another_state_of_the_project_is_outdated(copy: Make, folder: str) -> None:
    with pytest.raises(LockOutdated, match=r"poetry\.lock was made for another state"):
        read(copy(folder, ("pyproject.toml", "colorama", "coloramb")))


def test_what_poetry_does_not_hash_may_change(copy: Make) -> None:
    assert read(copy("poetry-2.1", ("pyproject.toml", 'version = "1.0.0"', 'version = "2.0.0"')))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('lock-version = "2.1"', 'lock-version = "3.0"'), "has the lock version 3.0"),
        (('type = "directory"', 'type = "git"'), "shared comes from a source of the type git"),
        (('type = "directory"', 'type = "url"'), "shared comes from a source of the type url"),
        (('type = "directory"', 'type = "file"'), "shared comes from a source of the type file"),
        (('url = "libs/shared"', 'url = "/libs/shared"'), "absolute or does not exist"),
        (('"sha256:', '"md5:'), "has no SHA-256 hashes"),
        (('python_version < \\"3.12\\"', 'python_version >= \\"3\\"'), "both .* apply"),
        (('markers = "python', 'markers = "pithon'), "is not an environment marker"),
    ],
)
def test_what_cannot_be_locked_is_refused_with_its_name(
    copy: Make, change: tuple[str, str], says: str
) -> None:
    with pytest.raises(DependencyInputInvalid, match=says):
        read(copy("poetry-2.1", ("poetry.lock", *change)))


def test_a_package_that_a_walk_needs_and_the_lock_lacks_is_named(copy: Make) -> None:
    with pytest.raises(DependencyInputInvalid, match="the lock holds no h2"):
        read(copy("poetry-2.0", ("poetry.lock", 'name = "h2"', 'name = "h3"')))


@pytest.mark.parametrize(
    ("chosen", "says"), [({"extras": ("no",)}, "no extra no"), ({"groups": ("no",)}, "no group no")]
)
def test_an_extra_or_group_that_does_not_exist_is_refused(
    function: Make, chosen: dict[str, object], says: str
) -> None:
    with pytest.raises(DependencyInputInvalid, match=says) as caught:
        read(function(source=FIXTURES / "poetry-2.1", **chosen))
    assert "it has: " in str(caught.value.hint)


def test_a_lock_for_other_pythons_is_refused(function: Make) -> None:
    with pytest.raises(ResolutionFailed, match=r"made for Python >=3\.9,<4\.0, but python3\.8"):
        read(function(runtime="python3.8", source=FIXTURES / "poetry-2.1"))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["", "one", "*", "^1", "directory", "sha256:x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), values, max_size=4), st.sampled_from(["1.1", "2.1"]))
def test_no_content_crashes_the_reader(content: dict[str, object], version: str) -> None:
    package = {"name": "one", "version": "1.0", "groups": ["main"], **content}
    root = {"tool": {"poetry": {"dependencies": {"one": content or "*"}}}}
    try:
        known = entries({"package": [package], "metadata": content}, Path("poetry.lock"))
        _selected(known, TARGET, (), ()) if version == "2.1" else walk(root, known, TARGET, ("one",), ())
    except PlantonError:
        pass
