"""Layers made of members, each made once: functions with the same packages share the layer of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from planton_build.archive import compress, gzipped
from planton_build.archive.member import Member
from planton_build.cache import Store, key_of
from planton_build.oci.blobs import Descriptor, FileContent
from planton_build.oci.image import Layer
from planton_build.oci.media_types import OCI_LAYER
from planton_build.parallel import SingleFlight
from planton_build.project.function import LayerCompression

ROOT = "var/task"
"""Where a function's files are in an image: LAMBDA_TASK_ROOT of Amazon's base images. A dependency there wins
over those that the base image brings."""
_FORMAT = 1
"""Raised whenever the same members may give other bytes than before."""


@dataclass(frozen=True, slots=True)
class MadeLayer:
    """A layer of members: `tar_size` is its size unpacked (bytes)."""

    layer: Layer
    tar_size: int


@dataclass(frozen=True, slots=True)
class LayerMaker:
    """Makes the layers of a run. Safe to use from several threads."""

    store: Store
    jobs: int
    _flights: SingleFlight[MadeLayer] = field(default_factory=SingleFlight)

    def layer(
        self,
        members: Sequence[Member],
        compression: LayerCompression,
        advanced: Callable[[int], None] | None = None,
    ) -> MadeLayer:
        """Return the layer of some members, from the store if it was made before.

        Raises:
            MemberCollision: two members cannot be in one tree.
            CacheBroken: the bytes of a member are gone, or the store cannot be written.
        """
        spliced = compression == "spliced"
        listing = sorted(
            # Bytes that are spliced are the wheels' own, so where they come from decides too.
            (member.path, member.mode, member.sha256, *((member.file.name, member.offset) if spliced else ()))
            for member in members
        )
        how = [gzipped.COMPRESSOR, *([compress.COMPRESSOR] if spliced else ())]
        key = key_of("layer", _FORMAT, compression, how, ROOT, listing)

        def work() -> MadeLayer:
            return self._known(key) or self._made(key, members, compression, advanced)

        return self._flights.run(key, work)

    def _known(self, key: str) -> MadeLayer | None:
        record = self.store.record("image_layers", key)
        if record is None:
            return None
        made = _made_layer(record, self.store)
        try:
            whole = self.store.blob("blobs", made.layer.descriptor.hex).stat().st_size == record["size"]
        except FileNotFoundError:
            return None
        return made if whole else None

    def _made(
        self,
        key: str,
        members: Sequence[Member],
        compression: LayerCompression,
        advanced: Callable[[int], None] | None,
    ) -> MadeLayer:
        from planton_build.archive.layer import write_layer

        with self.store.staging() as staged:
            written = write_layer(
                members, staged, root=ROOT, compression=compression, jobs=self.jobs, advanced=advanced
            )
            self.store.keep("blobs", written.digest.removeprefix("sha256:"), staged)
        record: dict[str, int | str] = {
            "digest": written.digest,
            "diff_id": written.diff_id,
            "size": written.size,
            "tar_size": written.tar_size,
        }
        self.store.put_record("image_layers", key, record)
        return _made_layer(record, self.store)


def _made_layer(record: dict[str, int | str], store: Store) -> MadeLayer:
    descriptor = Descriptor(OCI_LAYER, str(record["digest"]), int(record["size"]))
    content = FileContent(store.blob("blobs", descriptor.hex), descriptor.size)
    return MadeLayer(Layer(descriptor, str(record["diff_id"]), content), int(record["tar_size"]))
