"""A plan on a terminal, drawn by rich: tables as wide as the window, long values cut in their middle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from planton_build.cli.console import wants_colour
from planton_build.cli.plan_values import NONE, STYLES, PlanView, Row

if TYPE_CHECKING:
    from planton_build.cli.console import Console

_INDENT = 4
_GAP = 2
_NARROW = 56
"""Cells of a window in which tables would be nothing but cut values; there are lines instead."""
_FIELD = 30
"""Cells of a field's name at most, or a third of the window: environment variables may be longer."""
_ABSENT = "—"


def terminal(console: Console) -> RichConsole:
    """Return rich's console for stdout, as wide as the window, coloured as the user wants it."""
    colour = wants_colour(console.out, console.environment)
    return RichConsole(
        file=console.out,
        force_terminal=True,
        color_system="standard" if colour else None,
        no_color=not colour,
        highlight=False,
        markup=False,
        emoji=False,
        _environ=dict(console.environment),
    )


def draw(rich: RichConsole, views: Sequence[PlanView]) -> None:
    """Draw planned functions, one below the other."""
    for view in views:
        _draw(rich, view)


def _draw(rich: RichConsole, view: PlanView) -> None:
    style = STYLES.get(view.verb, "dim")
    heading = Text.assemble(
        (f"{view.sign} {view.name}", f"bold {style}"), f" ({view.region}): ", (view.verb, style)
    )
    rich.print(heading, soft_wrap=True)
    if view.rows and rich.width > _NARROW:
        _indented(rich, _changes(view, rich.width - _INDENT))
    elif view.rows:
        _indented(rich, Group(*(_plain(row) for row in view.rows)))
    if view.code:
        _indented(rich, Text.assemble(("code: ", "cyan"), (view.code, "bold"), *_packages(view)))
    for field, source in view.sources:
        _indented(rich, Text.assemble((field, "cyan"), " is from ", source))
    if view.steps:
        _indented(rich, _steps(view))
    for note in view.notes:
        _indented(rich, Text.assemble(("note: ", "dim"), note))
    for warning in view.warnings:
        _indented(rich, Text.assemble(("warning: ", "bold yellow"), warning))
    if view.rows or view.sources or view.notes or view.warnings:
        rich.print()


def _indented(rich: RichConsole, what: RenderableType) -> None:
    rich.print(Padding(what, (0, 0, 0, _INDENT), expand=False))


def _changes(view: PlanView, width: int) -> Table:
    """Return the table of changes. A new function has nothing now, so it has no such column."""
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold dim")
    both = any(row.now is not None for row in view.rows)
    field, now, planned = _widths(view.rows, width, both=both)
    for title in ("field", "now", "planned") if both else ("field", "planned"):
        table.add_column(title, no_wrap=True)
    for row in view.rows:
        name = Text(shortened(row.field, field), "cyan")
        after = _planned(row, planned)
        before = Text(shortened(_ABSENT if row.now is None else row.now, now), "dim")
        table.add_row(name, before, after) if both else table.add_row(name, after)
    return table


def _widths(rows: Sequence[Row], width: int, *, both: bool) -> tuple[int, int, int]:
    """Return the cells of the three columns at most; what one does not need, the other gets."""
    field = min(max(_FIELD, width // 3), max(cell_len(row.field) for row in rows))
    field = max(field, len("field"))
    if not both:
        return field, 0, width - field - _GAP
    free = width - field - 2 * _GAP
    now = max(len("now"), *(cell_len(row.now or _ABSENT) for row in rows))
    planned = max(len("planned"), *(cell_len(row.planned or NONE) for row in rows))
    now = min(now, max(free // 2, free - planned))
    return field, now, free - now


def _planned(row: Row, width: int) -> Text:
    return Text(shortened(NONE if row.planned is None else row.planned, width), _after_style(row))


def _after_style(row: Row) -> str:
    return "red" if row.planned is None else ""


def _plain(row: Row) -> Text:
    before = "" if row.now is None else f"{row.now} → "
    after = (NONE if row.planned is None else row.planned, _after_style(row))
    return Text.assemble((row.field, "cyan"), ": ", before, after)


def _packages(view: PlanView) -> list[str | tuple[str, str]]:
    """Return the packages as parts of a line, each after a comma."""
    found: list[str | tuple[str, str]] = []
    for number, text in enumerate(view.packages):
        style = {"+": "green", "−": "red"}.get(text[:1], "yellow")
        found += [", " if number else ": ", (text, style)]
    return found


def _steps(view: PlanView) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(justify="right", style="bold", no_wrap=True)
    table.add_column()
    for number, step in enumerate(view.steps, start=1):
        undone = (f"  ↩ {step.undone}", "dim") if step.undone else ""
        table.add_row(f"{number}.", Text.assemble(step.text, undone))
    return table


def shortened(text: str, width: int) -> str:
    """Return a text of at most `width` cells, cut in the middle: digests and ARNs differ at their ends."""
    if cell_len(text) <= width:
        return text
    head = _taken(text, width // 2)
    tail = _taken(text[::-1], width - 1 - cell_len(head))[::-1]
    return f"{head}…{tail}"


def _taken(text: str, width: int) -> str:
    used, found = 0, ""
    for letter in text:
        used += cell_len(letter)
        if used > width:
            break
        found += letter
    return found
