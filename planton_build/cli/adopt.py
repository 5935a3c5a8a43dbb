"""`planton-deploy adopt`: write manifest and settings of functions that live in AWS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planton_build.cli.commands import aws_options, output_options, with_console
from planton_build.cli.console import Console, shown_path
from planton_build.cli.targets import Chosen
from planton_build.errors import ConfigInvalid, NoFunctionFound
from planton_build.events import Note

if TYPE_CHECKING:
    from planton_build.deploy.life.adopt import Adopted
    from planton_build.deploy.life.target import Target


@click.command(
    "adopt",
    short_help="Write manifest and planton.toml of a function that lives in AWS.",
    epilog="Example: planton-deploy adopt price-tag --output functions --bucket acme-lambda-artifacts",
)
@click.argument("names", nargs=-1, metavar="[NAME]...", required=False)
@click.option("--all", "every", is_flag=True, help="Adopt all functions of the region.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder in which each function gets one of its name. [default: the current folder]",
)
@click.option("--bucket", default="", help="Copy the deployed ZIPs into this bucket, and deploy from there.")
@click.option("--prefix", default="", help="What the keys of the copies begin with.")
@click.option("--alias", default="", help="The alias that serves. [default: one that serves $LATEST's code]")
@aws_options
@output_options
@with_console
def adopt(
    console: Console,
    names: tuple[str, ...],
    every: bool,
    output: Path,
    bucket: str,
    prefix: str,
    alias: str,
    **aws: Any,
) -> None:
    """Write NAME/lambda.yaml and NAME/planton.toml, so that deploying them changes nothing.

    AWS does not tell where a ZIP came from. With --bucket the deployed code is copied there; without, the
    manifest waits for planton-build. Files are never overwritten. A manifest with an environment holds its
    values, and is readable by you alone: think before you commit it.
    """
    from planton_build.deploy.life.adopt import Adoption, adopt_all, write_adopted

    targets = _targets(names, every=every, **aws)
    adopted = adopt_all(targets, Adoption(bucket, prefix, alias))
    try:
        written = write_adopted(adopted, output)
    except OSError as error:
        raise ConfigInvalid(
            f"--output {shown_path(output)} cannot be written: {error.strerror}", hint="name another folder"
        ) from error
    for one in adopted:
        for note in one.notes:
            console.listen(Note(one.name, note))
        if one.secret:
            held = "its manifest holds the values of environment variables; keep secrets out of git"
            console.listen(Note(one.name, held, "warning"))
    if console.as_json:
        console.json({"functions": [_json(one, output) for one in adopted]})
    for path in written:
        console.print(f"wrote {shown_path(path)}")
    console.print(f"{len(adopted)} adopted, {len(written)} files written")


def _targets(names: tuple[str, ...], *, every: bool, **aws: Any) -> list[Target]:
    from planton_build.deploy.life.adopt import list_functions

    if every == bool(names):
        raise ConfigInvalid("adopt takes names of functions, or --all", hint="give one of the two")
    chosen = Chosen(**aws)
    if not every:
        return [chosen.named(name) for name in dict.fromkeys(names)]
    place = chosen.named("all")
    found = list_functions(place.aws, place.region)
    if not found:
        raise NoFunctionFound(f"there is no function in {place.region}", hint="name a region with --region")
    return [chosen.named(name) for name in found]


def _json(one: Adopted, output: Path) -> dict[str, object]:
    return {
        "function_name": one.name,
        "region": one.region,
        "folder": shown_path(output / one.name),
        "deployable": one.deployable,
        "settings": bool(one.settings),
        "secret": one.secret,
        "notes": list(one.notes),
    }
