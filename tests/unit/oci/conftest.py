"""Small images for the tests of `planton_build.oci`."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planton_build.cache import Store
from planton_build.oci.blobs import BytesContent, Descriptor
from planton_build.oci.image import Image, Layer
from planton_build.oci.media_types import CONFIG_OF, LAYER_OF, OCI_MANIFEST, OCI_TAR_LAYER

MakeImage = Callable[..., Image]
MakeLayer = Callable[..., Layer]


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _layer(name: str, content: bytes = b"content", *, kind: str = LAYER_OF[OCI_MANIFEST]) -> Layer:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    unpacked = stream.getvalue()
    packed = unpacked if kind == OCI_TAR_LAYER else gzip.compress(unpacked, mtime=0)
    return Layer(Descriptor(kind, digest(packed), len(packed)), digest(unpacked), BytesContent(packed))


def _image(
    *layers: Layer,
    kind: str = OCI_MANIFEST,
    architecture: str = "amd64",
    inner: dict[str, Any] | None = None,
    **fields: Any,
) -> Image:
    used = layers or (_layer("base", kind=LAYER_OF[kind]), _layer("more", b"x" * 5000, kind=LAYER_OF[kind]))
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": ["PATH=/bin", "LANG=C"], "Cmd": ["sh"]} if inner is None else inner,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in used]},
            **fields,
        }
    ).encode()
    said = {"mediaType": CONFIG_OF[kind], "digest": digest(config), "size": len(config)}
    named = [
        {"mediaType": d.media_type, "digest": d.digest, "size": d.size}
        for d in (layer.descriptor for layer in used)
    ]
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": said, "layers": named}).encode()
    return Image(kind, manifest, config, tuple(used))


@pytest.fixture(scope="session")
def layer() -> MakeLayer:
    """Return a function `(name, content, kind=…)` that makes a layer of one file."""
    return _layer


@pytest.fixture(scope="session")
def image() -> MakeImage:
    """Return a function `(*layers, kind=…, architecture=…, inner=…, …)` that makes an image."""
    return _image


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
