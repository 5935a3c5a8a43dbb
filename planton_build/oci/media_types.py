"""The media types of images: OCI image 1.1 (`media-types.md`) and Docker's image manifest V2, schema 2."""

from __future__ import annotations

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_TAR_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_ZSTD_LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
"""Manifests of one image: what Lambda takes (AWS Lambda guide, "Container image requirements")."""
INDEXES = (OCI_INDEX, DOCKER_LIST)
"""Lists of manifests by platform, which Lambda refuses."""
GZIPPED_LAYERS = (OCI_LAYER, DOCKER_LAYER)
"""The only kinds of layer that were seen to work in Lambda."""

CONFIG_OF = {OCI_MANIFEST: OCI_CONFIG, DOCKER_MANIFEST: DOCKER_CONFIG}
LAYER_OF = {OCI_MANIFEST: OCI_LAYER, DOCKER_MANIFEST: DOCKER_LAYER}
"""The media types of configuration and gzipped layers that go with a kind of manifest."""

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""What images call a machine or a Lambda architecture (Go's GOARCH, as OCI image 1.1 `config.md` asks)."""
