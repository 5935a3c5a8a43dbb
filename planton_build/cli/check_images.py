"""The images that `planton-build check` is given: which arguments are some, and what is said of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.errors import ConfigInvalid, ImageInvalid, ImageUnavailable, SizeBudgetExceeded
from planton_build.events import Listener, Note, StepAdvanced, StepFinished, StepStarted
from planton_build.imaging.sources import ARCHIVE, LAYOUT, layout_parts

if TYPE_CHECKING:
    from planton_build.audit.image.check import ImageReport
    from planton_build.cache import Store
    from planton_build.oci.image import Image
    from planton_build.registry.pull import Repository
    from planton_build.registry.registries import Registries
    from planton_build.runtimes.target import Architecture, Target

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Found:
    """An image with what is known of where it was: see `check_image`."""

    image: Image
    archived: bool = False
    index: bool = False


def image_named(path: Path) -> str | None:
    """Return the image that an argument names, or None for a ZIP, a manifest or a folder of functions.

    An image is `oci:FOLDER[:TAG]`, `docker-archive:FILE`, a `.tar`, a folder with an `oci-layout`, or a
    name with a tag or a digest that is no file here.
    """
    text = str(path)
    if text.startswith((LAYOUT, ARCHIVE)):
        return text
    if path.is_dir():
        return f"{LAYOUT}{text}" if (path / "oci-layout").is_file() else None
    if path.suffix.lower() == ".tar":
        return f"{ARCHIVE}{text}"
    if path.exists():
        return None
    from planton_build.registry.reference import parse_reference

    try:
        reference = parse_reference(text)
    except ImageUnavailable:
        return None
    return text if reference.tag or reference.digest else None


def found_image(text: str, architecture: Architecture | None, registries: Registries) -> Found:
    """Return the image that `image_named` has recognised.

    `architecture` chooses among several; without it there must be one.

    Raises:
        ImageUnavailable, ImageMismatch, ImageInvalid: it is not to be had, or its documents are malformed.
        ConfigInvalid: there are images for several architectures.
    """
    from planton_build.oci.media_types import ARCHITECTURES

    wanted = ARCHITECTURES[architecture] if architecture else None
    if text.startswith(ARCHIVE):
        from planton_build.oci.docker_archive import read_archive

        file = Path(text.removeprefix(ARCHIVE))
        return Found(_chosen(partial(read_archive, file), wanted), archived=True)
    if text.startswith(LAYOUT):
        from planton_build.oci.layout import read_layout

        folder, reference = layout_parts(text.removeprefix(LAYOUT))
        return Found(_chosen(partial(read_layout, folder, reference=reference), wanted))
    from planton_build.registry.reference import parse_reference

    named = parse_reference(text)
    return _in_registry(registries.repository(named), named.digest or named.tag or "latest", wanted)


def check_images(
    texts: Mapping[str, str],
    target: Target | None,
    architecture: Architecture | None,
    *,
    store: Store,
    allow: Mapping[str, str],
    registries: Registries,
    listener: Listener,
) -> list[tuple[str, ImageReport]]:
    """Return the report of each image. `texts` are what `image_named` made of the arguments that name them.

    Raises:
        PlantonError: an image is not to be had, or cannot be read at all.
    """
    from planton_build.audit.image.check import check_image
    from planton_build.parallel import each

    def one(title: str) -> tuple[str, ImageReport]:
        started, text = time.perf_counter(), texts[title]
        listener(StepStarted(title, "check", None, "bytes"))
        found = found_image(text, architecture, registries)
        report = check_image(
            found.image,
            store,
            target=target,
            architecture=architecture,
            allow=allow,
            archived=found.archived,
            index=found.index,
            advanced=lambda size: listener(StepAdvanced(title, "check", size)),
        )
        detail = f"{report.files:,} files"
        listener(StepFinished(title, "check", detail, time.perf_counter() - started))
        for note in report.audit.notes:
            listener(Note(title, note.message))
        return title, report

    return each(list(texts), one, jobs=1)


def judge_images(reports: Sequence[tuple[str, ImageReport]], budget: int | None) -> None:
    """Raise for every image that Lambda would not take or run, or that is over a budget (bytes unpacked)."""
    from planton_build.audit.image.check import raise_for
    from planton_build.audit.size import human
    from planton_build.parallel import each

    def judge(one: tuple[str, ImageReport]) -> None:
        title, report = one
        raise_for(report, Path(title))
        if budget is not None and report.unpacked > budget:
            largest = ", ".join(f"/{file.path} {human(file.size)}" for file in report.largest[:_SHOWN])
            raise SizeBudgetExceeded(
                f"the image unpacks to {report.unpacked:,} bytes, over the budget of {budget:,}; largest "
                f"files: {largest}",
                hint="raise --max-size if the growth is meant",
                file=Path(title),
            )

    each(reports, judge, jobs=1)


def _chosen(read: Callable[..., Image], wanted: str | None) -> Image:
    """Return the only image, though it be for another architecture, so that all its faults are told; else the
    one that is wanted."""
    try:
        return read()
    except ImageInvalid:
        if wanted is None:
            raise
    return read(architecture=wanted)


def _in_registry(repository: Repository, name: str, wanted: str | None) -> Found:
    """Return an image of a registry, and whether its name stands for an index."""
    from planton_build.oci.documents import parse_config, parse_index, parse_manifest, read_document
    from planton_build.oci.media_types import INDEXES
    from planton_build.registry.pull import RemoteContent

    media_type, content = repository.manifest(name)
    if media_type not in INDEXES:
        config = parse_manifest(content, media_type).config
        said = parse_config(read_document(RemoteContent(repository, config), config))
        return Found(repository.image(name, architecture=said.architecture))
    entries = [one for one in parse_index(content) if one.os == "linux" and not one.attestation]
    offered = sorted({one.architecture for one in entries})
    if wanted is None and len(offered) != 1:
        raise ConfigInvalid(
            f"{repository.shown(name)} has images for {', '.join(offered)[:200] or 'no Linux'}",
            hint="choose one with --architecture, or name its digest",
        )
    return Found(repository.image(name, architecture=wanted or offered[0]), index=True)
