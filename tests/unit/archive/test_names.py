from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planton_build.archive.names import conflicts, link_fault, parents_of, path_fault


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b.py",
        ".hidden",
        "...",
        "a/..b",
        "a b",
        "ü/é.py",
        "ab:c",
        "~",
        "-x",
        "日本",
        "x" * 255,
        "é" * 127,
    ],
)
def test_ordinary_paths_are_good(path: str) -> None:
    assert path_fault(path) is None


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("//x", "absolute"),
        ("C:/x", "drive"),
        ("c:x", "drive"),
        ("a:", "drive"),
        ("a\\b", "backslash"),
        ("..", "part '..'"),
        ("a/../b", "part '..'"),
        ("a/.", "part '.'"),
        ("./a", "part '.'"),
        ("a//b", "part ''"),
        ("a/", "part ''"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x7f", "control"),
        ("a\x85", "control"),
        ("\ud800", "Unicode"),
        ("x" * 256, "255 bytes"),
        ("é" * 128, "255 bytes"),
        ("/".join(["x" * 200] * 20), "4000 bytes"),
    ],
)
def test_paths_that_cannot_be_unpacked_safely_are_refused(path: str, fault: str) -> None:
    found = path_fault(path)
    assert found is not None
    assert fault in found


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("a", "b"),
        ("a", "b/c"),
        ("a", "./b"),
        ("d/a", "../b"),
        ("d/e/a", "../../b"),
        ("d/a", ".."),
        ("bin/x", "../lib//x"),
        ("a", "/opt/lib/x"),
        ("a", "/opt"),
    ],
)
def test_links_that_stay_inside_are_good(path: str, target: str) -> None:
    assert link_fault(path, target, absolute_roots=["/opt"]) is None


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("a", ""),
        ("a", ".."),
        ("a", "../b"),
        ("d/a", "../../b"),
        ("d/a", "b/../c"),
        ("a", "/etc/passwd"),
        ("a", "/"),
        ("a", "/optional/x"),
        ("a", "/opt/../etc"),
        ("a", "b\0"),
        ("a", "b\\c"),
    ],
)
def test_links_that_lead_outside_are_refused(path: str, target: str) -> None:
    assert link_fault(path, target, absolute_roots=["/opt"]) is not None


def test_absolute_links_are_refused_unless_a_root_is_given() -> None:
    assert link_fault("a", "/opt/x") is not None


_NAME = st.sampled_from(["a", "b", "c"])
_PATH = st.lists(_NAME, min_size=1, max_size=4).map("/".join)
_TARGET = st.lists(st.sampled_from(["a", "b", "c", "..", "."]), min_size=1, max_size=6).map("/".join)


def _lands_outside(path: str, links: dict[str, str]) -> bool:
    """Follow a path as a kernel does and tell whether it ever climbs above the root."""
    here: list[str] = []
    todo, budget = path.split("/"), 60
    while todo and budget:
        part, *todo = todo
        budget -= 1
        if part == "..":
            if not here:
                return True
            here.pop()
        elif part != ".":
            here.append(part)
            target = links.get("/".join(here))
            if target is not None:
                here.pop()
                todo = target.split("/") + todo
    return False


@given(st.dictionaries(_PATH, _TARGET, max_size=6), _PATH)
def test_good_links_stay_inside_however_they_are_chained(links: dict[str, str], start: str) -> None:
    good = {path: target for path, target in links.items() if link_fault(path, target) is None}
    nested = {path for path, _ in conflicts(good)}
    tree = {path: target for path, target in good.items() if path not in nested}
    assert not _lands_outside(start, tree)
    assert not any(_lands_outside(path, tree) for path in tree)


@given(st.sets(_PATH), st.sets(_PATH))
def test_a_path_that_is_file_and_folder_is_found(files: set[str], folders: set[str]) -> None:
    expected = {
        file
        for file in files
        if file in folders or any(other.startswith(f"{file}/") for other in files | folders)
    }
    assert {path for path, _ in conflicts(files, folders)} == expected


def test_a_conflict_names_the_least_of_the_others() -> None:
    assert list(conflicts(["a", "a/z", "a/b/c", "d"], ["d"])) == [("a", "a/b/c"), ("d", "d/")]


def test_parents_come_nearest_first() -> None:
    assert list(parents_of("a/b/c")) == ["a/b", "a"]
    assert list(parents_of("a")) == []
