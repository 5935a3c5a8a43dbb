"""`planton-build check`: who takes how much of an artifact, and whether Lambda would take it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planton_build.cli import report
from planton_build.cli.commands import output_options, paths_argument, with_console
from planton_build.cli.console import Console, shown_path
from planton_build.cli.workshop import build_options, open_workshop, projects_below

if TYPE_CHECKING:
    from planton_build.artifact import Artifact


@click.command(
    "check",
    short_help="Show sizes and hold artifacts against Lambda's limits.",
    epilog="Example: planton-build check build/thumbnailer.zip --max-size 200MB",
)
@paths_argument
@build_options
@output_options
@with_console
def check(console: Console, paths: tuple[Path, ...], **options: Any) -> int:
    """Check ZIPs (any ZIP) or the functions below a folder: size by package, largest files, limits."""
    from planton_build.audit.archive import artifact_of
    from planton_build.audit.size import SizeReport, check_size
    from planton_build.parallel import each
    from planton_build.pipeline import build_all
    from planton_build.project.config import parse_size

    budget = parse_size(options["max_size"]) if options["max_size"] else None
    archives = [path for path in paths if path.suffix.lower() == ".zip"]
    places = [path for path in paths if path not in archives]
    found = [(shown_path(path), path, artifact) for path in archives for artifact in [artifact_of(path)]]
    if places or not archives:
        projects = projects_below(places, options)
        results = build_all(projects, open_workshop(console, options["jobs"], "build"))
        found += [(built.project.name, built.project.manifest.path, built.artifact) for built in results]
    console.stop_progress()
    for title, _, artifact in found:
        report.show_sizes(console, title, artifact)

    def check_one(one: tuple[str, Path, Artifact]) -> None:
        _, file, artifact = one
        sizes = SizeReport(artifact.unzipped_size, artifact.packages, artifact.largest)
        check_size(sizes, max_size=budget, file=file)

    each(found, check_one, jobs=1)
    if console.as_json:
        console.json({"artifacts": [report.sizes_json(title, artifact) for title, _, artifact in found]})
    return 0
