from __future__ import annotations

import datetime as dt

import pytest

from planton_build.errors import RuntimeUnsupported
from planton_build.runtimes.catalog import (
    base_image,
    build_image,
    lifecycle_note,
    runtime_named,
    runtimes,
    target_for,
)
from planton_build.runtimes.target import Target


@pytest.mark.parametrize(
    ("runtime", "version", "system", "glibc"),
    [
        ("python3.8", (3, 8), "al2", (2, 26)),
        ("python3.11", (3, 11), "al2", (2, 26)),
        ("python3.12", (3, 12), "al2023", (2, 34)),
        ("python3.14", (3, 14), "al2023", (2, 34)),
        ("nodejs22.x", (22, 0), "al2023", (2, 34)),
        ("java8.al2", (8, 0), "al2", (2, 26)),
        ("provided.al2023", (0, 0), "al2023", (2, 34)),
    ],
)
def test_target_has_the_system_of_its_runtime(runtime, version, system, glibc):
    target = target_for(runtime, "arm64")
    assert (target.version, target.system, target.glibc) == (version, system, glibc)
    assert target.machine == "aarch64"


def test_equal_targets_are_equal():
    assert target_for("python3.13", "x86_64") == Target(
        "python3.13", "x86_64", "python", (3, 13), "al2023", (2, 34)
    )


def test_unknown_runtime_names_those_spelled_alike():
    with pytest.raises(RuntimeUnsupported, match=r"'python3\.113'") as caught:
        target_for("python3.113", "arm64")
    assert "python3.13" in caught.value.hint


@pytest.mark.parametrize("name", ["cobol", "", "PYTHON 3"])
def test_unknown_runtime_always_has_a_hint(name):
    with pytest.raises(RuntimeUnsupported) as caught:
        target_for(name, "x86_64")
    assert caught.value.hint


def test_upper_case_runtime_is_unknown_but_recognised():
    with pytest.raises(RuntimeUnsupported) as caught:
        target_for("Python3.13", "x86_64")
    assert "did you mean python3.13" in caught.value.hint


@pytest.mark.parametrize(
    ("runtime", "successor"), [("python3.7", "python3.14"), ("go1.x", "provided.al2023"), ("java8", "java25")]
)
def test_first_amazon_linux_is_refused_with_the_successor(runtime, successor):
    with pytest.raises(RuntimeUnsupported, match="first Amazon Linux") as caught:
        target_for(runtime, "x86_64")
    assert successor in caught.value.hint


@pytest.mark.parametrize(
    ("runtime", "today", "words"),
    [
        ("python3.13", "2026-11-23", None),
        ("python3.11", "2026-12-31", None),
        ("python3.11", "2027-01-01", ["will be deprecated on 2027-06-30", "python3.14"]),
        ("python3.11", "2027-06-29", ["will be deprecated on 2027-06-30"]),
        ("python3.11", "2027-06-30", ["is deprecated since 2027-06-30", "new functions from 2027-07-31"]),
        ("python3.11", "2027-07-31", ["new functions since 2027-07-31", "updates from 2027-08-31"]),
        ("python3.11", "2027-08-31", ["updates since 2027-08-31"]),
        ("java17.al2023", "2040-01-01", None),
        ("python3.15", "2026-11-23", ["experimental"]),
    ],
)
def test_lifecycle_note(runtime, today, words):
    note = lifecycle_note(runtime, dt.date.fromisoformat(today))
    if words is None:
        assert note is None
    else:
        assert all(word in note for word in words)


def test_lifecycle_note_of_a_runtime_without_successor_names_none():
    note = lifecycle_note("python3.14", dt.date(2029, 8, 1))
    assert note.endswith("updates from 2029-08-31")


@pytest.mark.parametrize(
    ("runtime", "base", "build"),
    [
        ("python3.13", "lambda/python:3.13-arm64", "sam/build-python3.13:latest-arm64"),
        ("provided.al2023", "lambda/provided:al2023-arm64", "sam/build-provided.al2023:latest-arm64"),
        ("java17.al2023", "lambda/java:17.al2023-arm64", "sam/build-java17.al2023:latest-arm64"),
        ("nodejs22.x", "lambda/nodejs:22-arm64", "sam/build-nodejs22.x:latest-arm64"),
        ("dotnet8", "lambda/dotnet:8-arm64", "sam/build-dotnet8:latest-arm64"),
    ],
)
def test_image_names(runtime, base, build):
    target = target_for(runtime, "arm64")
    assert base_image(target).endswith(f"/{base}")
    assert build_image(target).endswith(f"/{build}")


@pytest.mark.parametrize("row", runtimes().values(), ids=lambda row: row.name)
def test_every_row_is_sound(row):
    assert row.name.startswith(row.family)
    dates = [day for day in (row.deprecation, row.block_create, row.block_update) if day is not None]
    assert all(isinstance(day, dt.date) for day in dates)
    assert row.experimental <= (not dates)
    if row.successor is not None:
        assert runtime_named(row.successor).successor is None
    if row.family == "python":
        assert row.name == f"python{row.version[0]}.{row.version[1]}"
        assert row.python.startswith(f"{row.version[0]}.{row.version[1]}.")
    else:
        assert row.python is None
    if row.system != "al1":
        assert target_for(row.name, "x86_64").runtime == row.name
