from __future__ import annotations

from pathlib import Path

import pytest

from planton_build.cli.github import active, annotation, append_summary
from planton_build.errors import Finding


@pytest.mark.parametrize(
    ("value", "expected"), [("true", True), ("", False), ("false", False), (None, False)]
)
def test_it_is_active_where_github_says_so(value: str | None, expected: bool) -> None:
    assert active({} if value is None else {"GITHUB_ACTIONS": value}) is expected


def test_an_annotation_has_githubs_form() -> None:
    finding = Finding("manifest_invalid", "wrong", Path("a/b.yaml"), 3, 5, "right it")
    assert annotation("error", finding, {}) == (
        "::error file=a/b.yaml,line=3,col=5,title=manifest_invalid::wrong Hint: right it\n"
    )
    assert annotation("warning", Finding("warning", "said"), {}) == "::warning title=warning::said\n"


def test_nothing_in_a_finding_can_begin_another_command() -> None:
    finding = Finding("x", "100%\r\n::set-env name=A::b", Path("a,b:c%.yaml"), hint="::add-mask::x\n")
    text = annotation("error", finding, {})
    assert text.count("\n") == 1
    assert "\r" not in text
    assert text == (
        "::error file=a%2Cb%3Ac%25.yaml,title=x::100%25%0D%0A::set-env name=A::b Hint: ::add-mask::x%0A\n"
    )


def test_a_file_is_named_from_the_checkout_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "checkout" / "functions"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    environment = {"GITHUB_WORKSPACE": str(tmp_path / "checkout")}
    for path in (Path("lambda.yaml"), inside / "lambda.yaml"):
        assert "file=functions/lambda.yaml," in annotation("error", Finding("x", "y", path), environment)
    elsewhere = tmp_path / "elsewhere.yaml"
    assert f"file={elsewhere}," in annotation("error", Finding("x", "y", elsewhere), environment)


def test_a_summary_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(path)}
    append_summary(environment, "één\n")
    append_summary(environment, "two\n")
    assert path.read_text(encoding="utf-8") == "één\ntwo\n"


@pytest.mark.parametrize("environment", [{}, {"GITHUB_ACTIONS": "true"}, {"GITHUB_STEP_SUMMARY": "s.md"}])
def test_without_a_job_there_is_no_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    append_summary(environment, "text")
    assert list(tmp_path.iterdir()) == []
