"""`BuildImage`: the image that a target's builds run in, and everything that names it for good."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImagePin:
    """A base image, named for good. `digest` is `sha256:…`: of its manifest where it came from a registry, of
    its configuration (the image's ID) where it only exists on an engine."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class BuildImage:
    """An image ready for builds.

    `id` is its ID on the engine; it differs between engines, so it is in no key and no lock. What decides the
    results is `base`, `toolchain` (SHA-256 of the Dockerfile and of the locked tools, hex) and
    `system_packages`, each with its exact version as the image's package manager writes it.
    """

    id: str
    base: ImagePin
    toolchain: str
    system_packages: tuple[str, ...] = ()
