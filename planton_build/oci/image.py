"""`Image`: one image of one platform, as a value: its documents, and where the bytes of its layers are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from planton_build.errors import ImageInvalid
from planton_build.oci.blobs import Content, Descriptor
from planton_build.oci.documents import ImageConfig, parse_config, parse_manifest


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer. `diff_id` is the digest (`sha256:…`) of the tar stream that its bytes unpack to."""

    descriptor: Descriptor
    diff_id: str
    content: Content


@dataclass(frozen=True, slots=True)
class Image:
    """An image: the bytes of its manifest and of its configuration, and its layers, the lowest first.

    The documents are kept as bytes because their digests are names; `documents` reads them.
    """

    media_type: str
    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]

    @property
    def digest(self) -> str:
        """Return the digest of the manifest, which names the image."""
        return f"sha256:{hashlib.sha256(self.manifest).hexdigest()}"

    @property
    def config_digest(self) -> str:
        """Return the digest of the configuration: what Docker calls the image's ID."""
        return f"sha256:{hashlib.sha256(self.config).hexdigest()}"

    @property
    def settings(self) -> ImageConfig:
        """Return the configuration, read anew.

        Raises:
            ImageInvalid: it is no configuration of an image.
        """
        return parse_config(self.config)

    @property
    def size(self) -> int:
        """Return the bytes of all blobs: what a registry stores."""
        layers = sum(layer.descriptor.size for layer in self.layers)
        return len(self.manifest) + len(self.config) + layers


def joined(
    manifest: bytes, config: bytes, content: Callable[[Descriptor, str], Content], served_as: str = ""
) -> Image:
    """Return the image of these documents; `content` tells where a layer is, by descriptor and `diff_id`.

    `served_as` is the media type that the manifest came with, if any.

    Raises:
        ImageInvalid: the documents are malformed, or do not belong together.
    """
    named = parse_manifest(manifest, served_as)
    if named.config.digest != f"sha256:{hashlib.sha256(config).hexdigest()}":
        raise ImageInvalid("the image's configuration is not the one that its manifest names")
    diff_ids = parse_config(config).diff_ids
    if len(diff_ids) != len(named.layers):
        raise ImageInvalid(
            f"the image's manifest names {len(named.layers)} layers, its configuration {len(diff_ids)}",
            hint="this is no image of a container, or it is damaged: build it again",
        )
    layers = tuple(
        Layer(descriptor, diff_id, content(descriptor, diff_id))
        for descriptor, diff_id in zip(named.layers, diff_ids, strict=True)
    )
    return Image(named.media_type, manifest, config, layers)
