"""`planton-deploy logs`: what functions have logged, and what they log."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from planton_build.cli.commands import aws_options, output_options, with_console
from planton_build.cli.console import Console, printable
from planton_build.cli.figures import Since
from planton_build.cli.targets import Chosen, functions_argument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planton_build.deploy.life.logs import LogLine


@click.command(
    "logs",
    short_help="Print what functions have logged; --follow goes on.",
    epilog="Example: planton-deploy logs price-tag --since 1h --filter ERROR --follow",
)
@functions_argument
@click.option(
    "--since",
    type=Since(),
    default="10m",
    show_default=True,
    help="How far back: 30s, 10m, 12h, 7d; or a time such as 2026-11-25T16:00 (UTC).",
)
@click.option("--follow", "-f", is_flag=True, help="Go on with what is logged from now on, until Ctrl-C.")
@click.option(
    "--filter", "pattern", default="", help="CloudWatch's filter pattern, such as ERROR or '?A ?B'."
)
@click.option("--version", "qualifier", default="", help="Only this version's: a number, or $LATEST.")
@aws_options
@output_options
@with_console
def logs(
    console: Console,
    functions: tuple[str, ...],
    since: datetime,
    follow: bool,
    pattern: str,
    qualifier: str,
    **aws: Any,
) -> None:
    """Print the logs of every function below PATH, or named NAME, in the order of time.

    With --json, each event is one line of JSON. Several functions are told apart by their names.
    """
    from planton_build.deploy.life.logs import LogQuery, follow_logs, read_logs

    targets = Chosen(**aws).find(functions).targets
    query = LogQuery(int(since.timestamp() * 1000), pattern, qualifier)
    lines = follow_logs(targets, query) if follow else read_logs(targets, query)
    try:
        _print(console, lines, named=len(targets) > 1, flush=follow)
    except BrokenPipeError:
        # Whoever read this, such as `head`, has seen enough. Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print(console: Console, lines: Iterator[LogLine], *, named: bool, flush: bool) -> None:
    for line in lines:
        text = _json(line) if console.as_json else _text(console, line, named=named)
        console.out.write(text + "\n")
        if flush:
            console.out.flush()
    console.out.flush()


def _text(console: Console, line: LogLine, *, named: bool) -> str:
    time = _time(line).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    head = f"{time} {line.function}" if named else time
    return f"{console.styled(head, 'dim')} {printable(line.text)}"


def _json(line: LogLine) -> str:
    return json.dumps(
        {
            "time": _time(line).isoformat(timespec="milliseconds"),
            "function_name": line.function,
            "version": line.version or None,
            "stream": line.stream,
            "message": line.text,
        }
    )


def _time(line: LogLine) -> datetime:
    try:
        return datetime.fromtimestamp(line.time / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)
