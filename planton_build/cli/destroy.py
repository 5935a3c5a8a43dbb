"""`planton-deploy destroy`: delete functions with what hangs on them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from planton_build.cli.commands import aws_options, output_options, with_console
from planton_build.cli.console import Console, printable
from planton_build.cli.figures import count, moment
from planton_build.cli.targets import Chosen, functions_argument
from planton_build.errors import ConfigInvalid, ConfirmationRequired

if TYPE_CHECKING:
    from planton_build.deploy.life.destroy import Doomed


@click.command(
    "destroy",
    short_help="Delete functions with their versions, triggers and alarms.",
    epilog="Example: planton-deploy destroy price-tag --logs",
)
@functions_argument
@click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can answer.")
@click.option("--logs", is_flag=True, help="Delete the log groups too.")
@aws_options
@output_options
@with_console
def destroy(console: Console, functions: tuple[str, ...], yes: bool, logs: bool, **aws: Any) -> None:
    """Delete every function below PATH, or named NAME, for good, after asking for its name.

    Versions, aliases, URLs and policies go with a function; so do the event source mappings that invoke it
    and the alarms that planton-deploy has made. Logs go with --logs only. Roles, artifacts, queues, topics
    and manifests stay.
    """
    from planton_build.deploy.life.destroy import destroy_all, find_doomed

    if not functions:
        raise ConfigInvalid(
            "destroy has to be told what to delete", hint="name functions, or a folder (`.` is this one)"
        )
    doomed = find_doomed(Chosen(**aws).find(functions).targets, logs=logs)
    left = [one for one in doomed if not one.empty]
    for one in doomed:
        _show(console, one)
    if left and not yes:
        _confirm(console, left)
    done = destroy_all(doomed, console.listen)
    console.stop_progress()
    if console.as_json:
        results = zip(doomed, done, strict=True)
        console.json({"functions": [_json(one) | {"calls": result.calls} for one, result in results]})
    console.print(f"{len(left)} destroyed, {len(doomed) - len(left)} were not there")


def _show(console: Console, one: Doomed) -> None:
    """Tell what goes: nobody confirms what was not shown, so `_confirm` refuses where nothing is shown."""
    name = f"{one.target.name} ({one.target.region})"
    if one.empty:
        console.print(console.styled(f"= {name}: not there", "dim"))
        return
    console.print(console.styled(f"- {name}: delete", "red"))
    for line in _lines(one):
        console.print(printable(f"    {line}"))


def _lines(one: Doomed) -> list[str]:
    lines = []
    if one.observed is not None:
        lines.append(f"the function, last changed {moment(one.observed.last_modified)} UTC")
    if one.versions:
        lines.append(count(one.versions, "published version"))
    if one.aliases:
        lines.append(f"aliases: {', '.join(one.aliases)}")
    lines += [f"URL: {url}" for url in one.urls]
    lines += [f"event source: {mapping.source or mapping.uuid}" for mapping in one.event_sources]
    lines += [f"alarm: {name}" for name in one.alarms]
    return [*lines, f"log group: {one.log_group}"] if one.log_group else lines


def _confirm(console: Console, left: list[Doomed]) -> None:
    """Have the name of each function typed. Raises ConfirmationRequired where nobody can, or for another."""
    names = list(dict.fromkeys(one.target.name for one in left))
    if console.as_json or console.quiet or not (sys.stdin.isatty() and console.err.isatty()):
        raise ConfirmationRequired(
            f"destroying {', '.join(names)} was not confirmed, and nobody can be asked here",
            hint="look at what goes, then pass --yes",
        )
    for name in names:
        console.err.write(f"Type the name of the function to delete it ({name}): ")
        console.err.flush()
        if sys.stdin.readline().strip() != name:
            raise ConfirmationRequired(
                f"destroying {name} was not confirmed; nothing was deleted", hint="type its name exactly"
            )


def _json(one: Doomed) -> dict[str, object]:
    return {
        "function_name": one.target.name,
        "region": one.target.region,
        "deleted": not one.empty,
        "versions": one.versions,
        "aliases": list(one.aliases),
        "urls": list(one.urls),
        "event_sources": [{"uuid": mapping.uuid, "source": mapping.source} for mapping in one.event_sources],
        "alarms": list(one.alarms),
        "log_group": one.log_group or None,
    }
