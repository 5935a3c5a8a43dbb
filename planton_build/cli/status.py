"""`planton-deploy status`: how functions are, and what serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from planton_build.cli.commands import aws_options, output_options, with_console
from planton_build.cli.console import Console, printable
from planton_build.cli.figures import moment, short
from planton_build.cli.targets import Chosen, functions_argument

if TYPE_CHECKING:
    from planton_build.deploy.life.status import FunctionStatus


@click.command(
    "status",
    short_help="Show functions: state, what serves, whether they are as their manifests want.",
    epilog="Example: planton-deploy status functions/",
)
@functions_argument
@aws_options
@output_options
@with_console
def status(console: Console, functions: tuple[str, ...], **aws: Any) -> None:
    """Show how every function below PATH, or named NAME, is in AWS. Nothing is changed."""
    from planton_build.deploy.life.status import status_of

    chosen = Chosen(**aws).find(functions)
    found = status_of(chosen.targets, chosen.plan_of())
    if console.as_json:
        console.json({"functions": [_json(one) for one in found]})
        return
    _show(console, found)


def _show(console: Console, found: list[FunctionStatus]) -> None:
    columns = ["function", "region", "manifest", "state", "serves", "code", "changed"]
    rows = [
        [
            one.name,
            one.region,
            one.sync,
            _state(one),
            "; ".join(serving.shown for serving in one.serving) or ("$LATEST" if one.state else ""),
            short(one.code_sha256) if one.state else "",
            moment(one.last_modified),
        ]
        for one in found
    ]
    console.table(columns, [[printable(cell) for cell in row] for row in rows])
    for one in found:
        for line in _details(one):
            console.print(f"{printable(one.name)}: {printable(line)}")


def _state(one: FunctionStatus) -> str:
    if one.last_update in ("", "Successful"):
        return one.state
    return f"{one.state}, update {one.last_update}"


def _details(one: FunctionStatus) -> list[str]:
    """Return what a table has no room for."""
    lines = [one.reason] if one.reason else []
    lines += [
        f"{alias or 'the function itself'} is at {url}" for alias, url in sorted((one.urls or {}).items())
    ]
    lines += [
        f"{ready.qualifier}: provisioned concurrency {ready.ready} of {ready.requested} ({ready.status})"
        for ready in one.provisioned
    ]
    return [*lines, one.note] if one.note else lines


def _json(one: FunctionStatus) -> dict[str, object]:
    return {
        "function_name": one.name,
        "region": one.region,
        "manifest": one.sync,
        "state": one.state or None,
        "last_update": one.last_update or None,
        "reason": one.reason or None,
        "code_sha256": one.code_sha256,
        "last_modified": one.last_modified or None,
        "aliases": {serving.alias: dict(serving.shares) for serving in one.serving},
        "urls": dict(one.urls or {}),
        "provisioned_concurrency": [
            {
                "qualifier": ready.qualifier,
                "requested": ready.requested,
                "ready": ready.ready,
                "status": ready.status,
            }
            for ready in one.provisioned
        ],
        "changes": one.changes,
        "note": one.note or None,
    }
