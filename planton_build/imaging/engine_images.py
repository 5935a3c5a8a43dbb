"""Images that a Dockerfile names: in a registry, or on the engine alone, as `docker build` finds them."""

from __future__ import annotations

from collections.abc import Mapping

from planton_build.errors import EngineUnavailable, ImageUnavailable
from planton_build.imaging.sources import digest_now
from planton_build.registry.registries import Registries

IMAGE_ID = "image-id:"
"""What an image lock has before the ID of an image that only the engine has."""


def digest_of(
    reference: str,
    name: str,
    architecture: str,
    environment: Mapping[str, str],
    registries: Registries,
) -> str:
    """Return what pins an image now: the digest that its registry has for it, or the ID of a local one.

    Args:
        reference: the name with its registry.
        name: the name as it is written, which the engine may have.
        architecture: which image of an index is meant, `x86_64` or `arm64`.
        environment: of the process, for the engine.
        registries: where and how to ask.

    Raises:
        ImageUnavailable: neither the engine nor the registry has it.
    """
    local = _only_here(name, environment)
    if local is not None:
        return f"{IMAGE_ID}{local}"
    try:
        return digest_now(reference, architecture, registries)
    except ImageUnavailable as error:
        raise ImageUnavailable(
            f"{name}, which the Dockerfile names: {error.message}", hint=error.hint
        ) from error


def _only_here(name: str, environment: Mapping[str, str]) -> str | None:
    """Return the ID of an image that the engine has and that no registry gave it."""
    from planton_build.sandbox.engine import connect
    from planton_build.sandbox.images import local_image

    try:
        engine = connect(environment)
    except EngineUnavailable:
        return None  # said when something has to be built
    try:
        return local_image(engine, name)
    finally:
        engine.close()
