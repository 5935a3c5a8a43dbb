"""What a Dockerfile names: found through stages, variables and heredocs; rewritten and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.errors import DockerfileFailed
from planton_build.sandbox.dockerfile.from_lines import Choices, base_of, images_of, with_pins
from planton_build.sandbox.dockerfile.parse import parse_dockerfile, read_dockerfile

PIN = "@sha256:" + "a" * 64
PROJECTS = Path(__file__).resolve().parents[3] / "projects"


def choices(stage: str | None = None, **arguments: str) -> Choices:
    return Choices(stage, arguments, "arm64", "x86_64")


def named(text: str, stage: str | None = None, **arguments: str) -> list[tuple[str, int]]:
    found = images_of(parse_dockerfile(text), choices(stage, **arguments))
    return [(image.name, image.line) for image in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM python:3.13", [("python:3.13", 1)]),
        ("from python:3.13 as x\nFROM x", [("python:3.13", 1)]),
        ("FROM scratch", []),
        ("# comment\n\nARG V=3.13\nFROM python:$V", [("python:3.13", 4)]),
        ("ARG V=3.13\nARG B=python:${V}\nFROM ${B}-slim", [("python:3.13-slim", 3)]),
        ("FROM python:${V:-3.12}${W:+-x}", [("python:3.12", 1)]),
        ('ARG V="3.13"\nFROM "python:$V"', [("python:3.13", 2)]),
        ("FROM \\\n# why\n\n  python:3.13 \\\n  AS x", [("python:3.13", 1)]),
        ("# escape=`\nFROM `\n  a:1", [("a:1", 2)]),
        ("FROM a:1\r\nCOPY --from=b:2 /x /y\r\n", [("a:1", 1), ("b:2", 2)]),
        (
            "FROM a:1 AS one\nFROM b:2\nCOPY --from=one --chown=1 / /\nCOPY --from=0 / /",
            [("a:1", 1), ("b:2", 2)],
        ),
        ("FROM a:1 AS unused\nFROM b:2", [("b:2", 2)]),
        ("FROM a:1\nRUN --mount=type=bind,from=c:3,target=/c make", [("a:1", 1), ("c:3", 2)]),
        ("FROM a:1\nRUN <<EOF\nFROM no:1\nEOF\nCOPY <<-'X' /y\nFROM no:2\n\tX\nRUN true", [("a:1", 1)]),
        ("FROM a:1\nRUN echo \\\nFROM b:2", [("a:1", 1)]),
        ("FROM a:1\nFROM a:1", [("a:1", 2)]),
        ("FROM a:1\nONBUILD COPY --from=z:1 / /", [("a:1", 1)]),
    ],
)
def test_the_images_that_the_last_stage_needs(text: str, expected: list[tuple[str, int]]) -> None:
    assert named(text) == expected


def test_build_arguments_are_stronger_than_defaults() -> None:
    assert named("ARG B=a:1\nFROM $B", B="b:2") == [("b:2", 2)]
    assert named("ARG B\nFROM $B", B="b:2") == [("b:2", 2)]


def test_another_stage_needs_other_images() -> None:
    text = "FROM a:1 AS one\nFROM b:2 AS two\nCOPY --from=one / /\nFROM c:3"
    assert named(text, "one") == [("a:1", 1)]
    assert named(text, "TWO") == [("a:1", 1), ("b:2", 2)]
    assert named(text, "0") == [("a:1", 1)]


def test_a_platform_decides_for_which_architecture_an_image_is() -> None:
    text = "FROM --platform=$BUILDPLATFORM go:1 AS build\nFROM a:$TARGETARCH\nCOPY --from=build / /"
    found = images_of(parse_dockerfile(text), choices())
    assert [image.key for image in found] == [("go:1", "x86_64"), ("a:arm64", "arm64")]


def test_the_base_is_followed_through_stages() -> None:
    text = "FROM a:1 AS one\nFROM one AS two\nFROM b:2 AS other\nFROM two\nCOPY --from=other / /"
    base = base_of(parse_dockerfile(text), choices())
    assert base is not None
    assert (base.name, base.line) == ("a:1", 1)
    assert base_of(parse_dockerfile("FROM scratch"), choices()) is None


def test_pins_are_written_and_all_else_is_kept() -> None:
    text = (
        "# syntax=docker/dockerfile:1\r\nARG B=a:1\r\nFROM  --platform=linux/arm64 ${B}\tAS a  # odd\r\n"
    ).replace("  # odd", "") + (
        "RUN echo ${B} a:1\nFROM \\\n  b:2 AS z\nCOPY --from=c:3 c:3 /\n"
        "RUN --mount=type=bind,from=c:3,target=/a:1 a:1\nCOPY --from=a / /\n"
    )
    keys = {(name, "arm64"): name + PIN for name in ("a:1", "b:2", "c:3")}
    expected = (
        text.replace("arm64 ${B}", f"arm64 a:1{PIN}")
        .replace("  b:2", f"  b:2{PIN}")
        .replace("from=c:3", f"from=c:3{PIN}")
    )
    written = with_pins(parse_dockerfile(text), choices(), keys)
    assert written == expected
    assert with_pins(parse_dockerfile(text), choices(), {}) == text


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("RUN true\nFROM a", 1, "before the first FROM"),
        ("FROM a b", 1, "neither"),
        ("ARG X\nFROM $X", 2, "no value"),
        ("FROM --platform=windows/amd64 a", 1, "does not have"),
        ("FROM a\nRUN <<EOF\ntrue", 2, "does not end"),
        ("# nothing\n", None, "no FROM"),
    ],
)
def test_what_means_nothing_is_named_with_its_line(text: str, line: int | None, message: str) -> None:
    with pytest.raises(DockerfileFailed, match=message) as failed:
        named(text)
    assert failed.value.findings[0].line == line


def test_an_unknown_stage_is_named_with_those_that_are_there() -> None:
    with pytest.raises(DockerfileFailed) as failed:
        named("FROM a AS build\nFROM b AS run", "test")
    assert "build, run" in str(failed.value.hint)


def test_a_dockerfile_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DockerfileFailed, match="cannot be read"):
        read_dockerfile(tmp_path / "Dockerfile")


def test_the_projects_of_broken_dockerfiles_are_refused_at_their_line() -> None:
    for folder, line in (("dockerfile-no-from", 2), ("dockerfile-open-heredoc", 3)):
        with pytest.raises(DockerfileFailed) as failed:
            images_of(read_dockerfile(PROJECTS / folder / "Dockerfile"), choices())
        assert failed.value.findings[0].line == line


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["FROM a", "\\", "\n", "RUN x", " <<E", "E", "#", "ARG A=$A", "$", "{", "\r", "é", "--from="]
        )
    ).map("".join)
)
def test_any_text_is_read_or_refused_and_without_pins_it_stays(text: str) -> None:
    try:
        dockerfile = parse_dockerfile(text)
        assert with_pins(dockerfile, choices(), {}) == text
    except DockerfileFailed:
        return
    for one in dockerfile.instructions:
        written = text[one.start : one.end].lstrip(
            "\\ \t\r\n"
        )  # an instruction may begin with nothing, continued
        # A backslash within a line is part of a (wrong) instruction's name.
        assert written.upper().startswith(one.name.lstrip("\\")[:1])
        assert text.count("\n", 0, one.start) == one.line - 1
