"""`planton-deploy invoke`."""

from __future__ import annotations

from pathlib import Path

import click

from planton_build.cli.commands import aws_options, output_options, with_console
from planton_build.cli.console import Console


@click.command(
    "invoke",
    short_help="Run a deployed function once.",
    epilog="""Example: planton-deploy invoke price-tag --local --payload '{"price": "12.5"}'""",
)
@click.argument("name")
@click.option("--payload", default="{}", show_default=True, help="The event, as JSON; @FILE reads a file.")
@click.option(
    "--manifest",
    "paths",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Where to look for NAME's manifest.",
)
@click.option("--qualifier", default="", help="A version or an alias; otherwise the newest code ($LATEST).")
@click.option("--any-python", is_flag=True, help="With --local: run pure Python with another Python version.")
@aws_options
@output_options
@with_console
def invoke(
    console: Console,
    name: str,
    payload: str,
    paths: tuple[Path, ...],
    qualifier: str,
    any_python: bool,
    local: bool,
    region: str | None,
    profile: str | None,
) -> int:
    """Run the deployed function NAME once, and print its answer (stdout) and its log (stderr).

    With --local, what the embedded AWS holds runs on this machine: a ZIP through the Runtime API, an image in
    the container engine.
    """
    from planton_build.cli.invocation import event_of, run_deployed, run_local

    event = event_of(payload)
    if local:
        error = run_local(console, name, event, paths, qualifier=qualifier, any_python=any_python)
    else:
        error = run_deployed(console, name, event, region, profile, qualifier)
    if error is None:
        return 0
    if not console.as_json:
        console.error(error)
    return error.exit_code
