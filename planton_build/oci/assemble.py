"""Putting an image together: a base, layers on top of it, and what to start. A pure function of its
arguments.

The result is the manifest of a single image, of the base's own kind: Lambda takes no index. Its configuration
is the base's with what was asked for changed, in JSON with sorted keys, so that the same image has the same
digest on every host.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from planton_build.errors import ImageInvalid, ImageMismatch
from planton_build.oci.blobs import Descriptor
from planton_build.oci.documents import DOCUMENT_LIMIT, parse_manifest
from planton_build.oci.image import Image, Layer
from planton_build.oci.media_types import CONFIG_OF, GZIPPED_LAYERS, LAYER_OF

CREATED = "1980-01-01T00:00:00Z"
"""The time of everything made here: that of the files in our layers."""
_VOLATILE = ("container", "container_config", "docker_version")
"""What Docker's classic builder adds about the container and the host that an image was made with."""
_VOLATILE_SETTINGS = ("Hostname", "Image")
_BUILDKIT = "moby.buildkit."
"""Keys under which BuildKit keeps its own cache and build log."""
_ARM64_VARIANT = "v8"
"""The one variant that OCI image 1.1 (`image-index.md`, "Platform Variants") has for arm64. Docker writes it
in the images that it builds, and an image without it and one with it are the same platform to every
engine."""


@dataclass(frozen=True, slots=True)
class NewLayer:
    """A layer to add, and what the image's history says of it."""

    layer: Layer
    created_by: str


def assemble(
    base: Image,
    layers: Sequence[NewLayer],
    *,
    architecture: str,
    entrypoint: Sequence[str] | None = None,
    command: Sequence[str] | None = None,
    working_dir: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Image:
    """Return `base` with `layers` on top, the lowest first.

    `architecture` is `amd64` or `arm64`, which the base must be for. What is None stays as in the base.
    `environment` replaces variables of the same name where they stand; others follow, sorted.

    Raises:
        ImageInvalid: the base's documents contradict each other.
        ImageMismatch: the base is for another system or architecture.
    """
    _check(base, architecture)
    typed = tuple(_typed(new.layer, base.media_type) for new in layers)
    document = dict(base.settings.document)
    for key in [key for key in document if key in _VOLATILE or key.startswith(_BUILDKIT)]:
        del document[key]
    document |= {"architecture": architecture, "os": "linux", "created": CREATED}
    if architecture == "arm64":
        document["variant"] = document.get("variant") or _ARM64_VARIANT
    document["config"] = _settings(base, entrypoint, command, working_dir, environment or {})
    document["history"] = [
        *_history(base),
        *({"created": CREATED, "created_by": new.created_by} for new in layers),
    ]
    document["rootfs"] = {
        "type": "layers",
        "diff_ids": [*base.settings.diff_ids, *(layer.diff_id for layer in typed)],
    }
    return image_of(base.media_type, document, (*base.layers, *typed))


def image_of(media_type: str, configuration: Mapping[str, Any], layers: Sequence[Layer]) -> Image:
    """Return the image with this configuration and these layers: its documents as the same bytes everywhere.

    `media_type` is that of the manifest.

    Raises:
        ImageInvalid: the configuration has what JSON does not know, or a document gets too large.
    """
    return image_around(media_type, canonical(configuration), layers)


def image_around(media_type: str, config: bytes, layers: Sequence[Layer]) -> Image:
    """Return the image with a configuration that must stay as it is, byte for byte.

    Raises:
        ImageInvalid: the manifest gets too large.
    """
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    manifest = canonical(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": named(Descriptor(CONFIG_OF[media_type], digest, len(config))),
            "layers": [named(layer.descriptor) for layer in layers],
        }
    )
    return Image(media_type, manifest, config, tuple(layers))


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return a JSON document as bytes that depend on its values alone: sorted keys, no spaces, ASCII.

    Raises:
        ImageInvalid: it holds what JSON does not know, or is too large.
    """
    try:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise ImageInvalid("a document of the image would be no proper JSON") from error
    if len(text) > DOCUMENT_LIMIT:
        raise ImageInvalid(f"a document of the image is larger than {DOCUMENT_LIMIT >> 20} MiB")
    return text.encode("ascii")


def _check(base: Image, architecture: str) -> None:
    settings, manifest = base.settings, parse_manifest(base.manifest, base.media_type)
    if manifest.layers != tuple(layer.descriptor for layer in base.layers):
        raise ImageInvalid("the layers of the base image are not those of its manifest")
    if manifest.config.digest != base.config_digest:
        raise ImageInvalid("the configuration of the base image is not that of its manifest")
    if settings.diff_ids != tuple(layer.diff_id for layer in base.layers):
        raise ImageInvalid(
            f"the base image has {len(base.layers)} layers, and its configuration speaks of "
            f"{len(settings.diff_ids)}, or of others",
            hint="take another build of it: this one is damaged",
        )
    if (settings.os or "linux", settings.architecture) != ("linux", architecture):
        system = settings.os or "linux"
        raise ImageMismatch(
            f"the base image is for {system[:40]}/{settings.architecture[:40]}, and the function for "
            f"linux/{architecture}",
            hint="name a base image for the function's architecture, or change the manifest's",
        )


def _typed(layer: Layer, manifest: str) -> Layer:
    """Return a new layer under the media type that goes with the kind of manifest."""
    descriptor = layer.descriptor
    if descriptor.media_type not in GZIPPED_LAYERS:
        raise ImageInvalid(f"{descriptor.media_type[:100]!r} is no gzipped layer, and Lambda takes no other")
    return replace(layer, descriptor=replace(descriptor, media_type=LAYER_OF[manifest]))


def _settings(
    base: Image,
    entrypoint: Sequence[str] | None,
    command: Sequence[str] | None,
    working_dir: str | None,
    environment: Mapping[str, str],
) -> dict[str, Any]:
    inner = base.settings.document.get("config")
    settings = dict(inner) if isinstance(inner, dict) else {}
    for key in _VOLATILE_SETTINGS:
        settings.pop(key, None)
    if entrypoint is not None:
        settings["Entrypoint"] = list(entrypoint)
    if command is not None:
        settings["Cmd"] = list(command)
    if working_dir is not None:
        settings["WorkingDir"] = working_dir
    if environment:
        settings["Env"] = _environment(base.settings.environment, environment)
    return settings


def _environment(base: Sequence[str], changes: Mapping[str, str]) -> list[str]:
    """Return the base's variables with changed values in place, and the new ones behind them."""
    new = {name: f"{name}={changes[name]}" for name in sorted(changes)}
    result = []
    for line in base:
        name = line.partition("=")[0]
        if name not in changes:
            result.append(line)
        elif name in new:
            result.append(new.pop(name))
    return [*result, *new.values()]


def _history(base: Image) -> list[Any]:
    """Return the base's history, one entry for each layer and any without; a plain one if it has no such."""
    history = base.settings.document.get("history")
    entries = history if isinstance(history, list) else []
    if all(isinstance(entry, dict) for entry in entries):
        filling = [entry for entry in entries if not entry.get("empty_layer")]
        if len(filling) == len(base.layers):
            return entries
    return [{"created": CREATED, "created_by": "base image"} for _ in base.layers]


def named(descriptor: Descriptor) -> dict[str, Any]:
    """Return a descriptor as documents have it."""
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}
