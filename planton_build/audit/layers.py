"""What attached layers bring, as far as they were looked into: a layer version never changes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from planton_build.cache import Store, key_of

_FORMAT = 2
_METADATA = re.compile(r"(?:^|/)(?P<name>[^/]+)-[^/-]+\.dist-info/METADATA$")


@dataclass(frozen=True, slots=True)
class LayerContent:
    """A layer version: its unzipped `size` in bytes, the names of its `libraries`, its Python `packages`."""

    size: int
    libraries: tuple[str, ...]
    packages: tuple[str, ...]


def known_layer(arn: str, store: Store) -> LayerContent | None:
    """Return what is known of a layer version."""
    record = store.record("layers", key_of(_FORMAT, arn))
    if not isinstance(record, dict):
        return None
    return LayerContent(record["size"], tuple(record["libraries"]), tuple(record["packages"]))


def look_into(arn: str, archive: Path, store: Store) -> LayerContent:
    """Look into the ZIP of a layer version, and keep what is in it.

    Raises:
        ArchiveInvalid: it is not a ZIP that Lambda would unpack as it says.
    """
    from planton_build.audit.archive import members_of
    from planton_build.audit.binaries import native_files
    from planton_build.audit.content import libraries_in

    members, _ = members_of(archive)
    found = (_METADATA.search(member.path) for member in members)
    content = LayerContent(
        sum(member.size for member in members),
        tuple(sorted(libraries_in(native_files(members, store)))),
        tuple(sorted({re.sub(r"[-_.]+", "-", match["name"]).lower() for match in found if match})),
    )
    record = {"size": content.size, "libraries": content.libraries, "packages": content.packages}
    store.put_record("layers", key_of(_FORMAT, arn), record)
    return content


def joined(arns: Iterable[str], store: Store) -> tuple[frozenset[str], frozenset[str]] | None:
    """Return the libraries and packages of all layers, or None when one was never looked into."""
    libraries: set[str] = set()
    packages: set[str] = set()
    for arn in arns:
        content = known_layer(arn, store)
        if content is None:
            return None
        libraries.update(content.libraries)
        packages.update(content.packages)
    return frozenset(libraries), frozenset(packages)
