"""Bring an image onto the engine: one that it has not got, by its own means or through its API."""

from __future__ import annotations

import tempfile
from pathlib import Path

from planton_build.errors import EngineUnavailable
from planton_build.oci.docker_archive import write_archive
from planton_build.oci.image import Image
from planton_build.sandbox.engine import Engine, engine_errors

_SHOWN = 300


def present_image(engine: Engine, image: Image, *, pull_from: str | None = None) -> str:
    """Return the ID of an image on the engine, having brought it there unless the engine has it.

    `pull_from` is its name with digest in a registry that the engine may be able to fetch it from; then it
    leaves out the layers it has. The image gets no tag: `docker image prune` removes it.

    Raises:
        EngineUnavailable, ContainerDiskFull: the engine fails, or does not take it.
        ImageMismatch, ImageUnavailable, CacheBroken: the image's layers are not to be had.
    """
    found = _found(engine, image)
    if found is None and pull_from is not None and _pulled(engine, pull_from):
        found = _found(engine, image) or _id_of(engine, pull_from)
    return found or _loaded(engine, image)


def _found(engine: Engine, image: Image) -> str | None:
    # An engine calls an image by its configuration, or, where containerd keeps the images, by its manifest.
    return _id_of(engine, image.config_digest) or _id_of(engine, image.digest)


def _id_of(engine: Engine, name: str) -> str | None:
    import docker

    with engine_errors("looking for an image"):
        try:
            return str(engine.api.inspect_image(name)["Id"])
        except docker.errors.NotFound:
            return None


def _pulled(engine: Engine, name: str) -> bool:
    """Have the engine fetch an image, and tell whether it could: it may have another idea of loopback."""
    import docker

    with engine_errors("fetching an image"):
        try:
            for answer in engine.api.pull(name, stream=True, decode=True):
                if "error" in answer:
                    return False
        except docker.errors.APIError:
            return False
    return True


def _loaded(engine: Engine, image: Image) -> str:
    """Load an image through the engine's API, which works wherever the engine is."""
    with tempfile.TemporaryDirectory(prefix="planton-image-") as folder:
        archive = Path(folder) / "image.tar"
        write_archive(image, archive)
        with archive.open("rb") as stream, engine_errors("loading an image"):
            said = [str(one.get("error") or "") for one in engine.api.load_image(stream)]
    found = _found(engine, image)
    if found is None:
        words = next((error for error in said if error), "it does not have it afterwards")
        raise EngineUnavailable(
            f"the container engine did not load the image: {words[:_SHOWN]}",
            hint="see the engine's own log; `planton-build doctor` shows which engine is used",
        )
    return found
