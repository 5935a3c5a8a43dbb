"""`planton-build images list` and `refresh`: which base images builds run in, and their newest digests."""

from __future__ import annotations

from pathlib import Path

import click

from planton_build.cli.commands import output_options, with_console
from planton_build.cli.console import Console, shown_path
from planton_build.errors import ConfigInvalid


@click.group(
    "images",
    short_help="Show or refresh the base images of build containers.",
    epilog="Example: planton-build images list",
)
def images() -> None:
    """The base images that builds run in, one for each runtime and architecture."""


@images.command("list", short_help="List them.", epilog="Example: planton-build images list --json")
@output_options
@with_console
def list_images(console: Console) -> None:
    """List the base images; one without a digest is pinned in the build lock at its first use."""
    from planton_build.sandbox.pins import pinned, targets

    pins = [(target.name, pinned(target)) for target in targets()]
    if console.as_json:
        console.json({"images": [{"target": t, "name": pin.name, "digest": pin.digest} for t, pin in pins]})
    console.table(
        ("target", "image", "digest"),
        [(target, pin.name, (pin.digest or "not pinned here")[:19]) for target, pin in pins],
    )


@images.command(
    "refresh",
    short_help="Write the newest digests into images.toml.",
    epilog="Example: planton-build images refresh --file base_images/images.toml",
)
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, readable=False),
    help="The images.toml to write; that of this installation by default.",
)
@output_options
@with_console
def refresh_images(console: Console, path: Path | None) -> None:
    """Ask the registries, without a container engine, which digest each tag has now, and write it down.

    For those who maintain a copy of images.toml. Functions that have a build lock keep the image that is
    locked there.
    """
    from planton_build.registry.resolve import resolve
    from planton_build.runtimes.target import Target
    from planton_build.sandbox.pins import Pin, base_images_folder, refresh

    def newest(pin: Pin, target: Target) -> str:
        return resolve(pin.name, machine=target.machine).digest

    path = path or base_images_folder() / "images.toml"
    try:
        changes = refresh(path, newest)
    except OSError as error:
        raise ConfigInvalid(
            f"{shown_path(path)} cannot be read or written: {error.strerror}",
            hint="name a copy that may be written with --file",
            file=path,
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"{shown_path(path)} is not UTF-8 text", file=path) from error
    if console.as_json:
        console.json(
            {
                "file": str(path),
                "changes": [
                    {"target": one.target, "name": one.name, "before": one.before, "after": one.after}
                    for one in changes
                ],
            }
        )
    if changes:
        rows = [(one.target, (one.before or "-")[:19], one.after[:19]) for one in changes]
        console.table(("target", "before", "now"), rows)
    console.print(f"{len(changes)} digests changed in {shown_path(path)}")
