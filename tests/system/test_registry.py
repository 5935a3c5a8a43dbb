"""What is pushed is read by others: skopeo, Docker Engine; and a push needs little memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from planton_build.oci.blobs import BytesContent, Descriptor
from planton_build.oci.image import Image, Layer
from planton_build.oci.media_types import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
)
from planton_build.registry.pull import Repository
from planton_build.registry.push import push
from planton_build.registry.session import Session

KINDS = {
    "oci": (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER),
    "docker": (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER),
}
Require = Callable[[str, bool, str], None]


@pytest.fixture
def registry(tmp_path: Path, require_engine: Require) -> Iterator[str]:
    """Run docker-registry; give its host."""
    program = shutil.which("docker-registry")
    require_engine("docker-registry", program is not None, "apt-get install docker-registry")
    assert program is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with subprocess.Popen(
        [program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            for _ in range(400):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.025)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def make_image(kind: str) -> Image:
    """Return an image of two layers with a file each, and nothing to run."""
    media_type, config_type, layer_type = KINDS[kind]
    layers = []
    for name in ("one", "two"):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
        packed = gzip.compress(stream.getvalue(), mtime=0)
        described = Descriptor(layer_type, digest_of(packed), len(packed))
        layers.append(Layer(described, digest_of(stream.getvalue()), BytesContent(packed)))
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/one"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }
    config = json.dumps(document).encode()

    def entry(of: Descriptor) -> dict[str, Any]:
        return {"mediaType": of.media_type, "digest": of.digest, "size": of.size}

    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": entry(Descriptor(config_type, digest_of(config), len(config))),
        "layers": [entry(layer.descriptor) for layer in layers],
    }
    return Image(media_type, json.dumps(manifest).encode(), config, tuple(layers))


def pushed(host: str, image: Image) -> str:
    with Session(host) as session:
        done = push(image, Repository(session, "planton/test"), tags=["one"])
    return f"{host}/planton/test@{done.digest}"


@pytest.mark.parametrize("kind", KINDS)
def test_skopeo_reads_what_was_pushed(
    registry: str, kind: str, tmp_path: Path, require_engine: Require
) -> None:
    require_engine("skopeo", shutil.which("skopeo") is not None, "apt-get install skopeo")
    image = make_image(kind)
    name = pushed(registry, image)
    command = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false"]
    subprocess.run([*command, f"docker://{name}", f"dir:{tmp_path}/copy"], check=True, capture_output=True)
    assert (tmp_path / "copy" / "manifest.json").read_bytes() == image.manifest
    for layer in image.layers:
        assert (tmp_path / "copy" / layer.descriptor.hex).read_bytes() == b"".join(layer.content.chunks())


@pytest.mark.parametrize("kind", KINDS)
def test_what_skopeo_pushed_is_read(
    registry: str, kind: str, tmp_path: Path, require_engine: Require
) -> None:
    require_engine("skopeo", shutil.which("skopeo") is not None, "apt-get install skopeo")
    image = make_image(kind)
    name = pushed(registry, image)
    command = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false"]
    target = f"docker://{registry}/planton/copy:two"
    subprocess.run([*command, f"docker://{name}", target], check=True, capture_output=True)
    with Session(registry) as session:
        copied = Repository(session, "planton/copy").image("two", architecture="x86_64")
    assert (copied.manifest, copied.config) == (image.manifest, image.config)


@pytest.mark.xdist_group("containers")
@pytest.mark.parametrize("kind", KINDS)
def test_docker_pulls_what_was_pushed(registry: str, kind: str, require_engine: Require) -> None:
    answers = shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False)
    require_engine("docker", bool(answers) and answers.returncode == 0, "needs a running engine")
    image = make_image(kind)
    name = pushed(registry, image)
    try:
        subprocess.run(["docker", "pull", "--quiet", name], check=True, capture_output=True)
        inspected = subprocess.run(["docker", "image", "inspect", name], check=True, capture_output=True)
        (described,) = json.loads(inspected.stdout)
        assert described["Id"] == image.config_digest
        assert described["RootFS"]["Layers"] == [layer.diff_id for layer in image.layers]
    finally:
        subprocess.run(["docker", "image", "rm", "--force", name], check=False, capture_output=True)


PUSH_MUCH = """
import hashlib, json, os, sys
from planton_build.oci.blobs import Descriptor
from planton_build.oci.image import Image, Layer
from planton_build.registry.pull import Repository
from planton_build.registry.push import push
from planton_build.registry.session import Session

host, layers, mebibytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
KIND = "application/vnd.oci.image."
NOISE = os.urandom(1 << 20)


class Content:
    def __init__(self, seed):
        self.seed = seed

    def chunks(self, offset=0):
        assert offset == 0
        for n in range(mebibytes):
            yield self.seed.to_bytes(8, "big") + n.to_bytes(8, "big") + NOISE[16:]


def layer(seed):
    digest = hashlib.sha256()
    for chunk in Content(seed).chunks():
        digest.update(chunk)
    descriptor = Descriptor(KIND + "layer.v1.tar+gzip", f"sha256:{digest.hexdigest()}", mebibytes << 20)
    return Layer(descriptor, "sha256:" + "0" * 64, Content(seed))


def entry(of):
    return {"mediaType": of.media_type, "digest": of.digest, "size": of.size}


made = [layer(seed) for seed in range(layers)]
rootfs = {"type": "layers", "diff_ids": [one.diff_id for one in made]}
config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
described = Descriptor(KIND + "config.v1+json", "sha256:" + hashlib.sha256(config).hexdigest(), len(config))
manifest = {"schemaVersion": 2, "config": entry(described), "layers": [entry(one.descriptor) for one in made]}
image = Image(KIND + "manifest.v1+json", json.dumps(manifest).encode(), config, tuple(made))
with Session(host) as session:
    push(image, Repository(session, "planton/much"), tags=["one"])
    pulled = Repository(session, "planton/much").image("one", architecture="x86_64")
    for one in pulled.layers:
        for _ in one.content.chunks():
            pass
"""
# A process's peak counts from its parent's size when it is forked: a small parent, not pytest, must do that.
MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(peak if sys.platform == "darwin" else peak * 1024)
"""


def test_the_memory_of_a_push_does_not_grow_with_the_image(registry: str) -> None:
    command = [sys.executable, "-c", MEASURED, sys.executable, "-c", PUSH_MUCH, registry, "4", "75"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert 20 << 20 < int(done.stdout) < 150 << 20
