"""`planton-deploy local`: the embedded AWS of this machine."""

from __future__ import annotations

import click

from planton_build.cli.commands import output_options, state_folder, with_console
from planton_build.cli.console import Console


@click.group(
    "local", short_help="The embedded AWS of this machine.", epilog="Example: planton-deploy local status"
)
def local_group() -> None:
    """Start, stop and look at the embedded AWS that --local uses."""


@local_group.command("start", epilog="Example: planton-deploy local start")
@output_options
@with_console
def local_start(console: Console) -> None:
    """Start the embedded AWS unless it runs, and print its endpoint."""
    from planton_build.local.server import ensure_server

    running = ensure_server(state_folder())
    if console.as_json:
        console.json({"endpoint": running.endpoint, "pid": running.pid})
    else:
        console.result(running.endpoint)


@local_group.command("status", epilog="Example: planton-deploy local status")
@output_options
@with_console
def local_status(console: Console) -> None:
    """Say whether the embedded AWS runs, and where."""
    from planton_build.local.server import status

    running = status(state_folder())
    if console.as_json:
        console.json(
            {"endpoint": running.endpoint if running else None, "pid": running.pid if running else None}
        )
    else:
        console.result(f"running at {running.endpoint} (process {running.pid})" if running else "not running")


@local_group.command("stop", epilog="Example: planton-deploy local stop")
@output_options
@with_console
def local_stop(console: Console) -> None:
    """Stop the embedded AWS. What it held is gone, and nothing is left behind."""
    from planton_build.local.server import stop_server

    stopped = stop_server(state_folder())
    if console.as_json:
        console.json({"stopped": stopped})
    else:
        console.print("stopped" if stopped else "was not running")
