"""What this tool has on an engine, and what that engine can run: for people who look, and who clean up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from planton_build.errors import EmulationMissing, PlantonError
from planton_build.sandbox.container import Sandbox
from planton_build.sandbox.engine import Engine, engine_errors
from planton_build.sandbox.strays import LABEL, Stray, strays

_ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class MadeImage:
    """An image that was made here. `size` is in bytes, with what it shares with its base."""

    id: str
    name: str
    architecture: str
    size: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """An engine. `architectures` says of each of Lambda's how the engine runs it."""

    endpoint: str
    version: str
    machine: str
    architectures: Mapping[str, str]
    strays: tuple[Stray, ...]
    images: tuple[MadeImage, ...]


def take_inventory(engine: Engine) -> Inventory:
    """Look at an engine. An architecture is tried with a build image of it, where one was made before.

    Raises:
        EngineUnavailable: it does not answer.
    """
    left = tuple(strays(engine))
    images = made_images(engine)
    return Inventory(
        endpoint=engine.endpoint,
        version=engine.version,
        machine=engine.machine,
        architectures={name: _how(engine, name, images) for name in _ARCHITECTURES},
        strays=left,
        images=images,
    )


def made_images(engine: Engine) -> tuple[MadeImage, ...]:
    """Return the images that were made here, by name. Raises EngineUnavailable."""
    with engine_errors("listing images"):
        found = engine.api.images(filters={"label": f"{LABEL}=image"})
        named = [(str(one["Id"]), str(tag)) for one in found for tag in one.get("RepoTags") or []]
        details = [(name, engine.api.inspect_image(image)) for image, name in named]
    return tuple(
        MadeImage(str(one["Id"]), name, str(one.get("Architecture", "")), int(one.get("Size", 0)))
        for name, one in sorted(details, key=lambda pair: pair[0])
        if name != "<none>:<none>"
    )


def remove_images(engine: Engine) -> tuple[MadeImage, ...]:
    """Remove the images that were made here; they come back when needed. Raises EngineUnavailable."""
    found = made_images(engine)
    for image in found:
        with engine_errors(f"removing the image {image.name}"):
            engine.api.remove_image(image.name)
    return found


def _how(engine: Engine, architecture: str, images: tuple[MadeImage, ...]) -> str:
    machine = "aarch64" if architecture == "arm64" else architecture
    if machine == engine.machine:
        return "natively"
    fitting = [one for one in images if one.architecture == _ARCHITECTURES[architecture]]
    if not fitting:
        return "not tried yet: no build image of it was made"
    try:
        Sandbox(engine, lambda _what, _line: None).check(fitting[0].id, machine)
    except EmulationMissing as error:
        return f"no: {error.hint}"
    except PlantonError as error:
        return f"not known: {error.message}"
    return "by emulation"
