"""`planton-build doctor`: which container engine is used, what it can run, and what was left behind there."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from planton_build.cli.commands import cache_folder, output_options, with_console
from planton_build.cli.console import Console

if TYPE_CHECKING:
    from planton_build.sandbox.inventory import Inventory


@click.command(
    "doctor",
    short_help="Show the container engine and what is left on it.",
    epilog="Example: planton-build doctor --clean",
)
@click.option("--clean", is_flag=True, help="Remove containers that no running build waits for.")
@click.option("--images", is_flag=True, help="With --clean: remove the build images made here, too.")
@output_options
@with_console
def doctor(console: Console, clean: bool, images: bool) -> int:
    """Show the container engine that builds use, the architectures it runs, and our containers and images.

    Containers are removed by the build that made them. One that is shown as a stray was left by a build that
    was killed; the next build removes it, and so does --clean.
    """
    from planton_build.sandbox.engine import connect
    from planton_build.sandbox.inventory import remove_images, take_inventory
    from planton_build.sandbox.strays import remove_strays

    if images and not clean:
        raise click.UsageError("--images goes with --clean")
    engine = connect(os.environ)
    removed = remove_strays(engine) if clean else []
    unmade = remove_images(engine) if images else []
    found = take_inventory(engine)
    if console.as_json:
        console.json(_json(found, len(removed), len(unmade)))
        return 0
    _show(console, found)
    if clean:
        console.print(f"removed {len(removed)} containers and {len(unmade)} images")
    return 0


def _show(console: Console, found: Inventory) -> None:
    rows = [("engine", f"{found.endpoint} (version {found.version})")]
    rows += [(f"runs {name}", how) for name, how in found.architectures.items()]
    rows += [("strays", str(len(found.strays))), ("cache", str(cache_folder()))]
    console.table(("", ""), rows)
    if found.strays:
        console.print()
        strays = [(one.id[:12], one.image, one.state, _age(one.created)) for one in found.strays]
        console.table(("stray container", "image", "state", "since"), strays)
        console.print("`planton-build doctor --clean` removes them")
    if found.images:
        console.print()
        images = [(one.name, one.architecture, f"{one.size / 1e6:,.0f} MB") for one in found.images]
        console.table(("image made here", "architecture", "size"), images, right=(2,))


def _age(created: int) -> str:
    return datetime.fromtimestamp(created, UTC).isoformat(timespec="minutes")


def _json(found: Inventory, removed: int, unmade: int) -> dict[str, object]:
    return {
        "engine": {"endpoint": found.endpoint, "version": found.version, "machine": found.machine},
        "architectures": dict(found.architectures),
        "strays": [
            {"id": one.id, "image": one.image, "state": one.state, "created": one.created}
            for one in found.strays
        ],
        "images": [
            {"name": one.name, "architecture": one.architecture, "size": one.size} for one in found.images
        ],
        "removed_containers": removed,
        "removed_images": unmade,
    }
