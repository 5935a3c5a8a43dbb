"""The walk through older locks, on small locks made here."""

from __future__ import annotations

from typing import Any

import pytest

from planton_build.ecosystems.python.readers.poetry_entry import Entry, alternatives
from planton_build.ecosystems.python.readers.poetry_walk import walk
from planton_build.errors import DependencyInputInvalid
from planton_build.runtimes.catalog import target_for

TARGET = target_for("python3.13", "arm64")


def entry(name: str, version: str = "1.0", *, python: str = "*", extras: Any = None, **needs: Any) -> Entry:
    dependencies = {key: alternatives(value) for key, value in needs.items()}
    return Entry(name, version, python, dependencies=dependencies, extras=extras or {})


def walked(root: dict[str, Any], *entries: Entry, extras: tuple[str, ...] = ()) -> dict[str, str]:
    found = walk({"tool": {"poetry": root}}, entries, TARGET, extras, ())
    assert len({one.name for one in found}) == len(found)
    return {one.name: one.version for one in found}


def test_the_newest_version_that_satisfies_all_is_taken_even_when_one_is_met_late() -> None:
    versions = [entry("x", version) for version in ("1.0", "1.5", "2.0")]
    expected = {"a": "1.0", "b": "1.0", "x": "1.5"}
    for order in ({"x": "*", "a": "*"}, {"a": "*", "x": "*"}):
        root = {"dependencies": order}
        assert walked(root, entry("a", b="*"), entry("b", x="<2"), *versions) == expected
    with pytest.raises(DependencyInputInvalid, match=r"the lock holds no x \(.*>=3\)"):
        walked(root, entry("a", x=">=3"), *versions)


def test_versions_for_other_pythons_are_passed_over() -> None:
    versions = [entry("x", "1.0", python=">=3.8"), entry("x", "2.0", python=">=3.14")]
    assert walked({"dependencies": {"x": "*"}}, *versions) == {"x": "1.0"}


def test_extras_bring_optional_dependencies_also_through_each_other() -> None:
    x = entry(
        "x",
        extras={"all": ("x[one,two]",), "one": ("a (>=1)",), "two": ("B_b ; python_version > '3'",)},
        a={"version": "*", "optional": True, "markers": "extra == 'one' or extra == 'all'"},
        **{"b-b": {"version": "*", "optional": True}, "c": {"version": "*", "optional": True}},
    )
    others = [entry("a"), entry("b-b"), entry("c")]
    assert set(walked({"dependencies": {"x": "*"}}, x, *others)) == {"x"}
    assert set(walked({"dependencies": {"x": {"extras": ["two"]}}}, x, *others)) == {"x", "b-b"}
    assert set(walked({"dependencies": {"x": {"extras": ["all"]}}}, x, *others)) == {"x", "a", "b-b"}


def test_extras_asked_later_are_followed_too() -> None:
    x = entry("x", extras={"one": ("a",)}, a={"version": "*", "optional": True})
    z = entry("z", x={"version": "*", "extras": ["one"]})
    for order in ({"x": "*", "z": "*"}, {"z": "*", "x": "*"}):
        assert set(walked({"dependencies": order}, x, z, entry("a"))) == {"a", "x", "z"}


def test_conditions_of_a_dependency_are_evaluated_for_the_target() -> None:
    root = {
        "dependencies": {
            "python": "^3.9",
            "a": {"version": "*", "python": "<3.13"},
            "b": {"version": "*", "platform": "linux"},
            "c": {"version": "*", "platform": "win32"},
            "d": [{"version": "1.0", "python": "<3.13"}, {"version": "2.0", "python": ">=3.13"}],
            "e": {"version": "*", "markers": "platform_machine == 'aarch64'"},
        }
    }
    entries = [*map(entry, "abce"), entry("d", "1.0"), entry("d", "2.0")]
    assert walked(root, *entries) == {"b": "1.0", "d": "2.0", "e": "1.0"}


def test_extras_of_the_project_bring_its_optional_dependencies() -> None:
    root = {
        "dependencies": {"a": {"version": "*", "optional": True}, "b": "*"},
        "extras": {"Some_thing": ["a"]},
    }
    assert set(walked(root, entry("a"), entry("b"))) == {"b"}
    assert set(walked(root, entry("a"), entry("b"), extras=("some-thing",))) == {"a", "b"}


def test_circles_end() -> None:
    assert set(walked({"dependencies": {"a": "*"}}, entry("a", b="*"), entry("b", a="*"))) == {"a", "b"}
