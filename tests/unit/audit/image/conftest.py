"""Images made by hand, of layers that tarfile writes: each test breaks one thing of a whole one."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from planton_build.oci.blobs import BytesContent, Descriptor
from planton_build.oci.image import Image, Layer
from planton_build.oci.media_types import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST

ENVIRONMENT = (
    "PATH=/var/lang/bin:/usr/bin",
    "LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/task:/var/task/lib:/opt/lib",
    "LAMBDA_TASK_ROOT=/var/task",
)


@dataclass(frozen=True)
class File:
    """One entry for a layer: a file, or by `kind` a folder ("d"), a link ("l") or a hard link ("h")."""

    path: str
    content: bytes = b""
    mode: int = 0o644
    kind: str = "f"
    target: str = ""


def tar_of(files: Sequence[File], *, kind: int = tarfile.PAX_FORMAT) -> bytes:
    kinds = {"f": tarfile.REGTYPE, "d": tarfile.DIRTYPE, "l": tarfile.SYMTYPE, "h": tarfile.LNKTYPE}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind, errors="surrogateescape") as archive:
        for file in files:
            info = tarfile.TarInfo(file.path)
            info.type, info.mode, info.linkname = kinds[file.kind], file.mode, file.target
            info.size = len(file.content) if file.kind == "f" else 0
            archive.addfile(info, io.BytesIO(file.content))
    return stream.getvalue()


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer_of(tar: bytes, packed: bytes | None = None, *, media_type: str = OCI_LAYER) -> Layer:
    """Return a layer of a tar stream; `packed` is what its blob holds, by default the stream gzipped."""
    packed = gzip.compress(tar, 1, mtime=0) if packed is None else packed
    return Layer(Descriptor(media_type, digest_of(packed), len(packed)), digest_of(tar), BytesContent(packed))


def image_of(*layers: Layer, **changes: Any) -> Image:
    """Return an image of Lambda's own kind; `changes` replace parts of the configuration, None removes."""
    inner = {
        "Entrypoint": ["/lambda-entrypoint.sh"],
        "Cmd": ["app.handler"],
        "Env": list(ENVIRONMENT),
        "WorkingDir": "/var/task",
    }
    outer: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created_by": f"step {index}"} for index in range(len(layers))],
    }
    for name, value in changes.items():
        (outer if name in {"architecture", "os", "rootfs", "history"} else inner)[name] = value
    config = json.dumps(
        {**outer, "config": {name: one for name, one in inner.items() if one is not None}}
    ).encode()
    return with_manifest(config, layers)


def with_manifest(config: bytes, layers: Sequence[Layer], /, **changes: Any) -> Image:
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [
            {
                "mediaType": one.descriptor.media_type,
                "digest": one.descriptor.digest,
                "size": one.descriptor.size,
            }
            for one in layers
        ],
        **changes,
    }
    return Image(str(manifest["mediaType"]), json.dumps(manifest).encode(), config, tuple(layers))


@pytest.fixture(scope="session")
def by_hand() -> ModuleType:
    """Return this module, for its functions: tests cannot import it."""
    return sys.modules[__name__]


@pytest.fixture
def base(elf: Callable[..., bytes]) -> Callable[..., list[File]]:
    """Return a function that gives the files of a small base image: shell, C library, Python 3.12."""

    def files(machine: str = "x86_64", *, glibc: str = "2.34") -> list[File]:
        loader = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}[machine]
        program = elf(
            machine, needed=["libc.so.6"], versions=[("libc.so.6", "GLIBC_2.17")], interpreter=loader
        )
        libc = elf(machine, soname="libc.so.6")
        libc += f"\0GNU C Library (GNU libc) stable release version {glibc}.\0".encode()
        return [
            *(
                File(path, kind="d", mode=0o755)
                for path in ("var", "var/lang", "var/lang/bin", "var/task", "usr")
            ),
            File("lib64", kind="l", target="usr/lib64"),
            File("bin", kind="l", target="usr/bin"),
            File("usr/lib64/libc.so.6", libc, 0o755),
            File("usr/lib64/" + loader.rpartition("/")[2], elf(machine), 0o755),
            File("usr/bin/bash", program, 0o755),
            File("usr/bin/sh", kind="l", target="bash"),
            File("var/lang/bin/python3.12", program, 0o755),
            File("var/lang/bin/python3", kind="l", target="python3.12"),
            File("lambda-entrypoint.sh", b"#!/bin/sh\nexec /var/runtime/bootstrap\n", 0o755),
        ]

    return files


@pytest.fixture
def make(base: Callable[..., list[File]]) -> Callable[..., Image]:
    """Return a function `(*files, without, ...)`: an image of a base layer and a layer of the function.

    `without` are paths that the base lacks; `machine` and `glibc` are the base's; others change the
    configuration.
    """

    def made(
        *files: File,
        without: Sequence[str] = (),
        machine: str = "x86_64",
        glibc: str = "2.34",
        app: bool = True,
        **changes: Any,
    ) -> Image:
        below = [one for one in base(machine, glibc=glibc) if one.path not in without]
        own = [File("var/task/app.py", b"def handler(event, context): ...\n")] if app else []
        return image_of(layer_of(tar_of(below)), layer_of(tar_of([*own, *files])), **changes)

    return made
