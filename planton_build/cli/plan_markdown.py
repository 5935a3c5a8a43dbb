"""A plan as Markdown, for pull requests and the summary pages of CI jobs.

What a manifest says is shown, and never obeyed: every sign that Markdown or HTML could take for structure is
written as a character reference, values stand in `<code>`, where nobody is mentioned and nothing is linked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from planton_build.cli.plan_values import NONE, PlanView
from planton_build.cli.plan_view import CodeOf, no_code, one_line, view_of

if TYPE_CHECKING:
    from planton_build.deploy.functions import Deployment

MAX_LENGTH = 60_000
"""Characters of the whole text; GitHub takes 65,536 in a comment (GitHub Docs, "Issue comments")."""
_STRUCTURE = re.compile(
    r"""[^\w .,:;/=()%'"?→−…•—+-]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=[Ww]{3})\.|:(?! )""",
)
"""What Markdown, GitHub's additions to it, or HTML may take for more than a letter."""
_MAX_FIELDS = 12
"""Fields that are named in the table above; all of them are below."""


def plan_markdown(deployments: Sequence[Deployment], *, code_of: CodeOf = no_code) -> str:
    """Return a table of all functions, and a collapsed section for each that would change or is remarked on.

    Sections that would make the whole longer than `MAX_LENGTH` are left out, which is said at its end.
    """
    views = [view_of(one, code_of(one)) for one in deployments]
    lines = [
        "### planton-deploy",
        "",
        "| function | region | action | changes |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {escaped(view.name)} | {escaped(view.region)} | {view.verb} | {_fields(view)} |" for view in views
    ]
    text = "\n".join(lines) + "\n\n"
    left_out = 0
    for view in views:
        if not (view.rows or view.notes or view.warnings):
            continue
        section = _section(view)
        if left_out or len(text) + len(section) > MAX_LENGTH:
            left_out += 1
        else:
            text += section
    if left_out:
        text += (
            f"{left_out} more functions would make this page too long; `planton-deploy plan` shows them.\n\n"
        )
    return text


def escaped(text: str) -> str:
    """Return a text that Markdown shows letter by letter, outside of `<code>`: nobody is mentioned."""
    return _STRUCTURE.sub(_reference, one_line(text))


def _reference(match: re.Match[str]) -> str:
    # Mentions and issues are looked for after the rendering; the space of no width parts them.
    parted = "&#8203;" if match[0] in "@#" else ""
    return f"&#{ord(match[0])};{parted}"


def code(text: str) -> str:
    """Return a value as it is, for a cell of a table."""
    # Nobody is looked for in <code>, but addresses are. A space of no width would be copied with the value.
    shown = re.sub("&#58;(?!/)", ":", escaped(text).replace("&#8203;", ""))
    return f"<code>{shown}</code>" if text else ""


def _fields(view: PlanView) -> str:
    shown = [escaped(row.field) for row in view.rows[:_MAX_FIELDS]]
    more = len(view.rows) - _MAX_FIELDS
    return ", ".join([*shown, *([f"and {more} more"] if more > 0 else [])])


def _section(view: PlanView) -> str:
    title = f"{escaped(view.sign)} {code(view.name)} ({escaped(view.region)}): {view.verb}"
    parts = [f"<details><summary>{title}</summary>", "", *_rows(view)]
    if view.sources:
        parts += [f"- {code(field)} is from {code(source)}" for field, source in view.sources] + [""]
    if view.steps:
        parts += [f"{number}. {_step(view, number)}" for number in range(1, len(view.steps) + 1)] + [""]
    parts += [f"> note: {escaped(note)}\n" for note in view.notes]
    parts += [f"> **warning**: {escaped(warning)}\n" for warning in view.warnings]
    return "\n".join([*parts, "</details>", "", ""])


def _rows(view: PlanView) -> list[str]:
    if not view.rows:
        return []
    lines = ["| field | now | planned |", "| --- | --- | --- |"]
    for row in view.rows:
        planned = NONE if row.planned is None else code(row.planned)
        if row.field == "code" and view.code:
            planned += "<br>" + "<br>".join(escaped(text) for text in (view.code, *view.packages))
        lines.append(f"| {code(row.field)} | {code(row.now or '')} | {planned} |")
    return [*lines, ""]


def _step(view: PlanView, number: int) -> str:
    step = view.steps[number - 1]
    return escaped(step.text) + (f" (undone: {escaped(step.undone)})" if step.undone else "")
