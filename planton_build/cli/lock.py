"""`planton-build lock`: write the locks, or say which are missing or outdated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from planton_build.cli.commands import output_options, paths_argument, with_console
from planton_build.cli.console import Console, shown_path
from planton_build.cli.workshop import container_option, only_outdated, open_workshop, projects_below
from planton_build.errors import EXIT_CHANGES, LockOutdated, SeveralErrors

if TYPE_CHECKING:
    from planton_build.ecosystems.python.locking import LockMode
    from planton_build.project.function import FunctionProject


@click.command(
    "lock",
    short_help="Write or verify the locks.",
    epilog="Example: planton-build lock functions/ --upgrade-package pydantic",
)
@paths_argument
@click.option("--check", is_flag=True, help="Write nothing; exit 10 when a lock is missing or outdated.")
@click.option("--upgrade", is_flag=True, help="Take the newest versions instead of keeping the locked ones.")
@click.option(
    "--upgrade-package", "upgrade_packages", multiple=True, metavar="NAME", help="Upgrade only these."
)
@click.option("--jobs", type=click.IntRange(1), help="Functions locked side by side.")
@container_option
@output_options
@with_console
def lock(
    console: Console,
    paths: tuple[Path, ...],
    check: bool,
    upgrade: bool,
    upgrade_packages: tuple[str, ...],
    jobs: int | None,
    container: str | None,
) -> int:
    """Lock the dependencies of every function below PATH, per runtime and architecture, with hashes."""
    from planton_build import pipeline
    from planton_build.parallel import each

    if check and (upgrade or upgrade_packages):
        raise click.UsageError("--check writes nothing, so it does not go with --upgrade")
    mode: LockMode = "check" if check else "write"
    workshop = open_workshop(console, jobs, mode, upgrade=upgrade, upgrade_packages=upgrade_packages)

    def locked(project: FunctionProject) -> tuple[str, str, str, str, int]:
        images = pipeline.lock_images(project, workshop)
        image_lock = shown_path(images) if images else ""
        if project.is_image and project.options.dockerfile is not None:
            return project.name, "", image_lock, "images only", 0  # the Dockerfile installs what it needs
        dependencies = pipeline.lock(project, workshop)
        path = shown_path(dependencies.lock_path) if dependencies.lock_path else ""
        return project.name, path, image_lock, dependencies.state, dependencies.package_count

    try:
        rows = each(projects_below(paths, {"container": container}), locked, jobs=workshop.jobs)
    except (LockOutdated, SeveralErrors) as error:
        if not (check and only_outdated(error)):
            raise
        console.error(error)
        return EXIT_CHANGES
    if console.as_json:
        console.json(
            {
                "locks": [
                    {
                        "function_name": name,
                        "lock": path or None,
                        "image_lock": image_lock or None,
                        "state": state,
                        "packages": count,
                    }
                    for name, path, image_lock, state, count in rows
                ]
            }
        )
    shown = [
        (name, " + ".join(filter(None, (path, image_lock))) or "-", state, str(count))
        for name, path, image_lock, state, count in rows
    ]
    console.table(("function", "lock", "state", "packages"), shown, right=(3,))
    return 0
