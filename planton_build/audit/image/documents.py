"""What an image's documents say, held against what Lambda takes: manifest, kinds of layers, configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planton_build.audit.findings import AuditFinding, Level
from planton_build.audit.image.facts import LayerFacts
from planton_build.errors import ImageInvalid
from planton_build.oci.documents import ImageConfig, ImageManifest, document_of, media_type_of, parse_manifest
from planton_build.oci.image import Image
from planton_build.oci.media_types import ARCHITECTURES, CONFIG_OF, GZIPPED_LAYERS

_LAYERS = 127
"""Layers that Docker's overlay2 puts over each other; Lambda's own number is not published."""
_IGNORED = ("User", "Volumes", "Healthcheck", "ExposedPorts", "OnBuild", "StopSignal", "Shell")
"""Fields of a configuration that Lambda passes over (AWS Lambda guide, "Container image settings")."""
_GZIP = "build with gzipped layers (buildx: compression=gzip,force-compression=true), or push with docker"
_PLAIN = "uncompressed, and Lambda takes gzip (it answers UnsupportedImageLayerDetected)"


def finding(
    rule: str, subject: str, message: str, hint: str = "", level: Level = "failure", group: str = ""
) -> AuditFinding:
    """Return a finding about an image as a whole."""
    return AuditFinding(
        rule, subject, "", message, hint if level == "failure" else "", level, (subject,), group
    )


def document_findings(image: Image, settings: ImageConfig, *, archived: bool) -> Iterator[AuditFinding]:
    """Yield what is wrong with manifest and configuration.

    `archived`: the image is in a file of `docker save`, which has layers unpacked however they are pushed.
    """
    try:
        manifest = parse_manifest(image.manifest, image.media_type)
    except ImageInvalid as error:
        kind = media_type_of(document_of(image.manifest, "the image's manifest"), image.media_type)
        yield finding("manifest", kind or "manifest", error.message, error.hint or "build a single image")
        return
    yield from _manifest(image, manifest, settings)
    for index, layer in enumerate(image.layers):
        if layer.descriptor.media_type not in GZIPPED_LAYERS:
            yield _layer_kind(index, layer.descriptor.media_type, archived=archived)
    if len(image.layers) > _LAYERS:
        message = f"the image has {len(image.layers)} layers; Docker stacks no more than {_LAYERS}"
        yield finding("layers", "layers", message, level="note")
    if not settings.document.get("history"):
        # Lambda's own base images had none (aws/aws-lambda-base-images#2), so that it cannot be refused.
        message = "the configuration has no history, which other tools rely on (podman, buildah)"
        yield finding("history", "history", message, level="note")


def index_findings(image: Image) -> Iterator[AuditFinding]:
    """Yield that the image's name stands for an index."""
    yield finding(
        "manifest",
        "index",
        "the name stands for an index of images, and Lambda takes the manifest of a single image",
        f"deploy the one for the function's architecture by its digest, {image.digest}; or build it alone "
        "(buildx: one platform, --provenance=false --sbom=false)",
    )


def _manifest(image: Image, manifest: ImageManifest, settings: ImageConfig) -> Iterator[AuditFinding]:
    kind = manifest.config.media_type
    if kind != CONFIG_OF[manifest.media_type]:
        message = f"the configuration is {kind[:100]!r}, and Lambda takes {CONFIG_OF[manifest.media_type]}"
        yield finding("manifest", kind[:100], message, "name an image, not another kind of artifact")
    if manifest.config.digest != image.config_digest:
        message = f"the manifest names the configuration {manifest.config.digest}, which is not the image's"
        yield finding("manifest", "config", message, "fetch or build the image anew")
    if manifest.layers != tuple(layer.descriptor for layer in image.layers) or settings.diff_ids != tuple(
        layer.diff_id for layer in image.layers
    ):
        message = (
            f"manifest and configuration do not speak of the same layers: {len(manifest.layers)} and "
            f"{len(settings.diff_ids)} (rootfs.diff_ids)"
        )
        yield finding("manifest", "layers", message, "build the image anew")


def _layer_kind(index: int, kind: str, *, archived: bool) -> AuditFinding:
    """Return the finding on a layer of a kind that was never seen to work in Lambda."""
    what = f"layer {index + 1} is {kind[:100]!r}"
    if "nondistributable" in kind or "foreign" in kind:
        message, hint = (
            f"{what}: its bytes are somewhere else, and Lambda fetches none",
            "push it with its bytes",
        )
        return finding("media-type", f"layer {index + 1}", message, hint, group=kind)
    if kind.endswith(("tar", "rootfs.diff")):
        if archived:
            message = "the archive has the layers unpacked; what pushes them compresses them"
            return finding("media-type", "layers", message, level="note", group=kind)
        return finding("media-type", f"layer {index + 1}", f"{what}: {_PLAIN}", _GZIP, group=kind)
    if "zstd" in kind:
        message = f"{what}, and only gzip was seen to work in Lambda"
        return finding("media-type", f"layer {index + 1}", message, _GZIP, group=kind)
    hint = "build without attestations (buildx: --provenance=false --sbom=false)"
    return finding(
        "media-type", f"layer {index + 1}", f"{what}, which is no layer of files", hint, group=kind
    )


def compression_findings(image: Image, facts: Sequence[LayerFacts]) -> Iterator[AuditFinding]:
    """Yield the layers that are not compressed though their kind says so."""
    for index, (layer, seen) in enumerate(zip(image.layers, facts, strict=True)):
        if layer.descriptor.media_type in GZIPPED_LAYERS and seen.compression == "none":
            yield finding(
                "media-type",
                f"layer {index + 1}",
                f"layer {index + 1} is said to be gzipped and is {_PLAIN}",
                _GZIP,
                group="plain",
            )


def platform_findings(settings: ImageConfig, architecture: str | None) -> Iterator[AuditFinding]:
    """Yield what is wrong with system and architecture. `architecture` is asked for, as Lambda calls it."""
    if settings.os != "linux":
        message = f"the image is for {settings.os[:40] or 'no system'!r}, and Lambda runs Linux"
        yield finding("os", "os", message, "build the image for Linux")
    wanted = ARCHITECTURES.get(architecture or "")
    said = settings.architecture[:40] or "nothing"
    if wanted is not None and settings.architecture != wanted:
        yield finding(
            "image-architecture",
            "architecture",
            f"the image is for {said}, and the function for {wanted}",
            f"build it with --platform linux/{wanted}, or set the function's architecture to what it is",
        )
    elif wanted is None and settings.architecture not in ARCHITECTURES.values():
        message = f"the image is for {said}, and Lambda has amd64 and arm64"
        yield finding("image-architecture", "architecture", message, "build it for one of these")


def setting_findings(settings: ImageConfig) -> Iterator[AuditFinding]:
    """Yield a note on what the configuration says in vain."""
    inner = settings.document.get("config")
    found = [name for name in _IGNORED if isinstance(inner, dict) and inner.get(name)]
    if found:
        message = f"Lambda passes over {', '.join(found)} of the configuration"
        yield finding("ignored", "config", message, level="note")
