"""What `uv pip compile` is asked for an input, and how its answer is read."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from planton_build.ecosystems.python import pyproject
from planton_build.ecosystems.python.inputs import DependencyInput
from planton_build.ecosystems.python.lock import LocalProject, Lock, LockedPackage
from planton_build.ecosystems.python.requirement_syntax import Place, hashes, logical_lines, normalise
from planton_build.ecosystems.python.requirements import LocalRequirement, read_requirements
from planton_build.ecosystems.python.uv_command import local_path
from planton_build.errors import ContainerRequired, DependencyInputInvalid, ResolutionFailed
from planton_build.runtimes.target import Target

_COMPILE = (
    *(
        "pip",
        "compile",
        "--quiet",
        "--generate-hashes",
        "--only-binary",
        ":all:",
        "--no-header",
        "--no-annotate",
    ),
    "--no-python-downloads",
)


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of a call of uv that the input decides.

    `folder` is the working directory, against which uv writes relative paths. `own` is the project itself,
    when it goes in as a wheel. `extras` are those asked of local projects, by folder.
    """

    path: Path
    folder: Path
    arguments: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    own: LocalProject | None = None
    extras: Mapping[Path, tuple[str, ...]] = field(default_factory=dict)


def request_for(
    dependencies: DependencyInput, target: Target, scratch: Path, environment: Mapping[str, str]
) -> Request:
    """Return what to ask uv. `scratch` is an existing folder for files that uv reads.

    Raises:
        DependencyInputInvalid: the input cannot be read or asks for what cannot be locked.
        ContainerRequired: it asks for a package to be built from sources.
        ResolutionFailed: the project does not support the target's Python.
    """
    from planton_build.runtimes.tags import marker_environment

    version = marker_environment(target)["python_full_version"]
    common = (*_COMPILE, "--python", sys.executable, "--python-version", version)
    if dependencies.kind == "pyproject":
        return _project_request(dependencies, target, scratch, common)
    return _requirements_request(dependencies, target, scratch, common, environment)


def _requirements_request(
    dependencies: DependencyInput,
    target: Target,
    scratch: Path,
    common: tuple[str, ...],
    environment: Mapping[str, str],
) -> Request:
    """Give uv the requirements as they were read here: without index options, includes and variables."""
    read = read_requirements(dependencies.path, variables=environment)
    if read.no_binary:
        raise ContainerRequired(
            f"{dependencies.path.name} asks for {', '.join(read.no_binary)} to be built from sources",
            hint="remove the --no-binary line: packages come from wheels only",
            file=dependencies.path,
        )
    named = [str(requirement.requirement()) for requirement in read.named]
    local = [_local_line(requirement) for requirement in read.local]
    source = _written(scratch / "requirements.in", [*named, *local])
    bounds = _written(scratch / "constraints.txt", [str(bound.requirement()) for bound in read.constraints])
    arguments = [*common, str(source), "-c", str(bounds), *(["--prerelease", "allow"] if read.pre else [])]
    extras: dict[Path, tuple[str, ...]] = {}
    for requirement in read.local:
        chosen = {*extras.get(requirement.folder, ()), *requirement.extras}
        extras[requirement.folder] = tuple(sorted(chosen))
    for folder in extras:
        _check_python(folder / "pyproject.toml", target)
    return Request(dependencies.path, dependencies.path.parent, tuple(arguments), extras=extras)


def _local_line(requirement: LocalRequirement) -> str:
    extras = f"[{','.join(requirement.extras)}]" if requirement.extras else ""
    marker = f" ; {requirement.marker}" if requirement.marker else ""
    return f"file://{quote(requirement.folder.as_posix())}{extras}{marker}"


def _project_request(
    dependencies: DependencyInput, target: Target, scratch: Path, common: tuple[str, ...]
) -> Request:
    """Give uv the pyproject.toml itself; of `[tool.uv]` what decides the versions goes along."""
    path = dependencies.path
    document = pyproject.load_toml(path)
    _check_python(path, target)
    uv = pyproject.table(document, "tool", "uv")
    bounds = _written(scratch / "constraints.txt", pyproject.strings(uv.get("constraint-dependencies")))
    overrides = _written(scratch / "overrides.txt", pyproject.strings(uv.get("override-dependencies")))
    excluded = _written(scratch / "excluded-names.txt", pyproject.strings(uv.get("exclude-dependencies")))
    arguments = [*common, path.name, "-c", str(bounds), "--overrides", str(overrides)]
    arguments += ["--excludes", str(excluded)] if uv.get("exclude-dependencies") else []
    for extra in dependencies.extras:
        arguments += ["--extra", extra]
    for group in dependencies.groups:
        arguments += ["--group", group]
    own = LocalProject(path.parent, dependencies.extras) if pyproject.is_package(document) else None
    return Request(path, path.parent, tuple(arguments), _project_variables(uv), own)


def _project_variables(uv: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of `[tool.uv]` that decide which versions count."""
    names = {
        "exclude-newer": "UV_EXCLUDE_NEWER",
        "prerelease": "UV_PRERELEASE",
        "resolution": "UV_RESOLUTION",
    }
    return {variable: uv[name] for name, variable in names.items() if isinstance(uv.get(name), str)}


def _check_python(path: Path, target: Target) -> None:
    """Refuse a project whose `requires-python` leaves the target out; uv does not look at it."""
    if path.is_file():
        check_requires_python(
            pyproject.table(pyproject.load_toml(path), "project").get("requires-python"), path, target
        )


def check_requires_python(written: object, path: Path, target: Target) -> None:
    """Raise ResolutionFailed when `written` (a version specifier) leaves the target's Python out."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    from planton_build.runtimes.tags import marker_environment

    version = marker_environment(target)["python_full_version"]
    if not isinstance(written, str):
        return
    try:
        supported = SpecifierSet(written)
    except InvalidSpecifier as error:
        raise DependencyInputInvalid(
            f"{path.name}: requires-python = {written!r} is not a version specifier", file=path
        ) from error
    if not supported.contains(version, prereleases=True):
        raise ResolutionFailed(
            f"{path.parent.name}/{path.name} requires Python {written}, but {target.runtime} has {version}",
            hint="widen requires-python, or choose another runtime",
            file=path,
        )


def _written(path: Path, lines: list[str] | tuple[str, ...]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def read_output(text: str, request: Request, target: Target) -> Lock:
    """Read the requirements that uv wrote: pins with hashes, and paths of local projects.

    Raises:
        DependencyInputInvalid: a local project brought a requirement by URL.
    """
    packages: dict[str, LockedPackage] = {}
    local: dict[Path, LocalProject] = {}
    if request.own is not None:
        local[request.own.folder] = request.own
    for number, line in logical_lines(text):
        pin, _, rest = line.partition(" --hash")
        name, equals, version = pin.split(";")[0].strip().partition("==")
        if equals and "@" not in name and "/" not in name:
            name = normalise(name.partition("[")[0])
            found = hashes("--hash" + rest, Place(request.path, number))
            packages[name] = LockedPackage(name, version, found)
            continue
        folder = _folder(pin, request)
        local.setdefault(folder, LocalProject(folder, request.extras.get(folder, ())))
    return Lock(
        target,
        tuple(packages[name] for name in sorted(packages)),
        tuple(local[folder] for folder in sorted(local)),
    )


def _folder(line: str, request: Request) -> Path:
    """Return the folder of a local project from one of the forms uv writes it in."""
    written = line.removeprefix("-e ").strip()
    name, direct, url = written.partition(" @ ")
    path = local_path(url if direct else written)
    if path is None or "+" in written.partition("://")[0]:
        raise DependencyInputInvalid(
            f"{request.path.name}: {name} comes from a URL or version control, which a lock cannot hold",
            hint="publish it to a package index, or put it into the repository and require it by path",
            file=request.path,
        )
    folder = Path(os.path.normpath(request.folder / path))
    if not folder.is_dir():
        raise DependencyInputInvalid(
            f"{request.path.name}: the path dependency {folder.name} is not a folder",
            hint="vendor projects as folders; put archives on an index or into a find-links folder",
            file=request.path,
        )
    return folder
