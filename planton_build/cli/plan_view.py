"""What people and machines are shown of a plan: one view of it, as text, as JSON, and on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from planton_build.audit.size import human
from planton_build.cli.console import Console
from planton_build.cli.plan_values import NONE, STYLES, PlanView, Row, ShownStep
from planton_build.deploy.change import MASK, Change
from planton_build.deploy.code_change import CodeDifference, PackageChange
from planton_build.deploy.steps import (
    DeleteFunction,
    MoveAlias,
    SetAspect,
    Step,
    WaitGone,
    WaitSettled,
    described,
    label,
    undone_by,
)

if TYPE_CHECKING:
    from planton_build.deploy.functions import Deployment

CodeOf: TypeAlias = Callable[["Deployment"], CodeDifference | None]
"""Gives what changes in a function's code, where the records of both builds are at hand."""

_PACKAGES_SHOWN = 8
_HIDDEN = frozenset({MASK, "unreadable"})
"""What a secret may be shown as; anything else that comes in its place is masked here once more."""


def no_code(_: Deployment) -> CodeDifference | None:
    """Know nothing of any code."""
    return None


def show_plan(console: Console, deployments: Sequence[Deployment], *, code_of: CodeOf = no_code) -> None:
    """Show what would change: tables on a terminal, plain lines anywhere else, nothing when quiet.

    `code_of` tells what differs between the code that is deployed and that which would be.
    """
    if console.quiet or console.as_json:
        return
    views = [view_of(one, code_of(one)) for one in deployments]
    if console.out.isatty() and console.environment.get("TERM") != "dumb":
        from planton_build.cli.plan_terminal import draw, terminal  # rich: only where a person is looking

        draw(terminal(console), views)
        return
    for view in views:
        _write(console, view)


def _write(console: Console, view: PlanView) -> None:
    heading = f"{view.sign} {view.name} ({view.region}): {view.verb}"
    console.print(console.styled(heading, STYLES.get(view.verb, "dim")))
    for row in view.rows:
        before = "" if row.now is None else f"{row.now} → "
        more = f", {view.code}" if row.field == "code" and view.code else ""
        console.print(f"    {row.field}: {before}{NONE if row.planned is None else row.planned}{more}")
        if row.field == "code" and view.packages:
            console.print(f"      {', '.join(view.packages)}")
    for field, source in view.sources:
        console.print(f"    {field} is from {source}")
    if view.ordered:
        for number, step in enumerate(view.steps, start=1):
            undone = f" (undone: {step.undone})" if step.undone else ""
            console.print(f"    {number}. {step.text}{undone}")
    for note in view.notes:
        console.print(f"    note: {note}")
    for warning in view.warnings:
        console.print(f"    {console.styled('warning', 'yellow')}: {warning}")


def view_of(deployment: Deployment, code: CodeDifference | None = None) -> PlanView:
    """Return what is to be shown of a planned function. Waits are no steps of their own here."""
    plan = deployment.plan
    known = code if code is not None and code.known else None
    created = plan.observed is None or plan.replaces
    return PlanView(
        name=one_line(plan.desired.name),
        region=one_line(deployment.region),
        verb=verb(deployment),
        rows=tuple(_row(change) for change in plan.changes),
        code=code_phrase(known) if known else "",
        packages=package_phrases(known) if known else (),
        sources=tuple((one_line(one.field), one_line(one.source)) for one in plan.desired.resolved),
        steps=tuple(
            # What is created stays when a later step fails: nothing relied on it.
            ShownStep(one_line(described(step)), one_line("" if created else undone_by(step) or ""))
            for step in plan.steps
            if not isinstance(step, WaitSettled | WaitGone)
        ),
        ordered=_ordered(plan.steps),
        notes=tuple(one_line(note) for note in plan.notes),
        warnings=tuple(one_line(warning) for warning in plan.warnings),
    )


def plan_json(deployment: Deployment, code: CodeDifference | None = None) -> dict[str, object]:
    """Return a planned function as the contract of docs/json.md has it: values whole, secrets masked."""
    plan = deployment.plan
    return {
        "function_name": plan.desired.name,
        "region": deployment.region,
        "action": verb(deployment),
        "changes": [
            {
                "field": change.field,
                "before": _masked(change, change.before),
                "after": _masked(change, change.after),
                "secret": change.secret,
            }
            for change in plan.changes
        ],
        "code": _code_json(code) if code is not None and code.known else None,
        "references": [{"field": one.field, "source": one.source} for one in plan.desired.resolved],
        "steps": [
            {
                "step": label(step),
                "description": described(step),
                "undone_by": None if plan.observed is None or plan.replaces else undone_by(step),
            }
            for step in plan.steps
        ],
        "notes": list(plan.notes),
        "warnings": list(plan.warnings),
    }


def verb(deployment: Deployment) -> str:
    """Return what would become of a function: `create`, `update`, `replace` or `unchanged`."""
    if deployment.plan.empty:
        return "unchanged"
    if deployment.plan.replaces:
        return "replace"
    return "create" if deployment.plan.observed is None else "update"


def code_phrase(code: CodeDifference) -> str:
    """Return how code changes, in one phrase: `+2 packages, 1 changed, −310.0 kB`."""
    found = [
        f"{sign}{_counted(len(some))}" for sign, some in (("+", code.added), ("−", code.removed)) if some
    ]
    if code.changed:
        found.append(f"{_counted(len(code.changed))} changed")
    if not found:
        found.append("same packages")
    return ", ".join([*found, size_phrase(code.size)])


def package_phrases(code: CodeDifference) -> tuple[str, ...]:
    """Return the packages that differ, and how many more there are than fit."""
    shown = [_package(one) for one in code.packages]
    more = len(shown) - _PACKAGES_SHOWN
    return (*shown[:_PACKAGES_SHOWN], *([f"and {more} more"] if more > 0 else []))


def size_phrase(size: int) -> str:
    """Return a difference in bytes, with its sign."""
    if not size:
        return "same size"
    return f"{'+' if size > 0 else '−'}{human(abs(size))}"


def one_line(text: str) -> str:
    """Return a text with escapes for what a terminal would obey, and what hides text or turns it round."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def _counted(number: int) -> str:
    return f"{number} package{'s' if number != 1 else ''}"


def _package(one: PackageChange) -> str:
    if one.before is None:
        return one_line(f"+{one.name} {one.after}")
    if one.after is None:
        return one_line(f"−{one.name} {one.before}")
    return one_line(f"{one.name} {one.before} → {one.after}")


def _row(change: Change) -> Row:
    now, planned = _masked(change, change.before), _masked(change, change.after)
    return Row(
        one_line(change.field),
        None if now is None else one_line(now),
        None if planned is None else one_line(planned),
    )


def _masked(change: Change, value: str | None) -> str | None:
    if not change.secret or value is None:
        return value
    return value if value in _HIDDEN else MASK


def _ordered(steps: Iterable[Step]) -> bool:
    return any(isinstance(step, MoveAlias | SetAspect | DeleteFunction) for step in steps)


def _code_json(code: CodeDifference) -> dict[str, object]:
    return {
        "packages": [{"name": one.name, "before": one.before, "after": one.after} for one in code.packages],
        "size_change": code.size,
        "unzipped_size_change": code.unzipped_size,
    }
