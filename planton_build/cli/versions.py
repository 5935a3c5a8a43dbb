"""`planton-deploy versions`: what was published, from what, and what serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from planton_build.cli.commands import aws_options, output_options, with_console
from planton_build.cli.console import Console, printable
from planton_build.cli.figures import moment, share, short, size
from planton_build.cli.targets import Chosen, functions_argument, of_deployed

if TYPE_CHECKING:
    from planton_build.deploy.life.versions import PublishedVersion


@click.command(
    "versions",
    short_help="List published versions: what each was built from, which serves.",
    epilog="Example: planton-deploy versions price-tag",
)
@functions_argument
@aws_options
@output_options
@with_console
def versions(console: Console, functions: tuple[str, ...], **aws: Any) -> None:
    """List the published versions of every function below PATH, or named NAME, the newest first.

    A version that planton-deploy has published says from which commit and lock it was built, when, and for
    whom.
    """
    from planton_build.deploy.life.target import READ_JOBS
    from planton_build.deploy.life.versions import list_versions

    targets = Chosen(**aws).find(functions).targets
    found = of_deployed(targets, lambda one: list_versions(one.name, one.aws, one.region), jobs=READ_JOBS)
    if console.as_json:
        console.json(
            {
                "functions": [
                    {
                        "function_name": target.name,
                        "region": target.region,
                        "deployed": some is not None,
                        "versions": [_json(version) for version in some or ()],
                    }
                    for target, some in zip(targets, found, strict=True)
                ]
            }
        )
        return
    for target, some in zip(targets, found, strict=True):
        if len(targets) > 1:
            console.print(console.styled(f"{target.name} ({target.region})", "bold"))
        if some:
            columns = [
                "version",
                "serves",
                "code",
                "built from",
                "lock",
                "published",
                "by",
                "size",
                "runtime",
            ]
            console.table(columns, [_row(version) for version in some], right=[7])
        else:
            said = "it is not deployed" if some is None else "no version was ever published"
            console.print(f"{target.name}: {said}")


def _row(version: PublishedVersion) -> list[str]:
    record = version.record
    serves = ", ".join(
        alias if part == 1 else f"{alias} {share(part)}" for alias, part in version.aliases.items()
    )
    cells = [
        version.number,
        serves,
        short(version.code_sha256),
        version.origin or "?",
        record.lock if record else "",
        moment(version.last_modified),
        record.who if record else "",
        size(version.size) if version.size else "",
        version.runtime or "image",
    ]
    return [printable(cell).replace("\n", " ") for cell in cells]


def _json(version: PublishedVersion) -> dict[str, object]:
    record = version.record
    return {
        "version": version.number,
        "code_sha256": version.code_sha256,
        "description": version.description,
        "record": None
        if record is None
        else {
            "commit": record.commit or None,
            "dirty": record.dirty,
            "lock": record.lock or None,
            "time": record.time.isoformat() if record.time else None,
            "who": record.who or None,
            "note": record.note or None,
        },
        "last_modified": version.last_modified,
        "aliases": dict(version.aliases),
        "size": version.size,
        "runtime": version.runtime or None,
    }
