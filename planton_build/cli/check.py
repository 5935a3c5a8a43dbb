"""`planton-build check`: who takes how much of an artifact, and whether Lambda would take it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    from planton_build.artifact import Artifact, ImageArtifact
    from planton_build.audit.image.check import ImageReport
    from planton_build.cache import Store
    from planton_build.pipeline import Built
    from planton_build.runtimes.target import Architecture, Target


@click.command(
    "check",
    short_help="Show sizes and hold artifacts against Lambda's limits.",
    epilog="Example: planton-build check thumbnailer.zip --runtime python3.13 --architecture arm64",
)
@paths_argument
@click.option("--runtime", help="The runtime that ZIPs and images are for, such as python3.13.")
@click.option(
    "--architecture",
    type=click.Choice(["arm64", "x86_64"]),
    help="The architecture that ZIPs and images are for.",
)
@build_options
@output_options
@with_console
def check(console: Console, paths: tuple[Path, ...], **options: Any) -> int:
    """Check ZIPs (any ZIP), container images, or the functions below a folder: sizes, limits, native code.

    A ZIP is held against --runtime and --architecture, where they are given. Without them its native code
    must be of one architecture, and no more is judged.

    An image is a name in a registry (HOST/NAME:TAG or …@sha256:…), oci:FOLDER[:TAG], docker-archive:FILE, a
    .tar file of `docker save`, or a folder that is an image layout. It is held against what Lambda asks of
    images, and against --runtime and --architecture where they are given.
    """
    from planton_build.audit.archive import measured, members_of
    from planton_build.cli.check_images import image_named
    from planton_build.project.config import parse_size

    budget = parse_size(options["max_size"]) if options["max_size"] else None
    images = {str(path): text for path in paths if (text := image_named(path)) is not None}
    files = [path for path in paths if str(path) not in images]
    archives = [path for path in files if path.suffix.lower() == ".zip"]
    places = [path for path in files if path not in archives]
    target = _target(options["runtime"], options["architecture"], images=bool(images) and not archives)
    zips = [(path, *members_of(path)) for path in archives]
    found = [(shown_path(path), path, measured(path, members, names)) for path, members, names in zips]
    reports = _images(console, images, target, options)
    if places or not paths:
        built_zips, built_images = _built(console, places, options)
        found, reports = found + built_zips, reports + built_images
    console.stop_progress()
    for title, _, artifact in found:
        report.show_sizes(console, title, artifact)
    _show_images(console, reports)
    _judge(found, reports, budget)
    if zips:
        _audit(console, zips, target, options)
    if console.as_json:
        console.json(_json(found, reports))
    return 0


_Zip: TypeAlias = "tuple[Path, list[Member], dict[str, str]]"
_Sized: TypeAlias = "tuple[str, Path, Artifact]"
_Image: TypeAlias = "tuple[str, ImageReport]"


def _built(
    console: Console, places: Sequence[Path], options: dict[str, Any]
) -> tuple[list[_Sized], list[_Image]]:
    """Build the functions below some folders; building has audited them."""
    from planton_build.artifact import ImageArtifact
    from planton_build.pipeline import build_all

    workshop = open_workshop(console, options["jobs"], "build")
    sized: list[_Sized] = []
    images: list[_Image] = []
    for built in build_all(projects_below(places, options), workshop):
        if isinstance(built.artifact, ImageArtifact):
            images.append((built.project.name, _seen(built, built.artifact, workshop.store)))
        else:
            sized.append((built.project.name, built.project.manifest.path, built.artifact))
    return sized, images


def _seen(built: Built, artifact: ImageArtifact, store: Store) -> ImageReport:
    """Return the report of an image that was built, and so was looked into."""
    from planton_build.audit.image.check import check_image

    project = built.project
    return check_image(
        artifact.image,
        store,
        architecture=project.target.architecture,
        allow=project.options.allow,
        handler=project.handler or None,
    )


def _images(
    console: Console, images: Mapping[str, str], target: Target | None, options: dict[str, Any]
) -> list[_Image]:
    if not images:
        return []
    from planton_build.cache import Store
    from planton_build.cli.check_images import check_images
    from planton_build.cli.registries import aws_registries

    return check_images(
        images,
        target,
        options["architecture"],
        store=Store(cache_folder()),
        allow=reasons(options["allow"]),
        registries=aws_registries(),
        listener=console.listen,
    )


def _show_images(console: Console, reports: Sequence[_Image]) -> None:
    if reports:
        from planton_build.cli.image_report import show_image

        for title, one in reports:
            show_image(console, title, one)


def _judge(found: Sequence[_Sized], reports: Sequence[_Image], budget: int | None) -> None:
    """Raise for everything that Lambda would not take, or that is over the budget."""
    from planton_build.audit.size import SizeReport, check_size
    from planton_build.parallel import each

    def check_one(one: _Sized) -> None:
        _, file, artifact = one
        sizes = SizeReport(artifact.unzipped_size, artifact.packages, artifact.largest)
        check_size(sizes, max_size=budget, file=file)

    each(found, check_one, jobs=1)
    if reports:
        from planton_build.cli.check_images import judge_images

        judge_images(reports, budget)


def _json(found: Sequence[_Sized], reports: Sequence[_Image]) -> dict[str, object]:
    """Return `--json`; `images` is there when there are some."""
    artifacts = {"artifacts": [report.sizes_json(title, artifact) for title, _, artifact in found]}
    if not reports:
        return {**artifacts}
    from planton_build.cli.image_report import image_json

    return {**artifacts, "images": [image_json(title, one) for title, one in reports]}


def _audit(
    console: Console, archives: Sequence[_Zip], target: Target | None, options: dict[str, Any]
) -> None:
    """Audit ZIPs of any origin; functions were audited when they were built."""
    from planton_build.audit.content import audit as audited
    from planton_build.audit.findings import raise_for
    from planton_build.cache import Store
    from planton_build.parallel import each

    store, allow = Store(cache_folder()), reasons(options["allow"])

    def audit(archive: _Zip) -> None:
        path, members, versions = archive
        report = audited(members, versions, target, store=store, allow=allow)
        for note in report.notes:
            console.listen(Note(path.name, note.message))
        raise_for(report, path)

    each(archives, audit, jobs=1)


def _target(runtime: str | None, architecture: Architecture | None, *, images: bool) -> Target | None:
    """Return the target that is asked for. With `images` alone, an architecture may stand by itself."""
    from planton_build.runtimes.catalog import target_for

    if runtime is None and (architecture is None or images):
        return None
    if runtime is None or architecture is None:
        raise click.UsageError("--runtime and --architecture go together")
    return target_for(runtime, architecture)
