"""From a Dockerfile to a normalised image: build on the engine, export, take out what is not content."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from planton_build.cache import Store
from planton_build.errors import CacheBroken, ImageUnavailable
from planton_build.events import Listener, StepFinished, StepOutput, StepStarted
from planton_build.interrupts import undone_on_interrupt
from planton_build.oci.media_types import ARCHITECTURES
from planton_build.sandbox.dockerfile.builders import CommandLine, find_buildkit
from planton_build.sandbox.dockerfile.from_lines import base_of, with_pins
from planton_build.sandbox.dockerfile.order import WHAT, Log, Order
from planton_build.sandbox.engine import Engine, engine_errors
from planton_build.sandbox.files import EPOCH

if TYPE_CHECKING:
    from planton_build.oci.image import Image

REPOSITORY = "planton-build-dockerfile"
"""Name of the images that a build has on the engine until they are exported."""
_BASES = "planton-build-base"
"""Name of images that only the engine has, for BuildKit, which takes no IDs."""


def build_image(
    engine: Engine,
    order: Order,
    *,
    store: Store,
    base: Image | None,
    environment: Mapping[str, str],
    listener: Listener,
    function: str,
    jobs: int = 2,
    buildkit: bool | None = None,
) -> Image:
    """Build an image and return it normalised. Its layers are in the store, those of `base` where they were.

    Args:
        engine: what builds.
        order: what to build.
        store: where layers and temporary files go.
        base: the image that the wanted stage is built on, if it could be had from a registry or a file.
        environment: of the process: where docker's command is, and its settings.
        listener: is told each line of the build.
        function: whose image it is, for events.
        jobs: threads that compress.
        buildkit: True or False take that builder alone; None takes BuildKit if it is there.

    Raises:
        DockerfileFailed: a command failed, or the Dockerfile means nothing to the builder.
        ImageUnavailable: an image that it names is not to be had.
        ContainerTimeout, ContainerDiskFull, EngineUnavailable: the engine did not do it.
        ImageInvalid, ImageMismatch: the engine exported something else than an image.
        CacheBroken: the store cannot be used.
    """
    from planton_build.oci.docker_archive import read_archive
    from planton_build.oci.normalise import normalise

    started = time.perf_counter()
    listener(StepStarted(function, "image"))

    def log(line: str) -> None:
        listener(StepOutput(function, WHAT, line))

    command = None if buildkit is False else find_buildkit(engine, environment)
    if buildkit and command is None:
        raise ImageUnavailable("neither the engine nor a docker command here has BuildKit")
    name = command.name if command is not None else "the engine's classic builder"
    log(f"built by {name}")
    tag = f"{REPOSITORY}:{token_hex(12)}"
    with store.staging() as archive:
        with undone_on_interrupt(lambda: _remove(engine, tag)):
            try:
                diff_ids = _built(engine, order, tag, command, store, log)
                _export(engine, tag, archive)
            finally:
                _remove(engine, tag)
        image = normalise(
            read_archive(archive),
            architecture=ARCHITECTURES[order.choices.architecture],
            store=store,
            base=base,
            base_diff_ids=diff_ids,
            jobs=jobs,
        )
    listener(StepFinished(function, "image", name, time.perf_counter() - started))
    return image


def _built(
    engine: Engine, order: Order, tag: str, command: CommandLine | None, store: Store, log: Log
) -> tuple[str, ...]:
    """Build the image `tag`; return the `diff_id`s of the base that the engine took."""
    from planton_build.sandbox.dockerfile.buildkit import build_with_buildkit
    from planton_build.sandbox.dockerfile.classic import build_with_api, check_classic

    if command is None:
        check_classic(order)
    values = {"SOURCE_DATE_EPOCH": str(EPOCH), **order.choices.arguments}
    with _named(engine, order.pins, command is not None) as pins, store.staging_folder() as folder:
        text = with_pins(order.dockerfile, order.choices, pins)
        if command is not None:
            build_with_buildkit(command, order, text, tag, folder, values, log)
        else:
            build_with_api(engine, order, text, tag, folder, values, log)
        base = base_of(order.dockerfile, order.choices)
        if base is None:
            return ()
        found = _inspected(engine, pins.get(base.key, base.name)) or {}
        return tuple(map(str, (found.get("RootFS") or {}).get("Layers") or ()))


@contextlib.contextmanager
def _named(
    engine: Engine, pins: Mapping[tuple[str, str], str], by_name: bool
) -> Iterator[dict[tuple[str, str], str]]:
    """Give pins in which images have names, not IDs, if they must: temporary ones."""
    result, made = dict(pins), list[str]()
    try:
        for key, pin in pins.items():
            if not pin.startswith("sha256:"):
                continue
            found = _inspected(engine, pin)
            if found is None:
                raise ImageUnavailable(
                    f"the container engine has no image with the ID {pin}, which is locked for {key[0]}",
                    hint="load that very image with `docker load`, or take the one that is there with "
                    "`planton-build lock --upgrade`",
                )
            if by_name:
                number = token_hex(12)
                with engine_errors("naming an image"):
                    engine.api.tag(pin, _BASES, number)
                result[key] = f"{_BASES}:{number}"
                if found.get("RepoTags"):  # without its last name, an image is gone
                    made.append(result[key])
        yield result
    finally:
        for one in made:
            _remove(engine, one)


def _inspected(engine: Engine, reference: str) -> dict[str, Any] | None:
    import docker

    with engine_errors("looking at an image"):
        try:
            found: dict[str, Any] = engine.api.inspect_image(reference)
        except docker.errors.NotFound:
            return None
    return found


def _export(engine: Engine, tag: str, archive: Path) -> None:
    """Write what `docker save` writes to a file."""
    api = engine.api
    # Not by get_image: the engine prepares for longer than an answer may take, and says nothing meanwhile.
    with engine_errors("exporting the image"):
        url = f"{api.base_url}/v{api.api_version}/images/{tag}/get"
        with api.get(url, stream=True, timeout=None) as answer:
            answer.raise_for_status()
            try:
                with archive.open("wb") as stream:
                    for piece in answer.iter_content(1 << 20):
                        stream.write(piece)
            except OSError as error:
                if error.errno is None:  # of requests
                    raise
                raise CacheBroken(
                    f"the exported image cannot be written to {archive.parent}: {error.strerror}",
                    hint="free some space or name another folder with PLANTON_CACHE_DIR",
                ) from error


def _remove(engine: Engine, tag: str) -> None:
    """Take a name, and with it what nothing else needs, off the engine; what is in its cache stays."""
    import docker
    import requests

    with contextlib.suppress(docker.errors.DockerException, requests.exceptions.RequestException):
        engine.api.remove_image(tag, noprune=True)
