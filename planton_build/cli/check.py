"""`planton-build check`: who takes how much of an artifact, and whether Lambda would take it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from planton_build.cli import report
from planton_build.cli.commands import cache_folder, output_options, paths_argument, with_console
from planton_build.cli.console import Console, shown_path
from planton_build.cli.workshop import build_options, open_workshop, projects_below, reasons
from planton_build.events import Note

if TYPE_CHECKING:
    from planton_build.archive.member import Member
    from planton_build.artifact import Artifact
    from planton_build.runtimes.target import Architecture, Target


@click.command(
    "check",
    short_help="Show sizes and hold artifacts against Lambda's limits.",
    epilog="Example: planton-build check thumbnailer.zip --runtime python3.13 --architecture arm64",
)
@paths_argument
@click.option("--runtime", help="The runtime that ZIPs are for, such as python3.13.")
@click.option(
    "--architecture", type=click.Choice(["arm64", "x86_64"]), help="The architecture that ZIPs are for."
)
@build_options
@output_options
@with_console
def check(console: Console, paths: tuple[Path, ...], **options: Any) -> int:
    """Check ZIPs (any ZIP) or the functions below a folder: sizes, limits, native code, missing packages.

    A ZIP is held against --runtime and --architecture, where they are given. Without them its native code
    must be of one architecture, and no more is judged.
    """
    from planton_build.audit.archive import measured, members_of
    from planton_build.audit.size import SizeReport, check_size
    from planton_build.parallel import each
    from planton_build.pipeline import build_all
    from planton_build.project.config import parse_size

    budget = parse_size(options["max_size"]) if options["max_size"] else None
    archives = [path for path in paths if path.suffix.lower() == ".zip"]
    places = [path for path in paths if path not in archives]
    zips = [(path, *members_of(path)) for path in archives]
    found = [(shown_path(path), path, measured(path, members, names)) for path, members, names in zips]
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
    if zips:
        _audit(console, zips, options)
    if console.as_json:
        console.json({"artifacts": [report.sizes_json(title, artifact) for title, _, artifact in found]})
    return 0


_Zip: TypeAlias = "tuple[Path, list[Member], dict[str, str]]"


def _audit(console: Console, archives: Sequence[_Zip], options: dict[str, Any]) -> None:
    """Audit ZIPs of any origin; functions were audited when they were built."""
    from planton_build.audit.content import audit as audited
    from planton_build.audit.findings import raise_for
    from planton_build.cache import Store
    from planton_build.parallel import each

    target = _target(options["runtime"], options["architecture"])
    store, allow = Store(cache_folder()), reasons(options["allow"])

    def audit(archive: _Zip) -> None:
        path, members, versions = archive
        report = audited(members, versions, target, store=store, allow=allow)
        for note in report.notes:
            console.listen(Note(path.name, note.message))
        raise_for(report, path)

    each(archives, audit, jobs=1)


def _target(runtime: str | None, architecture: Architecture | None) -> Target | None:
    from planton_build.runtimes.catalog import target_for

    if runtime is None and architecture is None:
        return None
    if runtime is None or architecture is None:
        raise click.UsageError("--runtime and --architecture go together")
    return target_for(runtime, architecture)
