"""From paths to functions: manifests below folders, each with its target and its options."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from planton_build.errors import (
    ConfigInvalid,
    Finding,
    NoFunctionFound,
    PlantonError,
    RuntimeUnsupported,
    SeveralErrors,
)
from planton_build.manifest.document import Manifest
from planton_build.manifest.load import looks_like_manifest, read_manifests
from planton_build.manifest.model import Architecture, CodeSourceType
from planton_build.project.function import FunctionProject
from planton_build.project.layers import ConfigFiles, options_for
from planton_build.project.repository import ignore_rules_above
from planton_build.project.tree import entries_of
from planton_build.runtimes.catalog import target_for
from planton_build.runtimes.target import Target

OS_ONLY = "provided.al2023"
"""What a Dockerfile's image counts as when no runtime is named: the system, without a language."""
SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})
"""Folders that hold other people's files, besides virtual environments and those that begin with a dot."""


def find_manifests(paths: Sequence[Path]) -> list[Path]:
    """Return the manifest files under some paths, sorted, each once.

    A file is taken as it is. A folder is searched with everything below it, except symlinks, virtual
    environments, caches, `node_modules`, folders whose name begins with a dot, and what git ignores by the
    repository's own rules.

    Raises:
        NoFunctionFound: a path does not exist, or nothing was found below any.
        SourceInvalid: a folder cannot be read.

    """
    found: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            candidates: Iterator[Path] = _below(path)
        elif path.exists():
            candidates = iter((path,))
        else:
            raise NoFunctionFound(
                f"{path} does not exist", hint="name a manifest, or a folder with manifests"
            )
        for candidate in candidates:
            found.setdefault(os.path.realpath(candidate), candidate)
    if not found:
        raise _nothing_found(paths)
    return [found[real] for real in sorted(found)]


def load_projects(
    paths: Sequence[Path], flags: Mapping[str, Any], environment: Mapping[str, str]
) -> list[FunctionProject]:
    """Return every function under some paths, in the order of their files.

    Args:
        paths: manifests or folders.
        flags: options from the command line, as in `options_for`.
        environment: variables, as in `options_for`.

    Raises:
        NoFunctionFound: there is none.
        PlantonError: one file or function is wrong.
        SeveralErrors: several are, so that all are seen at once.

    """
    loader = _Loader(flags, environment, {os.path.realpath(path) for path in paths})
    for path in find_manifests(paths):
        loader.load(path)
    errors = [*loader.errors, *_duplicates(loader.projects)]
    if not errors and not loader.projects:
        errors = loader.images or [_nothing_found(paths)]
    if len(errors) > 1:
        raise SeveralErrors(errors)
    if errors:
        raise errors[0]
    return loader.projects


class _Loader:
    """Reads manifest files into projects, and keeps what is wrong for the end."""

    def __init__(self, flags: Mapping[str, Any], environment: Mapping[str, str], named: set[str]) -> None:
        self._flags = flags
        self._environment = environment
        self._named = named
        self._files = ConfigFiles()
        self.projects: list[FunctionProject] = []
        self.errors: list[PlantonError] = []
        self.images: list[PlantonError] = []
        """Why container images were left out, in case there is nothing else."""

    def load(self, path: Path) -> None:
        try:
            manifests = read_manifests(path)
        except PlantonError as error:
            self.errors.append(error)
            return
        for manifest in manifests:
            try:
                project = self._project(manifest)
                if project is None:
                    named = os.path.realpath(path) in self._named
                    (self.errors if named else self.images).append(_made_elsewhere(manifest))
                else:
                    self.projects.append(project)
            except PlantonError as error:
                # One wrong configuration file is one mistake, however many functions it is for.
                if error.findings not in [other.findings for other in self.errors]:
                    self.errors.append(error)

    def _project(self, manifest: Manifest) -> FunctionProject | None:
        """Return the function, or None for one whose image is made by something else."""
        options = options_for(manifest, flags=self._flags, environment=self._environment, files=self._files)
        spec = manifest.model.spec
        runtime = spec.runtime
        if spec.code_source_type is CodeSourceType.IMAGE:
            runtime = runtime or options.runtime or ""
            if options.dockerfile is not None:
                runtime = runtime or OS_ONLY
            elif not runtime:
                return None
            elif not (spec.handler or options.handler):
                raise _no_handler(manifest)
        return FunctionProject(manifest, _target(manifest, runtime), options)


def _below(top: Path) -> Iterator[Path]:
    """Yield the manifests below a folder that git does not ignore."""
    real = Path(os.path.realpath(top))
    rules, base = ignore_rules_above(real)
    pending = [(top, base, rules)]
    while pending:
        folder, base, rules = pending.pop()
        entries = entries_of(folder, base)
        names = {entry.name for entry in entries}
        if "pyvenv.cfg" in names and folder != top:
            continue
        if ".gitignore" in names:
            rules = rules.entering(base, folder / ".gitignore")
        for entry in entries:
            if entry.is_folder:
                skipped = entry.name.startswith(".") or entry.name in SKIPPED
                if not skipped and not rules.decide(entry.relative, folder=True):
                    pending.append((entry.path, entry.relative + "/", rules))
            elif (
                entry.is_regular
                and entry.name.lower().endswith((".yaml", ".yml"))
                and not rules.decide(entry.relative, folder=False)
                and looks_like_manifest(entry.path)
            ):
                yield entry.path


def _target(manifest: Manifest, runtime: str) -> Target:
    spec = manifest.model.spec
    try:
        return target_for(runtime, "arm64" if spec.architecture is Architecture.ARM64 else "x86_64")
    except RuntimeUnsupported as error:
        place = manifest.position("spec", "runtime")
        raise RuntimeUnsupported(
            f"{spec.function_name}: {error.message}",
            hint=error.hint,
            file=manifest.path,
            line=place.line if place else None,
            column=place.column if place else None,
        ) from error


def _made_elsewhere(manifest: Manifest) -> RuntimeUnsupported:
    place = manifest.position("spec", "code_source_type")
    return RuntimeUnsupported(
        f"{manifest.model.spec.function_name} runs from a container image, and nothing says how to make it",
        hint="set `runtime` and `handler` for an image on Amazon's base, in the manifest or in planton.toml, "
        "or `dockerfile` in planton.toml; planton-deploy takes an image that was made elsewhere as it is",
        file=manifest.path,
        line=place.line if place else None,
        column=place.column if place else None,
    )


def _no_handler(manifest: Manifest) -> ConfigInvalid:
    place = manifest.position("spec", "code_source_type")
    return ConfigInvalid(
        f"{manifest.model.spec.function_name} runs from a container image and has no handler",
        hint="set `handler`, such as app.handler, in the manifest or in planton.toml",
        file=manifest.path,
        line=place.line if place else None,
        column=place.column if place else None,
    )


def _duplicates(projects: Sequence[FunctionProject]) -> Iterator[ConfigInvalid]:
    """Yield an error for every function that is described twice: both would be written to the same place."""
    seen: dict[tuple[str, str], Manifest] = {}
    for project in projects:
        manifest = project.manifest
        first = seen.setdefault((manifest.model.spec.region, project.name), manifest)
        if first is not manifest:
            hint = "rename one of them, or build them in separate runs"
            yield ConfigInvalid(
                f"the function {project.name} is described twice: in {first.path} and in {manifest.path}",
                hint=hint,
                findings=[
                    Finding(
                        ConfigInvalid.code,
                        f"the function {project.name} is described in {other.path} too",
                        one.path,
                        place.line if place else None,
                        place.column if place else None,
                        hint,
                    )
                    for one, other in ((first, manifest), (manifest, first))
                    for place in (one.position("spec", "function_name"),)
                ],
            )


def _nothing_found(paths: Sequence[Path]) -> NoFunctionFound:
    shown = ", ".join(str(path) for path in paths)
    return NoFunctionFound(
        f"no AwsLambda manifest was found in {shown or 'no path at all'}",
        hint="a manifest is a .yaml file with `kind: AwsLambda`; one that git ignores must be named itself",
    )
