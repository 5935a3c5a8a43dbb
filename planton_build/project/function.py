"""`FunctionProject`: a manifest with its source folder, its target and its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from planton_build.manifest.document import Manifest
from planton_build.manifest.model import CodeSourceType
from planton_build.runtimes.target import Target

ContainerMode: TypeAlias = Literal["auto", "always", "never"]
"""`auto` builds in a container what no wheel gives, `always` does everything there, `never` refuses."""
LayerCompression: TypeAlias = Literal["gzip", "spliced"]
"""How an image's layers are compressed: as one gzip member, or each file's own bytes as a member."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What a function's build depends on, after flags, environment, files and defaults were merged.

    `source` is the absolute source folder. `dependencies` is the dependency input to use, absolute, or None
    to look for one (`ecosystems/python/inputs.py` has the order). `include` and `exclude` are gitignore-style
    patterns over the source folder, `package_exclude` over the files that packages bring (archive paths).
    `max_size` is a budget in unzipped bytes.

    `container` says what is done in build containers. `build_image` and `runtime_image` name images other
    than Amazon's; `{runtime}` and `{architecture}` stand for the target's. `system_packages` are installed
    there, `commands` run there. `container_memory` (bytes) and `container_timeout` (seconds) limit each
    container. `bytecode` adds `.pyc` files. `allow` maps what the audit may let pass to the reason why.

    The rest is for functions that run from an image. `runtime` and `handler` stand in for the manifest's,
    which may leave them out. `base_image` is a name, `oci:FOLDER` or `docker-archive:FILE`, Amazon's for the
    runtime if None; `entrypoint` replaces the base's. With `dockerfile` (absolute) the engine builds it, with
    `source` as the context; `docker_secrets` maps names to absolute files. `repository` is where images go,
    with `{function}` for the name; without a registry it is in the ECR of the function's account and region.
    """

    source: Path
    dependencies: Path | None = None
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    package_exclude: tuple[str, ...] = ()
    scripts: bool = False
    bytecode: bool = False
    container: ContainerMode = "auto"
    build_image: str | None = None
    runtime_image: str | None = None
    system_packages: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    container_memory: int = 4 << 30
    container_timeout: int = 3600
    allow: Mapping[str, str] = field(default_factory=dict)
    bucket: str | None = None
    prefix: str = ""
    max_size: int | None = None
    runtime: str | None = None
    handler: str | None = None
    base_image: str | None = None
    entrypoint: tuple[str, ...] = ()
    layer_compression: LayerCompression = "gzip"
    dockerfile: Path | None = None
    docker_target: str | None = None
    docker_args: Mapping[str, str] = field(default_factory=dict)
    docker_secrets: Mapping[str, Path] = field(default_factory=dict, repr=False)
    repository: str | None = None
    create_repository: bool = False
    config_files: tuple[Path, ...] = field(default=())
    """The files options came from, nearest first; for messages only."""


@dataclass(frozen=True, slots=True)
class FunctionProject:
    """One function to build."""

    manifest: Manifest
    target: Target
    options: BuildOptions

    @property
    def name(self) -> str:
        """Return the function's name in AWS."""
        return self.manifest.model.spec.function_name

    @property
    def is_image(self) -> bool:
        """Tell whether the function runs from a container image."""
        return self.manifest.model.spec.code_source_type is CodeSourceType.IMAGE

    @property
    def handler(self) -> str:
        """Return the handler; of an image, the manifest may leave it to the options."""
        return self.manifest.model.spec.handler or self.options.handler or ""
