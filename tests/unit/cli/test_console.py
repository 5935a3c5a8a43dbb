from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planton_build.cli.console import printable, shown_path, wants_colour
from planton_build.errors import ConfigInvalid, Finding, ManifestInvalid
from planton_build.events import Note, StepAdvanced, StepFinished, StepStarted

Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("environment", "terminal", "colour"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, False, True),
    ],
)
def test_who_gets_colour(stream: Any, environment: dict[str, str], terminal: bool, colour: bool) -> None:
    assert wants_colour(stream(terminal=terminal), environment) == colour


def test_paths_are_shown_as_one_would_type_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert shown_path(tmp_path / "work" / "a" / "b.yaml") == str(Path("a/b.yaml"))
    assert shown_path(tmp_path / "other.yaml") == str(tmp_path / "other.yaml")
    assert shown_path(Path("a/b.yaml")) == str(Path("a/b.yaml"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 函\n\tnext", "plain é 函\n\tnext"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb\x07\x00\x7f", "a\\x0db\\x07\\x00\\x7f"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_an_error_is_placed_explained_and_followed_by_a_hint(console: Make) -> None:
    made = console()
    made.error(ConfigInvalid("it is \x1b[2Jwrong", hint="do \x07this", file=Path("x.toml"), line=3, column=5))
    assert made.err.getvalue() == (
        "error[config_invalid]: x.toml:3:5: it is \\x1b[2Jwrong\n  hint: do \\x07this\n"
    )
    assert made.out.getvalue() == ""


def test_every_finding_is_shown_with_its_rule(console: Make) -> None:
    made = console()
    found = [Finding("manifest_invalid", "one", rule="lambda.memory"), Finding("manifest_invalid", "two")]
    made.error(ManifestInvalid("2 mistakes", findings=found))
    assert made.err.getvalue().splitlines() == [
        "error[manifest_invalid]: one (lambda.memory)",
        "error[manifest_invalid]: two",
    ]


def test_an_error_as_json_is_the_contract(console: Make) -> None:
    made = console(as_json=True)
    made.error(ConfigInvalid("wrong", file=Path("x.toml"), line=3))
    assert json.loads(made.out.getvalue()) == {
        "errors": [
            {
                "code": "config_invalid",
                "message": "wrong",
                "file": "x.toml",
                "line": 3,
                "column": None,
                "hint": None,
            }
        ]
    }
    assert made.err.getvalue() == ""


def test_github_gets_annotations_also_with_json(console: Make) -> None:
    made = console({"GITHUB_ACTIONS": "true"}, as_json=True)
    made.error(ConfigInvalid("wrong"))
    assert made.err.getvalue() == "::error title=config_invalid::wrong\n"


@pytest.mark.parametrize(
    ("options", "level", "shown"),
    [
        ({}, "info", "note: f: said\n"),
        ({}, "warning", "warning: f: said\n"),
        ({"quiet": True}, "info", ""),
        ({"quiet": True}, "warning", "warning: f: said\n"),
    ],
)
def test_notes_go_to_stderr(console: Make, options: dict[str, bool], level: Any, shown: str) -> None:
    made = console(**options)
    made.listen(Note("f", "said", level))
    assert (made.out.getvalue(), made.err.getvalue()) == ("", shown)


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        ({}, {}),
        ({"terminal": True, "quiet": True}, {}),
        ({"terminal": True, "as_json": True}, {}),
        ({"terminal": True}, {"TERM": "dumb"}),
        ({"terminal": True}, {"CI": "1"}),
    ],
)
def test_steps_are_not_drawn_where_nobody_looks(
    console: Make, options: dict[str, bool], environment: dict[str, str]
) -> None:
    made = console(environment, **options)
    for event in (StepStarted("f", "s", 3), StepAdvanced("f", "s", 1), StepFinished("f", "s")):
        made.listen(event)
    made.stop_progress()
    assert (made.out.getvalue(), made.err.getvalue()) == ("", "")


def test_steps_are_drawn_on_a_terminal_and_gone_afterwards(console: Make) -> None:
    made = console(terminal=True)
    made.listen(StepFinished("f", "earlier"))
    assert made.err.getvalue() == ""
    for event in (StepStarted("orders", "wheels", 3_000_000, "bytes"), StepAdvanced("orders", "wheels", 10)):
        made.listen(event)
    made.stop_progress()
    made.stop_progress()
    assert "orders" in made.err.getvalue()
    assert made.out.getvalue() == ""


def test_a_table_is_aligned_and_has_no_trailing_space(console: Make) -> None:
    made = console()
    made.table(("name", "size"), [("a", "10"), ("long-name", "9")], right=(1,))
    assert made.out.getvalue() == "name       size\na            10\nlong-name     9\n"


@pytest.mark.parametrize("option", ["quiet", "as_json"])
def test_only_what_was_asked_for_is_said(console: Make, option: str) -> None:
    made = console(**{option: True})
    made.print("a line")
    made.table(("a",), [("b",)])
    assert made.out.getvalue() == ""
    made.result("asked for")
    assert made.out.getvalue() == "asked for\n"


def test_a_summary_that_cannot_be_written_warns(console: Make, tmp_path: Path) -> None:
    made = console({"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path)})
    made.summary("text")
    assert "warning: the job summary cannot be written: " in made.err.getvalue()
