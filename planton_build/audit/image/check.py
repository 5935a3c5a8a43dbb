"""`check_image`: an image held against all that Lambda asks of it, and the error that has all faults."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path

from planton_build.artifact import FileSize
from planton_build.audit.findings import AuditFinding, AuditReport, report_of
from planton_build.audit.image.documents import (
    compression_findings,
    document_findings,
    finding,
    index_findings,
    platform_findings,
    setting_findings,
)
from planton_build.audit.image.facts import LayerFacts, layer_facts
from planton_build.audit.image.native import NativeJudge, glibc_of, python_findings
from planton_build.audit.image.place import places_of
from planton_build.audit.image.running import handler_findings, permission_findings, start_findings, started
from planton_build.audit.image.stream import Allowance
from planton_build.audit.image.tree import Tree
from planton_build.audit.size import IMAGE_LIMIT
from planton_build.cache import Store
from planton_build.errors import (
    Finding,
    HandlerMissing,
    ImageInvalid,
    ImageMismatch,
    NativeCodeUnloadable,
    PlantonError,
    SizeLimitExceeded,
)
from planton_build.oci.documents import ImageConfig
from planton_build.oci.image import Image, Layer
from planton_build.oci.media_types import ARCHITECTURES
from planton_build.parallel import each
from planton_build.runtimes.target import Architecture, Target

_LARGEST = 10
_FINDINGS = 20_000
"""Findings on native code: a hostile image must not make millions."""
_NOTHING: Mapping[str, str] = {}
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_RULES: Mapping[str, type[PlantonError]] = {
    **dict.fromkeys(("manifest", "media-type", "os"), ImageInvalid),
    "size": SizeLimitExceeded,
    "image-architecture": ImageMismatch,
    **dict.fromkeys(("entrypoint", "permissions"), ImageInvalid),
    "handler": HandlerMissing,
    **dict.fromkeys(
        ("architecture", "python", "glibc", "library", "python-abi", "unreadable"), NativeCodeUnloadable
    ),
}
"""The error of each rule that can fail, the most basic rule first: the first fault decides the exit code."""
_ORDER = {rule: place for place, rule in enumerate(_RULES)}


@dataclass(frozen=True, slots=True)
class LayerSize:
    """A layer: `size` is that of its blob, `unpacked` that of its tar stream (bytes), `entries` its files,
    folders and links. `created_by` is what the image's history says of it, or ""."""

    digest: str
    media_type: str
    size: int
    unpacked: int
    entries: int
    created_by: str


@dataclass(frozen=True, slots=True)
class ImageReport:
    """What an image is, and what is wrong with it. `glibc` is the version it has, or ""; sizes are bytes.

    `layers` is the lowest first. It ends early, and `complete` is False, when the image is over Lambda's
    limit: then nothing was judged that needs all layers.
    """

    digest: str
    media_type: str
    settings: ImageConfig
    size: int
    unpacked: int
    layers: tuple[LayerSize, ...]
    largest: tuple[FileSize, ...]
    files: int
    glibc: str
    complete: bool
    audit: AuditReport


def check_image(
    image: Image,
    store: Store,
    *,
    target: Target | None = None,
    architecture: Architecture | None = None,
    allow: Mapping[str, str] = _NOTHING,
    base_layers: int = 0,
    handler: str | None = None,
    archived: bool = False,
    index: bool = False,
    limit: int = IMAGE_LIMIT,
    jobs: int = 2,
    advanced: Callable[[int], None] | None = None,
) -> ImageReport:
    """Tell whether Lambda would take an image and could run it.

    Args:
        image: the image. Its layers are read once, in a stream; what was seen is kept in the store.
        store: keeps what was seen, by the layers' digests.
        target: the function's runtime and architecture; None when that is not known.
        architecture: the architecture alone, where no target is given. None for what the image says.
        allow: reasons by the file, library or other subject (or a shell pattern) that may stay.
        base_layers: how many layers, from the lowest, belong to the base image; 0 when that is not known.
        handler: the function's handler; None for the image's own command.
        archived: the image is in a file of `docker save`, where layers are never compressed.
        index: the image was found under the name of an index, which Lambda would refuse.
        limit: bytes that all layers together may unpack to.
        jobs: threads that read layers.
        advanced: told how many bytes more were unpacked.

    Raises:
        ImageInvalid: documents or layers cannot be read at all.
        ImageMismatch: a layer's bytes are not those that the documents name.
        ConfigInvalid: an exception has no reason.
        CacheBroken: the store cannot be used.
    """
    architecture = target.architecture if target is not None else architecture
    settings = image.settings
    found = [
        *document_findings(image, settings, archived=archived),
        *(index_findings(image) if index else ()),
        *platform_findings(settings, architecture),
        *setting_findings(settings),
    ]
    facts = _facts(image, store, Allowance(limit), jobs, advanced)
    tree, glibc = Tree(facts), ""
    complete = len(facts) == len(image.layers)
    if complete:
        name = ARCHITECTURES[architecture] if architecture else settings.architecture
        judged = _Judged(tree, settings, _MACHINES.get(name, ""), target)
        glibc = judged.glibc
        found += [*compression_findings(image, facts), *judged.findings(base_layers, handler)]
    else:
        message = f"the image unpacks to more than the {limit:,} bytes that Lambda takes"
        found.append(finding("size", "size", message, "leave files out, or build on a smaller base image"))
    audit = report_of(found, allow)
    ordered = tuple(sorted(audit.findings, key=lambda one: _ORDER[one.rule]))
    return ImageReport(
        digest=image.digest,
        media_type=image.media_type,
        settings=settings,
        size=image.size,
        unpacked=sum(one.unpacked for one in facts),
        layers=tuple(_layer_sizes(image, settings, facts)),
        largest=_largest(tree),
        files=sum(1 for seen in tree.files.values() if seen.entry.kind in "fh"),
        glibc=glibc,
        complete=complete,
        audit=AuditReport(ordered, audit.notes),
    )


def raise_for(report: ImageReport, file: Path | None = None) -> None:
    """Raise the error that has all failing findings, or nothing. `file` is the manifest or the image's file.

    Raises:
        ImageInvalid: Lambda would refuse the image, or could not start it.
        SizeLimitExceeded: it is too large.
        ImageMismatch: it is for another architecture.
        HandlerMissing: the handler's module is not in it.
        NativeCodeUnloadable: native code in it would not load, or its Python is another one.
    """
    findings = report.audit.findings
    if not findings:
        return
    first, count = findings[0], len(findings)
    raise _RULES[first.rule](
        first.message if count == 1 else f"{count} faults in the image; first, {first.message}",
        hint=first.hint or None,
        file=file,
        findings=[
            Finding(_RULES[one.rule].code, one.message, file, hint=one.hint or None, rule=one.rule)
            for one in findings
        ],
    )


class _Judged:
    """What is judged when all layers are known. `machine` is "" when the image says none that Lambda has."""

    def __init__(self, tree: Tree, settings: ImageConfig, machine: str, target: Target | None) -> None:
        self._tree, self._settings, self._machine, self._target = tree, settings, machine, target
        self._places = places_of(settings, machine)
        self.glibc = glibc_of(tree, self._places, machine)

    def findings(self, base_layers: int, handler: str | None) -> Iterator[AuditFinding]:
        tree, settings, places, target = self._tree, self._settings, self._places, self._target
        yield from start_findings(tree, settings, places)
        yield from permission_findings(tree, places)
        yield from handler_findings(tree, settings, places, target.family if target else None, handler)
        if self._machine:
            vital = frozenset(self._vital())
            judge = NativeJudge(tree, places, self._machine, self.glibc, vital, base_layers)
            yield from islice(judge.findings(), _FINDINGS)
        if target is not None:
            yield from python_findings(tree, places, target, self.glibc)

    def _vital(self) -> Iterator[str]:
        """Yield what is started: the program, its interpreter, and the runtime's Python."""
        program = started(self._tree, self._settings, self._places)
        yield from filter(None, [program])
        interpreter = self._tree.script(program) if program else None
        yield from filter(None, [self._tree.find(interpreter) if interpreter else None])
        if self._target is not None and self._target.family == "python":
            name = "python{}.{}".format(*self._target.version)
            found = (self._tree.find(f"{folder}/{name}") for folder in self._places.path)
            yield from list(filter(None, found))[:1]


def _facts(
    image: Image, store: Store, allowance: Allowance, jobs: int, advanced: Callable[[int], None] | None
) -> list[LayerFacts]:
    """Return the facts of all layers, the lowest first; of fewer when they are over the limit together."""

    def seen(layer: Layer) -> LayerFacts | None:
        try:
            return layer_facts(layer, store, allowance=allowance, advanced=advanced)
        except SizeLimitExceeded:
            return None

    facts = each(image.layers, seen, jobs=jobs)
    return [one for one in takewhile(lambda one: one is not None, facts) if one is not None]


def _layer_sizes(image: Image, settings: ImageConfig, facts: list[LayerFacts]) -> Iterator[LayerSize]:
    written = settings.document.get("history")
    steps = [one for one in written if isinstance(one, dict)] if isinstance(written, list) else []
    said = [str(one.get("created_by") or "") for one in steps if not one.get("empty_layer")]
    for index, (layer, seen) in enumerate(zip(image.layers, facts, strict=False)):
        yield LayerSize(
            digest=layer.descriptor.digest,
            media_type=layer.descriptor.media_type,
            size=layer.descriptor.size,
            unpacked=seen.unpacked,
            entries=len(seen.entries),
            created_by=said[index] if len(said) == len(image.layers) else "",
        )


def _largest(tree: Tree) -> tuple[FileSize, ...]:
    files = ((seen.entry.size, path) for path, seen in tree.files.items())
    largest = heapq.nsmallest(_LARGEST, ((-size, path) for size, path in files if size))
    return tuple(FileSize(path, -size) for size, path in largest)
