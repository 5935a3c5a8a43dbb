"""`Recipe`: how a function's Dockerfile becomes its image, known before any engine is asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from planton_build.artifact import BASE, DOCKERFILE, FileSize, ImageArtifact, PackageShare
from planton_build.cache import key_of
from planton_build.imaging.engine_images import IMAGE_ID, digest_of
from planton_build.imaging.lock import NAME
from planton_build.oci.image import Image
from planton_build.project.function import FunctionProject
from planton_build.sandbox.dockerfile.context import Context, read_context
from planton_build.sandbox.dockerfile.from_lines import Choices, FromImage, base_of, images_of
from planton_build.sandbox.dockerfile.parse import Dockerfile, read_dockerfile

if TYPE_CHECKING:
    from planton_build.imaging.imaging import Imaging
    from planton_build.runtimes.target import Architecture

_FORMAT = 1
"""Raised whenever the same inputs may give another image than before."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A Dockerfile with its context, its choices, and the digests of the images that it names.

    `pins` are by `FromImage.key`: digests, or `image-id:` and the ID of an image that only the engine has.
    """

    project: FunctionProject
    imaging: Imaging
    dockerfile: Dockerfile
    context: Context
    choices: Choices
    pins: Mapping[tuple[str, str], str]

    @property
    def fingerprint(self) -> object:
        """Return, as a JSON value, all that decides the image. No secret is in it."""
        project, options = self.project, self.project.options
        pins = [[*key, pin] for key, pin in sorted(self.pins.items())]
        return [
            _FORMAT,
            project.target.name,
            project.handler,
            self.dockerfile.text,
            self.context.digest,
            options.docker_target,
            sorted(options.docker_args.items()),
            sorted(options.docker_secrets),
            sorted(options.allow.items()),
            pins,
        ]

    def built(self) -> tuple[ImageArtifact, list[str]]:
        """Let the engine build it; check the image, and keep it.

        Returns:
            The image, and what is worth a word.

        Raises:
            PlantonError: the build failed, or Lambda would not take the image.
        """
        from planton_build.oci.store import keep
        from planton_build.sandbox.dockerfile.build import build_image
        from planton_build.sandbox.dockerfile.order import Order
        from planton_build.sandbox.engine import connect

        imaging, options = self.imaging, self.project.options
        base = self._base()
        order = Order(
            self.dockerfile,
            self.context,
            self.choices,
            pins={key: _written(key[0], pin) for key, pin in self.pins.items()},
            secrets=options.docker_secrets,
            seconds=options.container_timeout,
        )
        engine = connect(imaging.environment)
        try:
            image = build_image(
                engine,
                order,
                store=imaging.store,
                base=base,
                environment=imaging.environment,
                listener=imaging.listener,
                function=self.project.name,
                jobs=imaging.jobs,
            )
        finally:
            engine.close()
        keep(image, imaging.store, layers=False)
        below = len(base.layers) if base is not None else 0
        report, notes = imaging.checked(self.project, image, below)
        sizes = [layer.unpacked for layer in report.layers]
        shares = [
            PackageShare(name, "", sum(one.descriptor.size for one in layers), sum(unpacked), 0)
            for name, layers, unpacked in (
                (BASE, image.layers[:below], sizes[:below]),
                (DOCKERFILE, image.layers[below:], sizes[below:]),
            )
            if layers
        ]
        return self._artifact(image, report.unpacked, report.files, shares, report.largest), notes

    def _artifact(
        self,
        image: Image,
        unpacked: int,
        files: int,
        shares: list[PackageShare],
        largest: tuple[FileSize, ...],
    ) -> ImageArtifact:
        name = image.digest.removeprefix("sha256:")
        base = base_of(self.dockerfile, self.choices)
        pin = self.pins.get(base.key, "") if base is not None else ""
        known = base is not None and not pin.startswith(IMAGE_ID)
        return ImageArtifact(
            path=self.imaging.store.blob("blobs", name),
            sha256=name,
            # The same tars unpack to the same tree.
            tree_digest=key_of("layers", [layer.diff_id for layer in image.layers]),
            size=image.size,
            unzipped_size=unpacked,
            files=files,
            packages=tuple(shares),
            largest=largest,
            image=image,
            base=_written(base.name, pin) if base is not None and known else "",
        )

    def _base(self) -> Image | None:
        """Return the image that the wanted stage is built on, with its own compressed layers, if a registry
        has it."""
        from planton_build.imaging.base import Base, image_of

        base = base_of(self.dockerfile, self.choices)
        if base is None:
            return None
        pin = self.pins.get(base.key, "")
        name, _, digest = base.name.partition("@")
        if pin.startswith(IMAGE_ID) or not (pin or digest):
            return None
        return image_of(
            Base(_with_registry(name), pin or digest),
            self.project.target,
            self.imaging.store,
            self.imaging.registries,
        )


def recipe_of(project: FunctionProject, path: Path, imaging: Imaging) -> Recipe:
    """Read a function's Dockerfile and its context, and lock the images that it names.

    Raises:
        DockerfileFailed: the Dockerfile, or `.dockerignore`, is malformed.
        SourceInvalid: the context cannot be read.
        ImageUnavailable: an image that it names is not to be had.
        LockOutdated: one is not locked, and nothing may be written.
    """
    options = project.options
    dockerfile = read_dockerfile(path)
    choices = Choices(options.docker_target, options.docker_args, project.target.architecture)
    pins: dict[tuple[str, str], str] = {}
    for image in images_of(dockerfile, choices):
        if "@" not in image.name:
            pins[image.key] = _pin(image, project, imaging)
    # What a build writes itself would make the next one another.
    own = {os.path.realpath(one) for one in (project.manifest.path, options.source / NAME)}
    context = read_context(options.source, path, without=own)
    return Recipe(project, imaging, dockerfile, context, choices, pins)


def _pin(image: FromImage, project: FunctionProject, imaging: Imaging) -> str:
    architecture: Architecture = "arm64" if image.architecture == "arm64" else "x86_64"
    return imaging.locks.digest(
        project.options.source,
        image.name,
        architecture,
        lambda: digest_of(
            _with_registry(image.name), image.name, architecture, imaging.environment, imaging.registries
        ),
    )


def _written(name: str, pin: str) -> str:
    """Return what stands for an image in the Dockerfile that is built."""
    if pin.startswith(IMAGE_ID):
        return pin.removeprefix(IMAGE_ID)
    return f"{_with_registry(_without_tag(name))}@{pin}" if pin else _with_registry(name)


def _without_tag(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(":")[0]


def _with_registry(name: str) -> str:
    """Return a name with its registry: docker's own where it has none, as in `python:3.13-slim`."""
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return name
    return f"docker.io/{name if slash else f'library/{name}'}"
