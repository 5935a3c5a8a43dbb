"""An image of a function held against Lambda's rules, with the layers of its base fetched once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.cache import Store
from planton_build.errors import CacheBroken
from planton_build.events import Listener, StepAdvanced, StepFinished, StepStarted
from planton_build.imaging.sources import RegistryContent, located
from planton_build.oci.blobs import Content, Descriptor
from planton_build.oci.image import Image, Layer
from planton_build.project.discovery import OS_ONLY
from planton_build.project.function import FunctionProject
from planton_build.registry.registries import Registries

if TYPE_CHECKING:
    from planton_build.audit.image.check import ImageReport


def checked(
    project: FunctionProject,
    image: Image,
    *,
    base_layers: int,
    store: Store,
    registries: Registries,
    listener: Listener,
    jobs: int,
) -> tuple[ImageReport, list[str]]:
    """Hold an image against Lambda's rules.

    `base_layers` is how many of its layers are those of its base. Layers that nobody has looked into yet are
    fetched, and stay in the store: they are what pushing and writing need next.

    Returns:
        What the image is, and what is worth a word.

    Raises:
        PlantonError: Lambda would not take the image, or could not run it; or a layer is not to be had.
    """
    from planton_build.audit.image.check import check_image, raise_for

    started, name = time.perf_counter(), project.name
    listener(StepStarted(name, "check", None, "bytes"))
    at_hand = replace(image, layers=tuple(_fetched(layer, store, registries) for layer in image.layers))
    report = check_image(
        at_hand,
        store,
        target=project.target if project.target.runtime != OS_ONLY else None,
        architecture=project.target.architecture,
        allow=project.options.allow,
        base_layers=base_layers,
        handler=project.handler or None,
        jobs=jobs,
        advanced=lambda size: listener(StepAdvanced(name, "check", size)),
    )
    raise_for(report, project.manifest.path)
    listener(StepFinished(name, "check", f"{report.files} files", time.perf_counter() - started))
    # An exception may be for the packages, which were audited before.
    notes = [note.message for note in report.audit.notes if note.rule != "unused-exception"]
    return report, notes


def look_into(image: Image, *, store: Store, registries: Registries) -> None:
    """Fetch what nobody has looked into of a base image, and keep what is seen: `checked` asks for it later.

    Raises:
        PlantonError: a layer is not to be had, or is not what its digest says.
    """
    from planton_build.audit.image.facts import layer_facts

    for layer in image.layers:
        layer_facts(_fetched(layer, store, registries), store)


def _fetched(layer: Layer, store: Store, registries: Registries) -> Layer:
    """Return a layer that, while it is read from its registry, is written into the store."""
    if not isinstance(layer.content, RegistryContent):
        return layer
    return replace(layer, content=_Keeping(located(layer.content, registries), layer.descriptor, store))


@dataclass(frozen=True, slots=True)
class _Keeping:
    """Content that is kept in the store when it was read to its end, and was what its digest says."""

    content: Content
    descriptor: Descriptor
    store: Store

    def chunks(self, offset: int = 0) -> Iterator[bytes]:
        """Yield the bytes from `offset` on."""
        if offset:
            yield from self.content.chunks(offset)
            return
        digest = hashlib.sha256()
        with self.store.staging() as staged:
            for piece in self.content.chunks():
                digest.update(piece)
                self._append(staged, piece)
                yield piece
            if digest.hexdigest() == self.descriptor.hex:
                self.store.keep("blobs", self.descriptor.hex, staged)

    def _append(self, staged: Path, piece: bytes) -> None:
        try:
            with staged.open("ab") as kept:
                kept.write(piece)
        except OSError as error:
            raise CacheBroken(
                f"the cache folder {self.store.root} cannot be used: {error.strerror}",
                hint="free some space or name another folder with PLANTON_CACHE_DIR",
            ) from error
