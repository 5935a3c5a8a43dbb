"""What the store remembers of builds: artifacts and notes, under the key of all that decided them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from planton_build.artifact import (
    AnyArtifact,
    Artifact,
    BytecodeSize,
    FileSize,
    ImageArtifact,
    PackageShare,
)
from planton_build.cache import Store


def recorded(store: Store, key: str, base: str | None = None) -> tuple[AnyArtifact, list[str]] | None:
    """Return the artifact of an earlier build with this key, when it is still whole, and its notes.

    `base` is where the base image of an image is now, if that may be another place than it was then.
    """
    record = store.record("builds", key)
    if record is None:
        return None
    notes = list(record["notes"])
    if "base" in record["artifact"]:
        image = _image({**record["artifact"], **({"base": base} if base is not None else {})}, store)
        return None if image is None else (image, notes)
    path = store.blob("artifacts", record["artifact"]["sha256"])
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    artifact = Artifact(**_facts(record["artifact"]), path=path)
    if [status.st_size, status.st_mtime_ns] != record["stat"]:
        if not store.intact("artifacts", artifact.sha256):
            return None
        # Another build has made the same file anew: hash it once, not always.
        remember(store, key, artifact, notes)
    return artifact, notes


@dataclass(frozen=True, slots=True)
class Contents:
    """What is remembered of an artifact under its own digest: sizes in bytes, and its packages."""

    size: int
    unzipped_size: int
    packages: tuple[PackageShare, ...]


def contents_of(store: Store, sha256: str) -> Contents | None:
    """Return what this machine's cache knows of an artifact, which need not be there any more; or None.

    `sha256` (hex) is a ZIP's, or the digest of an image.
    """
    record = store.record("contents", sha256)
    if not isinstance(record, dict):
        return None
    try:
        shares = tuple(PackageShare(**share) for share in record["packages"])
        return Contents(int(record["size"]), int(record["unzipped_size"]), shares)
    except (KeyError, TypeError, ValueError):
        return None  # of another version of this tool


def remember(store: Store, key: str, artifact: AnyArtifact, notes: Sequence[str]) -> None:
    """Keep an artifact's facts under a key."""
    status = artifact.path.stat()
    value = {
        field.name: _plain(getattr(artifact, field.name))
        for field in fields(artifact)
        if field.name not in ("path", "image")
    }
    found = [status.st_size, status.st_mtime_ns]
    store.put_record("builds", key, {"artifact": value, "stat": found, "notes": list(notes)})
    known = {name: value[name] for name in ("size", "unzipped_size", "packages")}
    store.put_record("contents", artifact.sha256, known)


def _image(value: dict[str, Any], store: Store) -> ImageArtifact | None:
    from planton_build.imaging.kept import kept_image

    image = kept_image(store, f"sha256:{value['sha256']}", value["base"])
    if image is None:
        return None
    facts = {**_facts(value), "base": value["base"], "image": image}
    return ImageArtifact(**facts, path=store.blob("blobs", value["sha256"]))


def _facts(value: dict[str, Any]) -> dict[str, Any]:
    return {
        **value,
        "packages": tuple(PackageShare(**share) for share in value["packages"]),
        "largest": tuple(FileSize(**file) for file in value["largest"]),
        "bytecode": BytecodeSize(**value["bytecode"]),
    }


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, PackageShare | FileSize | BytecodeSize):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return value
