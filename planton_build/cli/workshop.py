"""What the commands of `planton-build` share: the projects below some paths, and the workshop for them."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planton_build.cli.commands import cache_folder
from planton_build.cli.console import Console
from planton_build.errors import ConfigInvalid, LockOutdated, PlantonError, SeveralErrors

if TYPE_CHECKING:
    from planton_build.ecosystems.python.locking import LockMode
    from planton_build.imaging.imaging import Imaging
    from planton_build.pipeline import Workshop
    from planton_build.project.function import FunctionProject
    from planton_build.registry.registries import Registries


container_option = click.option(
    "--container",
    type=click.Choice(["auto", "always", "never"]),
    help="Build in containers what has no wheel (auto, the default), everything, or nothing.",
)


def build_options(command: Any) -> Any:
    """Add the options that choose what goes into an artifact."""
    for option in (
        container_option,
        click.option(
            "--allow",
            "allow",
            multiple=True,
            metavar="WHAT=REASON",
            help="Let the audit pass a file, library or package (a shell pattern), and say why.",
        ),
        click.option("--jobs", type=click.IntRange(1), help="Functions built side by side."),
        click.option("--max-size", help='Budget for the unzipped size, such as 200MB or "150 MiB".'),
        click.option(
            "--create-repository", is_flag=True, default=None, help="Create a missing ECR repository."
        ),
        click.option("--repository", help="Where images are pushed; {function} stands for the name."),
        click.option("--prefix", help="Folder of the artifacts in the bucket."),
        click.option("--bucket", help="S3 bucket for the artifacts, in the function's region."),
    ):
        command = option(command)
    return command


def projects_below(paths: Sequence[Path], options: dict[str, Any]) -> list[FunctionProject]:
    """Return every function below some paths, with the options of the command line."""

    from planton_build.project.discovery import load_projects

    names = ("bucket", "prefix", "max_size", "container", "repository", "create_repository")
    flags = {name: options[name] for name in names if options.get(name) is not None}
    if options.get("allow"):
        flags["allow"] = reasons(options["allow"])
    return load_projects(list(paths) or [Path()], flags=flags, environment=os.environ)


def reasons(written: Sequence[str]) -> dict[str, str]:
    """Return the exceptions of `--allow`, each with its reason.

    Raises:
        ConfigInvalid: one has no reason.
    """
    found = {}
    for one in written:
        what, _, reason = one.partition("=")
        if not what.strip() or not reason.strip():
            raise ConfigInvalid(
                f"--allow {one!r} gives no reason", hint='write --allow "libfoo.so.1=it is in our layer"'
            )
        found[what.strip()] = reason.strip()
    return found


def open_workshop(
    console: Console,
    jobs: int | None,
    mode: LockMode,
    registries: Registries | None = None,
    **lock_options: Any,
) -> Workshop:
    """Return the store, the language families and the listener that all builds of a command share."""
    from planton_build.cache import Store
    from planton_build.ecosystems.catalog import ecosystems
    from planton_build.pipeline import Workshop

    count = jobs or min(8, (os.cpu_count() or 2) + 2)
    store = Store(cache_folder())
    made = ecosystems(
        store, mode=mode, jobs=count, listener=console.listen, environment=os.environ, **lock_options
    )
    upgrade = bool(lock_options.get("upgrade"))

    @functools.cache
    def imaging() -> Imaging:
        from planton_build.cli.registries import aws_registries
        from planton_build.imaging.imaging import Imaging

        return Imaging(
            store,
            mode=mode,
            listener=console.listen,
            jobs=count,
            upgrade=upgrade,
            registries=registries or aws_registries(),
            environment=os.environ,
        )

    return Workshop(store, made, console.listen, imaging, count)


def only_outdated(error: PlantonError) -> bool:
    """Tell whether nothing but missing or outdated locks is wrong."""
    several = error.errors if isinstance(error, SeveralErrors) else (error,)
    return all(isinstance(one, LockOutdated) for one in several)
