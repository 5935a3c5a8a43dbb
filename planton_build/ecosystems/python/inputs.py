"""`DependencyInput`: the file a function's dependencies come from, and the digest of all it depends on.

`options.dependencies` wins. Otherwise the source folder is searched in this order, and the first that is
there is used:

1. `pylock.toml`
2. `uv.lock` beside a `pyproject.toml` (for a member of a uv workspace: the workspace's `uv.lock`)
3. `poetry.lock` beside a `pyproject.toml`
4. `requirements.in` (a `requirements.txt` beside it is its compiled form, and not read)
5. `requirements.txt`
6. `pyproject.toml` that declares dependencies

None of them: the function has no dependencies. Nothing here imports more than the standard library, because a
build with nothing to do comes this way too.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from planton_build.ecosystems.python import pyproject
from planton_build.ecosystems.python.requirement_syntax import normalise, normalise_newlines, read_text_file
from planton_build.ecosystems.python.requirements import IndexOptions, Requirements, read_requirements
from planton_build.errors import ConfigInvalid, DependencyInputInvalid

if TYPE_CHECKING:
    from planton_build.project.function import FunctionProject

InputKind: TypeAlias = Literal["requirements", "pyproject", "pylock", "uv", "poetry"]

_MAX_PARENTS = 20


@dataclass(frozen=True, slots=True)
class DependencyInput:
    """Where a function's dependencies come from.

    `path` is absolute. `project` is the `pyproject.toml` that belongs to it, if one does. `extras` and
    `groups` are normalised and sorted. `digest` is the SHA-256 (hex) of everything the packages depend on:
    texts with line ends normalised, and of a `pyproject.toml` only the tables that matter. `is_locked` inputs
    pin every package with hashes: they are read and never replaced. `index_options` are index options
    written inside the input. `includes` are further files that were read, for messages.
    """

    kind: InputKind
    path: Path
    digest: str
    is_locked: bool
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    project: Path | None = None
    index_options: IndexOptions = field(default_factory=IndexOptions)
    includes: tuple[Path, ...] = ()


def find_input(
    project: FunctionProject, *, variables: Mapping[str, str] | None = None
) -> DependencyInput | None:
    """Return a function's dependency input, or None for a function without dependencies.

    Args:
        project: the function.
        variables: values for `${NAME}` in requirements files, as pip takes them from the environment.

    Raises:
        ConfigInvalid: the configured file does not exist, or a file without extras and groups is asked for
            some.
        DependencyInputInvalid: a file cannot be read.
    """
    options = project.options
    extras = tuple(sorted({normalise(name) for name in options.extras}))
    groups = tuple(sorted({normalise(name) for name in options.groups}))
    path = options.dependencies
    if path is None:
        path = _search(options.source, wants_groups=bool(extras or groups))
    elif path.is_dir():
        path = _search(path, wants_groups=bool(extras or groups))
    elif not path.is_file():
        raise ConfigInvalid(
            f"the dependency file {path.name} of {project.name} does not exist",
            hint="correct `dependencies` in the configuration",
            file=path,
        )
    return (
        None
        if path is None
        else _input_of(Path(os.path.normpath(path)), extras, groups, variables, options.source)
    )


def _search(folder: Path, *, wants_groups: bool) -> Path | None:
    """Return the first input in a folder, by the order in this module's description."""
    project = folder / "pyproject.toml"
    for name in ("pylock.toml", "uv.lock", "poetry.lock"):
        if (path := folder / name).is_file():
            return path
        if name == "uv.lock" and project.is_file() and (shared := _workspace_lock(folder)):
            return shared
    for name in ("requirements.in", "requirements.txt"):
        if (path := folder / name).is_file():
            return path
    if project.is_file():
        document = pyproject.load_toml(project)
        if pyproject.has_dependencies(document) or wants_groups:
            return project
    return None


def _workspace_lock(folder: Path) -> Path | None:
    """Return the `uv.lock` of the workspace that counts `folder` among its members."""
    for parent in list(folder.parents)[:_MAX_PARENTS]:
        if (parent / "uv.lock").is_file() and (parent / "pyproject.toml").is_file():
            workspace = pyproject.table(
                pyproject.load_toml(parent / "pyproject.toml"), "tool", "uv", "workspace"
            )
            relative = folder.relative_to(parent).parts
            members, excluded = (pyproject.strings(workspace.get(key)) for key in ("members", "exclude"))
            if _matches(relative, members) and not _matches(relative, excluded):
                return parent / "uv.lock"
    return None


def _matches(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """Tell whether a path matches one of some globs, in which `*` does not cross folders."""
    for pattern in patterns:
        wanted = PurePosixPath(pattern).parts
        if len(wanted) == len(parts) and all(map(fnmatch.fnmatchcase, parts, wanted)):
            return True
    return False


def _kind_of(path: Path) -> InputKind:
    name = path.name.lower()
    if name == "pylock.toml" or (name.startswith("pylock.") and name.endswith(".toml")):
        return "pylock"
    exact: dict[str, InputKind] = {"uv.lock": "uv", "poetry.lock": "poetry", "pyproject.toml": "pyproject"}
    return exact.get(name, "requirements")


def _input_of(
    path: Path,
    extras: tuple[str, ...],
    groups: tuple[str, ...],
    variables: Mapping[str, str] | None,
    source: Path,
) -> DependencyInput | None:
    kind = _kind_of(path)
    if kind == "requirements":
        if extras or groups:
            raise ConfigInvalid(
                f"{path.name} has no extras or groups to choose from",
                hint="remove `extras` and `groups`, or take the dependencies from pyproject.toml",
                file=path,
            )
        return requirements_input(path, variables)
    parts: list[tuple[str, str]] = []
    project: Path | None = None
    options = IndexOptions()
    if kind != "pylock":
        project = _project_of(kind, path, source)
        parts += pyproject.project_parts(project.parent, path.parent)
        options = _uv_index_options(pyproject.load_toml(project))
    if kind != "pyproject":
        parts.append((path.name, hashlib.sha256(normalise_newlines(read_text_file(path))).hexdigest()))
    digest = _digest(kind, extras, groups, parts)
    return DependencyInput(kind, path, digest, kind != "pyproject", extras, groups, project, options)


def _project_of(kind: InputKind, path: Path, source: Path) -> Path:
    """Return the pyproject.toml that a lock, or the input itself, belongs to."""
    if kind == "pyproject":
        return path
    beside = path.with_name("pyproject.toml")
    if not beside.is_file():
        raise DependencyInputInvalid(
            f"{path.name} has no pyproject.toml beside it",
            hint="add the pyproject.toml it was made from, or name another dependency file",
            file=path,
        )
    member = source / "pyproject.toml"
    is_member = (
        kind == "uv" and source != path.parent and source.is_relative_to(path.parent) and member.is_file()
    )
    return member if is_member else beside


def requirements_input(path: Path, variables: Mapping[str, str] | None) -> DependencyInput | None:
    """Return a requirements file as an input, or None when it asks for nothing."""
    read = read_requirements(path, variables=variables)
    if not read.named and not read.local:
        return None
    parts = [
        (Path(os.path.relpath(file, path.parent)).as_posix(), hashlib.sha256(content).hexdigest())
        for file, content in read.files
    ]
    for local in read.local:
        parts += pyproject.project_parts(local.folder, path.parent)
    digest = _digest("requirements", (), (), parts)
    includes = tuple(file for file, _ in read.files if file != path)
    return DependencyInput(
        "requirements", path, digest, _is_hashed(read), index_options=read.index_options, includes=includes
    )


def _is_hashed(read: Requirements) -> bool:
    """Tell whether a requirements file is a lock already.

    Raises:
        DependencyInputInvalid: only some of its requirements are pinned with hashes.
    """
    if not read.require_hashes and not any(requirement.hashes for requirement in read.named):
        return False
    for requirement in read.named:
        if requirement.hashes and requirement.is_pin:
            continue
        lacks = "requirement is not pinned with ==" if requirement.hashes else "requirement has no --hash"
        raise DependencyInputInvalid(
            f"{requirement.file.name}:{requirement.line}: the file requires hashes, but this {lacks}",
            hint="compile the file again with hashes, or remove all hashes and let planton-build lock it",
            file=requirement.file,
            line=requirement.line,
        )
    return bool(read.named)


def _uv_index_options(document: Mapping[str, Any]) -> IndexOptions:
    """Return the indexes that `[[tool.uv.index]]` adds; one marked `default` replaces the main index."""
    main: str | None = None
    extra: list[str] = []
    declared = pyproject.table(document, "tool", "uv").get("index")
    for index in declared if isinstance(declared, list) else []:
        url = index.get("url") if isinstance(index, Mapping) else None
        if not isinstance(url, str):
            continue
        if index.get("default") is True:
            main = main or url
        else:
            extra.append(url)
    return IndexOptions(index_url=main, extra_index_urls=tuple(extra))


def _digest(kind: str, extras: tuple[str, ...], groups: tuple[str, ...], parts: list[tuple[str, str]]) -> str:
    text = json.dumps(["inputs-v1", kind, extras, groups, sorted(set(parts))], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
