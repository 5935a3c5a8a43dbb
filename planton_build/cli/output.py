"""`--output`: copies of the artifacts under their functions' names, which no later build packages."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from planton_build.artifact import ImageArtifact
from planton_build.cli.console import shown_path
from planton_build.errors import ConfigInvalid, PlantonError, SeveralErrors
from planton_build.files import replacing
from planton_build.pipeline import Built
from planton_build.project.function import FunctionProject
from planton_build.registry.registries import Registries

_IGNORE_ALL = "*\n"


def copy_artifacts(
    results: Sequence[Built], folder: Path, registries: Registries, *, image_as: str = "oci"
) -> None:
    """Copy every ZIP to `<folder>/<function>.zip`, every image to `<function>.oci` or `<function>.tar`.

    A folder that is new gets a `.gitignore`, as `uv build` does it for `dist`: it then is out of git and out
    of the sources of the function it may lie in.

    Raises:
        ConfigInvalid: two functions have one name, the folder cannot be written, or a copy would get into
            the function's next artifact. No copy is left there then.
    """
    places = _places(results, folder, ".tar" if image_as == "docker-archive" else ".oci")
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / ".gitignore").write_text(_IGNORE_ALL, encoding="utf-8")
        for place, built in places.items():
            if isinstance(built.artifact, ImageArtifact):
                _copy_image(built.artifact, built.project.name, place, registries)
                continue
            with replacing(place) as staged:
                shutil.copyfile(built.artifact.path, staged)
    except OSError as error:
        raise ConfigInvalid(
            f"--output {shown_path(folder)} cannot be written: {error.strerror}", hint="name another folder"
        ) from error
    _check_left_out(results, list(places))


def _copy_image(artifact: ImageArtifact, name: str, place: Path, registries: Registries) -> None:
    """Write an image as a layout or as an archive, with `name` as its tag."""
    from planton_build.imaging.sources import with_layers_located
    from planton_build.oci.docker_archive import write_archive
    from planton_build.oci.layout import write_layout

    image = with_layers_located(artifact.image, registries)
    if place.suffix == ".tar":
        with replacing(place) as staged:
            write_archive(image, staged, tags=[f"{name.lower()}:{artifact.sha256[:12]}"])
    else:
        write_layout(image, place, tag=artifact.sha256[:12])


def _places(results: Sequence[Built], folder: Path, image_suffix: str) -> dict[Path, Built]:
    places: dict[Path, Built] = {}
    for built in results:
        suffix = image_suffix if built.project.is_image else ".zip"
        place = folder / f"{built.project.name}{suffix}"
        if place in places:
            raise ConfigInvalid(
                f"two functions would be copied to {shown_path(place)}",
                hint="build them in separate runs with another --output each",
                file=built.project.manifest.path,
            )
        places[place] = built
    return places


def _check_left_out(results: Sequence[Built], places: Sequence[Path]) -> None:
    """Refuse copies that are among the sources of any function that was built."""
    errors: list[PlantonError] = []
    copies = {place.resolve() for place in places}
    for built in results:
        source = built.project.options.source.resolve()
        if not any(copy.is_relative_to(source) for copy in copies):
            continue
        taken = {
            copy
            for file in _sources(built.project)
            for copy in copies
            if copy == file or copy in file.parents
        }
        if taken:
            errors.append(
                ConfigInvalid(
                    f"the next build would package {shown_path(min(taken))}, which --output has written: it "
                    f"lies in the source folder of {built.project.name}",
                    hint="name a folder elsewhere, or write it into .dockerignore"
                    if built.project.options.dockerfile
                    else "name a folder elsewhere, or one that does not exist yet, or exclude it",
                    file=built.project.manifest.path,
                )
            )
    if errors:
        for copy in copies:
            if copy.is_dir():
                shutil.rmtree(copy, ignore_errors=True)
            else:
                copy.unlink(missing_ok=True)
        raise errors[0] if len(errors) == 1 else SeveralErrors(errors)


def _sources(project: FunctionProject) -> list[Path]:
    """Return the files that the next build of a function would look at."""
    options = project.options
    if project.is_image and options.dockerfile is not None:
        from planton_build.sandbox.dockerfile.context import read_context

        return [entry.path for entry in read_context(options.source, options.dockerfile).entries]
    from planton_build.project.sources import source_files

    return [file.path for file in source_files(project)]
