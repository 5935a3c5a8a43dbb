"""Plans as people and machines see them: lines, tables, JSON, Markdown, pictures."""

from __future__ import annotations

import html
import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planton_build.artifact import Artifact, PackageShare
from planton_build.cli.console import Console
from planton_build.cli.plan_markdown import MAX_LENGTH, escaped, plan_markdown
from planton_build.cli.plan_markdown import code as code_cell
from planton_build.cli.plan_terminal import shortened
from planton_build.cli.plan_view import code_phrase, package_phrases, plan_json, show_plan, size_phrase
from planton_build.deploy.change import MASK, Change
from planton_build.deploy.code_change import CodeDifference, code_difference
from planton_build.deploy.desired import DesiredFunction
from planton_build.deploy.functions import Deployment
from planton_build.deploy.observed import read_answer
from planton_build.deploy.plan import Plan
from planton_build.deploy.references.resolver import Resolved
from planton_build.deploy.steps import (
    DeleteFunction,
    MoveAlias,
    PublishVersion,
    UpdateCode,
    UpdateConfiguration,
    WaitSettled,
)
from planton_build.manifest.code_source import S3Source
from planton_build.manifest.document import Manifest
from planton_build.publish.aws import Aws

DESIRED = DesiredFunction(
    *("render", "eu-west-1", "Zip", S3Source("b", "k", None), None, "arm64", "", "", "", "", 128, 3),
    *({"TOKEN": "hunter2"}, (), (), (), "", None),
)
OBSERVED = read_answer("render", {"Configuration": {"FunctionName": "render"}})
MEMORY = Change("memory_mb", "128", "256")
SECRET = Change("environment.TOKEN", MASK, MASK, secret=True)
MOVING = (UpdateCode(), WaitSettled(), PublishVersion(), MoveAlias("live", (10,)))
HOSTILE = "a|b`c`<img src=x>\n# @all [x](http://e.vil) \x1b[31m\u202e#12"


def planned(*changes: Change, desired: DesiredFunction = DESIRED, **plan: Any) -> Deployment:
    """A planned update of `render`."""
    given = {"observed": OBSERVED, "steps": (UpdateConfiguration(("memory_mb",)), WaitSettled()), **plan}
    return Deployment(cast("Manifest", None), Aws(), Plan(desired, changes=changes, **given))


def artifact(size: int, unzipped: int, **packages: str) -> Artifact:
    shares = (
        PackageShare("(sources)", "", 1, 1, 1),
        *(PackageShare(n, v, 1, 1, 1) for n, v in packages.items()),
    )
    return Artifact(Path(), "0" * 64, "", size, unzipped, 1, shares, ())


BEFORE = artifact(1_000_000, 3_000_000, numpy="2.1", pytz="2024", six="1.17")
AFTER = artifact(690_000, 2_000_000, numpy="2.2", six="1.17", orjson="3.10", attrs="25")
DIFFERENCE = code_difference(BEFORE, AFTER)


@pytest.fixture
def lines(console: Callable[..., Console]) -> Callable[..., list[str]]:
    """Show plans, and return the lines on stdout."""

    def show(*deployments: Deployment, code: CodeDifference | None = None, **options: Any) -> list[str]:
        made = console(options.pop("environment", {}), **options)
        show_plan(made, deployments, code_of=lambda _: code)
        return cast("Any", made.out).getvalue().splitlines()

    return show


# Code.


def test_the_difference_of_two_builds_is_in_packages_and_bytes() -> None:
    assert [one.name for one in DIFFERENCE.added] == ["attrs", "orjson"]
    assert [one.name for one in DIFFERENCE.removed] == ["pytz"]
    assert [(one.name, one.before, one.after) for one in DIFFERENCE.changed] == [("numpy", "2.1", "2.2")]
    assert (DIFFERENCE.size, DIFFERENCE.unzipped_size) == (-310_000, -1_000_000)


@pytest.mark.parametrize(("before", "after"), [(None, AFTER), (BEFORE, None), (None, None)])
def test_a_build_without_a_record_tells_no_difference(
    before: Artifact | None, after: Artifact | None
) -> None:
    assert code_difference(before, after) == CodeDifference(known=False)


def test_a_difference_is_told_in_words() -> None:
    assert code_phrase(DIFFERENCE) == "+2 packages, −1 package, 1 package changed, −310.0 kB"
    assert package_phrases(DIFFERENCE) == ("+attrs 25", "+orjson 3.10", "−pytz 2024", "numpy 2.1 → 2.2")
    assert code_phrase(code_difference(BEFORE, BEFORE)) == "same packages, same size"
    assert size_phrase(1) == "+1 B"


def test_of_many_packages_the_first_are_named() -> None:
    many = code_difference(artifact(1, 1), artifact(1, 1, **{f"p{n:02}": "1" for n in range(20)}))
    assert package_phrases(many)[-2:] == ("+p07 1", "and 12 more")


# Lines.


def test_without_a_terminal_a_plan_is_plain_lines(lines: Callable[..., list[str]]) -> None:
    gone = Change("description", "old", None)
    assert lines(planned(MEMORY, SECRET, gone, notes=("a remark",), warnings=("a danger",))) == [
        "~ render (eu-west-1): update",
        "    memory_mb: 128 → 256",
        "    environment.TOKEN: ••• → •••",
        "    description: old → (none)",
        "    note: a remark",
        "    warning: a danger",
    ]


@pytest.mark.parametrize(
    ("deployment", "heading"),
    [
        (planned(), "= render (eu-west-1): unchanged"),
        (planned(MEMORY, observed=None), "+ render (eu-west-1): create"),
        (planned(MEMORY, steps=(DeleteFunction(),)), "-/+ render (eu-west-1): replace"),
    ],
)
def test_the_heading_says_what_becomes_of_a_function(
    lines: Callable[..., list[str]], deployment: Deployment, heading: str
) -> None:
    assert lines(deployment)[0] == heading


def test_code_is_told_by_digests_packages_and_size(lines: Callable[..., list[str]]) -> None:
    shown = lines(planned(Change("code", "aaa", "bbb")), code=DIFFERENCE)
    assert shown[1] == "    code: aaa → bbb, +2 packages, −1 package, 1 package changed, −310.0 kB"
    assert shown[2] == "      +attrs 25, +orjson 3.10, −pytz 2024, numpy 2.1 → 2.2"
    assert lines(planned(Change("code", "aaa", "bbb")), code=CodeDifference())[1:] == ["    code: aaa → bbb"]


def test_steps_are_listed_with_what_undoes_them_where_their_order_matters(
    lines: Callable[..., list[str]],
) -> None:
    assert lines(planned(MEMORY, steps=MOVING))[2:] == [
        "    1. send the code (undone: the former code is sent again)",
        "    2. publish a version",
        "    3. move the alias live to it, by 10 % (undone: the alias goes back to the former version)",
    ]


def test_where_references_came_from_is_told_also_when_nothing_changes(
    lines: Callable[..., list[str]],
) -> None:
    resolved = (Resolved("role_arn", ("arn",), "roles/role.yaml:14 status.outputs.role_arn"),)
    shown = lines(planned(desired=replace(DESIRED, resolved=resolved)))
    assert shown[1] == "    role_arn is from roles/role.yaml:14 status.outputs.role_arn"


@pytest.mark.parametrize("option", ["quiet", "as_json"])
def test_nothing_is_printed_when_quiet_or_as_json(lines: Callable[..., list[str]], option: str) -> None:
    assert lines(planned(MEMORY), **{option: True}) == []
    assert lines(planned(MEMORY), terminal=True, **{option: True}) == []


def test_a_secret_that_comes_unmasked_is_masked(lines: Callable[..., list[str]]) -> None:
    leaking = planned(Change("environment.TOKEN", "hunter2", "hunter3", secret=True))
    for text in (
        str(lines(leaking)),
        str(lines(leaking, terminal=True)),
        str(plan_json(leaking)),
        plan_markdown([leaking]),
    ):
        assert "hunter" not in text


# The terminal.


def test_rich_is_not_imported_for_plain_lines() -> None:
    import subprocess

    code = (
        "import sys, planton_build.cli.plan_view, planton_build.cli.plan_markdown; "
        "sys.exit(any(name.split('.')[0] in ('rich', 'boto3') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("width", [20, 40, 57, 80, 200])
def test_tables_fit_the_window(lines: Callable[..., list[str]], width: int) -> None:
    digest = Change("code", "a" * 64, "b" * 64)
    long = Change("environment." + "X" * 90, MASK, None, secret=True)
    arn = Change("role", "arn:aws:iam::123456789012:role/" + "old" * 30, "漢字" * 40)
    shown = lines(
        planned(MEMORY, digest, long, arn, steps=MOVING, notes=("word " * 60,)),
        code=DIFFERENCE,
        terminal=True,
        environment={"COLUMNS": str(width), "NO_COLOR": "1"},
    )
    from rich.cells import cell_len

    heading, *rest = shown
    assert heading == "~ render (eu-west-1): update"
    assert max(cell_len(line) for line in rest) <= width
    assert any("256" in line for line in rest)


def test_a_long_value_is_cut_in_its_middle(lines: Callable[..., list[str]]) -> None:
    value = "arn:aws:iam::123456789012:role/" + "x" * 100 + "/render"
    (line,) = [
        one
        for one in lines(planned(Change("role", None, value)), terminal=True, environment={"COLUMNS": "80"})
        if "arn:" in one
    ]
    assert re.search(r"arn:aws:iam::\S+…x+/render", line)


def test_colour_follows_no_color(lines: Callable[..., list[str]]) -> None:
    assert "\x1b[" in "".join(lines(planned(MEMORY), terminal=True))
    assert "\x1b[" not in "".join(lines(planned(MEMORY), terminal=True, environment={"NO_COLOR": "1"}))


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_obeys_nothing_that_a_plan_quotes(lines: Callable[..., list[str]], terminal: bool) -> None:
    hostile = planned(Change(HOSTILE, HOSTILE, HOSTILE), notes=(HOSTILE,), warnings=(HOSTILE,))
    shown = "\n".join(lines(hostile, terminal=terminal, environment={"NO_COLOR": "1", "COLUMNS": "300"}))
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert r"\u202e" in shown


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.integers(1, 30))
def test_a_shortened_text_is_never_wider(text: str, width: int) -> None:
    from rich.cells import cell_len

    found = shortened(text, width)
    assert cell_len(found) <= max(width, 1)
    assert found == text or "…" in found


# JSON.


def test_json_has_steps_references_warnings_and_code() -> None:
    resolved = (Resolved("role_arn", ("arn",), "outputs.yaml"),)
    found = plan_json(
        planned(
            MEMORY,
            SECRET,
            desired=replace(DESIRED, resolved=resolved),
            steps=MOVING,
            notes=("n",),
            warnings=("w",),
        ),
        DIFFERENCE,
    )
    assert found["changes"] == [
        {"field": "memory_mb", "before": "128", "after": "256", "secret": False},
        {"field": "environment.TOKEN", "before": MASK, "after": MASK, "secret": True},
    ]
    assert found["references"] == [{"field": "role_arn", "source": "outputs.yaml"}]
    assert found["steps"] == [
        {"step": "code", "description": "send the code", "undone_by": "the former code is sent again"},
        {"step": "wait", "description": "wait until Lambda is ready", "undone_by": None},
        {"step": "publish", "description": "publish a version", "undone_by": None},
        {
            "step": "traffic",
            "description": "move the alias live to it, by 10 %",
            "undone_by": "the alias goes back to the former version",
        },
    ]
    assert (found["notes"], found["warnings"]) == (["n"], ["w"])
    assert found["code"] == {
        "packages": [
            {"name": "attrs", "before": None, "after": "25"},
            {"name": "orjson", "before": None, "after": "3.10"},
            {"name": "pytz", "before": "2024", "after": None},
            {"name": "numpy", "before": "2.1", "after": "2.2"},
        ],
        "size_change": -310_000,
        "unzipped_size_change": -1_000_000,
    }


# Markdown.


def test_markdown_has_a_table_and_one_collapsed_section_for_each_function() -> None:
    text = plan_markdown([planned(MEMORY, SECRET, steps=MOVING), planned()])
    assert text.startswith("### planton-deploy\n\n| function | region | action | changes |\n")
    assert "| render | eu-west-1 | update | memory_mb, environment.TOKEN |" in text
    assert "| render | eu-west-1 | unchanged |  |" in text
    assert text.count("<details>") == text.count("</details>") == 1
    assert "| <code>memory_mb</code> | <code>128</code> | <code>256</code> |" in text
    assert "2. publish a version" in text


def test_markdown_obeys_nothing_that_a_plan_quotes() -> None:
    change = Change(HOSTILE, HOSTILE, HOSTILE)
    resolved = (Resolved(HOSTILE, (), HOSTILE),)
    desired = replace(DESIRED, name=HOSTILE, region=HOSTILE, resolved=resolved)
    plain = plan_markdown(
        [
            planned(
                Change("x", "x", "x"),
                desired=replace(desired, name="x", region="x", resolved=(Resolved("x", (), "x"),)),
                notes=("x",),
                warnings=("x",),
            )
        ]
    )
    text = plan_markdown([planned(change, desired=desired, notes=(HOSTILE,), warnings=(HOSTILE,))])
    for sign in ("|", "<", "`", "\n", "[", "@", "*"):
        assert text.count(sign) == plain.count(sign), sign
    assert "://" not in text


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_escaped_markdown_is_the_text_itself_when_rendered(text: str) -> None:
    from planton_build.cli.plan_view import one_line

    found = escaped(text)
    assert html.unescape(found).replace("\u200b", "") == one_line(text)
    assert not set(re.sub(r"&#\d+;", "", found)) & set("|<>`[]*@#&!~\\\n$")
    cell = code_cell(text)
    assert html.unescape(cell.removeprefix("<code>").removesuffix("</code>")) == one_line(text)


def test_names_stay_readable_in_the_source_of_the_markdown() -> None:
    assert escaped("memory_mb price-tag _x_ www.e.vil") == "memory_mb price-tag &#95;x&#95; www&#46;e.vil"


def test_markdown_that_would_be_too_long_for_a_comment_leaves_sections_out() -> None:
    many = [planned(Change("description", None, "x" * 9000)) for _ in range(10)]
    text = plan_markdown(many)
    assert len(text) < MAX_LENGTH + 200
    assert text.count("<details>") == 6
    assert text.rstrip().endswith(
        "4 more functions would make this page too long; `planton-deploy plan` shows them."
    )


# The pictures of the pages.


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    path = Path(__file__).resolve().parents[3] / "docs" / "pictures.py"
    spec = importlib.util.spec_from_file_location("planton_docs_pictures", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words(svg: str) -> list[str]:
    """The texts of a picture: how rich writes the rest of an SVG may change with its version."""
    return [html.unescape(text).strip("\xa0 ") for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]


def test_the_pictures_are_up_to_date(pictures: ModuleType) -> None:
    drawn = pictures.pictures()
    assert sorted(drawn) == sorted(path.name for path in pictures.IMAGES.glob("plan-*.svg"))
    for name, svg in drawn.items():
        kept = (pictures.IMAGES / name).read_text(encoding="utf-8")
        assert words(svg) == words(kept), f"{name}: run python docs/pictures.py"
        assert len(words(svg)) > 10


def test_pictures_are_the_same_each_time_and_ask_nobody_for_anything(pictures: ModuleType) -> None:
    drawn = pictures.pictures()
    assert drawn == pictures.pictures()
    for svg in drawn.values():
        assert re.findall(r"https?://[^\s\"]+", svg) == ["http://www.w3.org/2000/svg"]
