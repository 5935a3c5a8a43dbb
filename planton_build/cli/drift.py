"""`planton-deploy drift`: where AWS is not as the manifests want it, since when, and who did that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from planton_build.cli.commands import aws_options, output_options, with_console
from planton_build.cli.console import Console, printable
from planton_build.cli.figures import moment
from planton_build.cli.targets import Chosen, functions_argument
from planton_build.errors import EXIT_CHANGES

if TYPE_CHECKING:
    from planton_build.deploy.life.drift import Drift
    from planton_build.deploy.life.trail import ChangeEvent

_CAUSES = {
    "aws": "changed in AWS",
    "manifest": "changed in the manifest",
    "both": "changed in both",
    "unknown": "",
}
_MOST_EVENTS = 10
"""Changes of one function that are shown to people; `--json` has all."""


@click.command(
    "drift",
    short_help="Show what was changed in AWS; exit 10 when anything differs.",
    epilog="Example: planton-deploy drift functions/ --who",
)
@functions_argument
@click.option("--who", is_flag=True, help="Ask CloudTrail who changed the functions that differ.")
@aws_options
@output_options
@with_console
def drift(console: Console, functions: tuple[str, ...], who: bool, **aws: Any) -> int:
    """Show where functions below PATH, or named NAME, differ from their manifests. Nothing is changed.

    The version that serves is the witness: what `$LATEST` has otherwise was changed in AWS, what the manifest
    has otherwise was changed there. A deployment would put all of it back as the manifest says.
    """
    from planton_build.deploy.life.drift import drift_of

    chosen = Chosen(**aws).find(functions)
    found = drift_of(chosen.deployments(), who=who)
    if console.as_json:
        console.json({"functions": [_json(one) for one in found]})
    for one in found:
        _show(console, one)
    drifted = sum(1 for one in found if not one.empty)
    console.print(f"{drifted} differ, {len(found) - drifted} as their manifests want")
    return EXIT_CHANGES if drifted else 0


def _show(console: Console, one: Drift) -> None:
    if one.empty:
        console.print(console.styled(f"= {one.name} ({one.region})", "dim"))
        return
    head = f"~ {one.name} ({one.region})" if one.deployed else f"- {one.name} ({one.region}): not deployed"
    console.print(console.styled(head, "yellow"))
    for difference in one.differences:
        change = difference.change
        before, after = change.before or "(none)", change.after or "(none)"
        cause = f"  [{_CAUSES[difference.cause]}]" if _CAUSES[difference.cause] else ""
        console.print(printable(f"    {change.field}: {before}, wanted {after}{cause}"))
    if one.since:
        console.print(f"    last changed {moment(one.since)} UTC")
    if one.witness:
        console.print(f"    compared with version {one.witness}")
    for note in (*one.notes, *([one.trail.note] if one.trail.note else [])):
        console.print(printable(f"    note: {note}"))
    for event in one.trail.events[:_MOST_EVENTS]:
        console.print(printable(f"    {_when(event)} {event.event} by {event.who or '?'}"))


def _when(event: ChangeEvent) -> str:
    return event.time.strftime("%Y-%m-%d %H:%M") if event.time else "?"


def _json(one: Drift) -> dict[str, object]:
    return {
        "function_name": one.name,
        "region": one.region,
        "deployed": one.deployed,
        "drift": not one.empty,
        "changes": [
            {
                "field": difference.change.field,
                "now": difference.change.before,
                "wanted": difference.change.after,
                "secret": difference.change.secret,
                "cause": difference.cause,
            }
            for difference in one.differences
        ],
        "since": one.since or None,
        "witness": one.witness or None,
        "notes": list(one.notes),
        "who": [
            {"event": event.event, "time": event.time.isoformat() if event.time else None, "who": event.who}
            for event in one.trail.events
        ],
        "who_note": one.trail.note or None,
    }
