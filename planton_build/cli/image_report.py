"""What an image looks like when it was checked: layers, size against Lambda's limit, what it starts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from planton_build.audit.size import IMAGE_LIMIT, human
from planton_build.cli.console import Console

if TYPE_CHECKING:
    from planton_build.audit.image.check import ImageReport

_BAR = 40
_LAYERS_SHOWN = 40
_STEP = 48
"""Characters of a step of the image's history that are shown."""


def show_image(console: Console, title: str, report: ImageReport) -> None:
    """Write which layer takes how much of an image, and how much room Lambda's limit leaves."""
    settings, share = report.settings, report.unpacked / IMAGE_LIMIT
    filled = min(_BAR, round(share * _BAR))
    console.print(console.styled(title, "bold"))
    bar = "█" * filled + "░" * (_BAR - filled)
    console.print(f"  {bar} {share:.1%} of {IMAGE_LIMIT:,} bytes unpacked")
    count = len(report.layers)
    console.print(
        f"  {report.files:,} files in {count} layer{'s' if count != 1 else ''}, {human(report.unpacked)}, "
        f"stored as {human(report.size)}"
    )
    glibc = f", glibc {report.glibc}" if report.glibc else ""
    console.print(f"  {settings.os}/{settings.architecture}{glibc}")
    console.print(f"  entrypoint {json.dumps(settings.entrypoint)}, command {json.dumps(settings.command)}")
    console.print(f"  digest {report.digest}")
    rows = [
        (
            layer.digest.removeprefix("sha256:")[:12],
            f"{layer.entries:,}",
            f"{layer.unpacked:,}",
            f"{layer.unpacked / max(1, report.unpacked):.1%}",
            f"{layer.size:,}",
            " ".join(layer.created_by.split())[:_STEP],
        )
        for layer in report.layers[:_LAYERS_SHOWN]
    ]
    console.print()
    console.table(("layer", "entries", "unpacked", "share", "size", "made by"), rows, right=(1, 2, 3, 4))
    if (hidden := len(report.layers) - _LAYERS_SHOWN) > 0:
        console.print(f"and {hidden} more layers")
    console.print()
    files = [(f"/{file.path}", f"{file.size:,}") for file in report.largest]
    console.table(("largest files", "unpacked"), files, right=(1,))
    console.print()


def image_json(title: str, report: ImageReport) -> dict[str, object]:
    """Return `--json` of one image of `planton-build check`: the contract of docs/json.md."""
    from planton_build.cli.check_schema import ImageFileOut, ImageLayerOut, ImageNoteOut, ImageOut

    settings = report.settings
    return ImageOut(
        image=title,
        digest=report.digest,
        media_type=report.media_type,
        os=settings.os,
        architecture=settings.architecture,
        entrypoint=list(settings.entrypoint),
        command=list(settings.command),
        working_dir=settings.working_dir,
        glibc=report.glibc or None,
        size=report.size,
        unpacked_size=report.unpacked,
        limit=IMAGE_LIMIT,
        files=report.files,
        layers=[
            ImageLayerOut(
                digest=layer.digest,
                media_type=layer.media_type,
                size=layer.size,
                unpacked_size=layer.unpacked,
                entries=layer.entries,
                created_by=layer.created_by or None,
            )
            for layer in report.layers
        ],
        largest=[ImageFileOut(path=_text(f"/{file.path}"), size=file.size) for file in report.largest],
        notes=[
            ImageNoteOut(rule=note.rule, subject=_text(note.subject), message=_text(note.message))
            for note in report.audit.notes
        ],
    ).model_dump()


def _text(text: str) -> str:
    """Return a text without what is no Unicode: names in a layer are bytes of any kind."""
    return text.encode("utf-8", "backslashreplace").decode()
