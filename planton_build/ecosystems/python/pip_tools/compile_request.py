"""What pip-compile is asked for an input: requirement lines, constraints, and the local projects that go in.

pip knows neither dependency groups nor `[tool.uv]`, so a `pyproject.toml` is turned into lines here. Where
dependencies are dynamic the project itself goes in: its backend says, inside the container, what it needs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from packaging.requirements import InvalidRequirement, Requirement

from planton_build.ecosystems.python import pyproject
from planton_build.ecosystems.python.inputs import DependencyInput
from planton_build.ecosystems.python.lock import LocalProject
from planton_build.ecosystems.python.requirement_syntax import normalise
from planton_build.ecosystems.python.requirements import read_requirements
from planton_build.ecosystems.python.uv_request import check_requires_python
from planton_build.errors import DependencyInputInvalid
from planton_build.runtimes.target import Target

LOCAL = "/build/local"
"""Where the copies of local projects are while pip-compile runs (`inside/compile_requirements.py`)."""
_ONLY_UV = {
    "override-dependencies": (),
    "exclude-dependencies": (),
    "exclude-newer": (),
    "prerelease": ("allow", "if-necessary", "if-necessary-or-explicit"),
    "resolution": ("highest",),
}
"""Settings of `[tool.uv]` that decide versions, with the values that pip can follow."""
_URL = re.compile(r"file://(/build/local/\d+-\d+)(?!\d)")
_DYNAMIC = ("dependencies", "optional-dependencies")


@dataclass(slots=True)
class CompileRequest:
    """The lines for one run. `local` maps the folders that go in to where they are inside the container.

    `own` is the project itself, when it goes in as a wheel; `left_out` its folder, when only its dependencies
    do. `extras` are those asked of local projects, by folder.
    """

    path: Path
    number: int = 0
    lines: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    local: dict[Path, str] = field(default_factory=dict)
    extras: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    own: LocalProject | None = None
    left_out: Path | None = None

    def place(self, folder: Path) -> str:
        """Return where a local project is inside the container; from now on it goes in."""
        return self.local.setdefault(folder, f"{LOCAL}/{self.number}-{len(self.local)}")


def compile_request_for(
    dependencies: DependencyInput, target: Target, environment: Mapping[str, str], *, number: int = 0
) -> CompileRequest:
    """Return what to ask pip-compile.

    Args:
        dependencies: the input; not one that is locked already.
        target: the function's runtime and architecture.
        environment: values for `${NAME}` in requirements files.
        number: tells the requests of one job apart.

    Raises:
        DependencyInputInvalid: the input cannot be read, or asks for what pip cannot do.
        ResolutionFailed: a local project does not support the target's Python.
    """
    if dependencies.kind == "pyproject":
        request = _of_project(dependencies, target, number)
    else:
        request = _of_requirements(dependencies, environment, number)
    _follow_local(request, target)
    return request


def _of_requirements(
    dependencies: DependencyInput, environment: Mapping[str, str], number: int
) -> CompileRequest:
    read = read_requirements(dependencies.path, variables=environment)
    request = CompileRequest(dependencies.path, number)
    request.lines += ["--pre"] if read.pre else []
    request.lines += [f"--no-binary {name}" for name in read.no_binary]
    request.lines += [str(one.requirement()) for one in read.named]
    request.constraints += [str(one.requirement()) for one in read.constraints]
    for one in read.local:
        chosen = {*request.extras.get(one.folder, ()), *one.extras}
        request.extras[one.folder] = tuple(sorted(chosen))
        request.lines.append(_path_line(request.place(one.folder), one.extras, one.marker))
    return request


def _path_line(place: str, extras: tuple[str, ...], marker: str | None = None) -> str:
    chosen = f"[{','.join(extras)}]" if extras else ""
    return f"{place}{chosen} ; {marker}" if marker else f"{place}{chosen}"


def _of_project(dependencies: DependencyInput, target: Target, number: int) -> CompileRequest:
    path = dependencies.path
    document = pyproject.load_toml(path)
    uv = pyproject.table(document, "tool", "uv")
    _refuse_what_only_uv_does(uv, path)
    project = pyproject.table(document, "project")
    check_requires_python(project.get("requires-python"), path, target)
    request = CompileRequest(path, number)
    if pyproject.is_package(document):
        request.own = LocalProject(path.parent, dependencies.extras)
    else:
        request.left_out = path.parent
    request.lines += ["--pre"] if uv.get("prerelease") == "allow" else []
    request.constraints += [
        str(_parsed(line, path)) for line in pyproject.strings(uv.get("constraint-dependencies"))
    ]
    if not project or set(_DYNAMIC) & set(pyproject.strings(project.get("dynamic"))):
        request.lines.append(_path_line(request.place(path.parent), dependencies.extras))
    else:
        request.lines += _static_lines(project, dependencies.extras, path)
    for group in dependencies.groups:
        request.lines += _group(pyproject.table(document, "dependency-groups"), group, path, ())
    return request


def _refuse_what_only_uv_does(uv: Mapping[str, Any], path: Path) -> None:
    for name, allowed in _ONLY_UV.items():
        if uv.get(name) and uv[name] not in allowed:
            raise DependencyInputInvalid(
                f"{path.name}: pip-tools, which resolves in the container, knows no {name} of [tool.uv]",
                hint="resolve on this host (--container auto), or remove the setting",
                file=path,
            )


def _static_lines(project: Mapping[str, Any], extras: tuple[str, ...], path: Path) -> Iterator[str]:
    """Yield the requirements of `[project]` with those of some extras, which may name each other."""
    own = normalise(str(project.get("name", "")))
    optional = {
        normalise(name): value for name, value in pyproject.table(project, "optional-dependencies").items()
    }
    done: set[str] = set()
    pending = [*pyproject.strings(project.get("dependencies"))]
    wanted = list(extras)
    while pending or wanted:
        while wanted:
            extra = wanted.pop()
            if extra not in done and extra not in optional:
                raise DependencyInputInvalid(
                    f"{path.name} has no extra {extra!r}", hint="correct `extras`", file=path
                )
            pending += [] if extra in done else pyproject.strings(optional[extra])
            done.add(extra)
        requirement = _parsed(pending.pop(0), path) if pending else None
        if requirement is not None and normalise(requirement.name) == own:
            wanted += [normalise(extra) for extra in requirement.extras]
        elif requirement is not None:
            yield str(requirement)


def _group(groups: Mapping[str, Any], name: str, path: Path, chain: tuple[str, ...]) -> Iterator[str]:
    """Yield the requirements of a dependency group with those it includes (PEP 735)."""
    known = {normalise(key): value for key, value in groups.items()}
    if name in chain or not isinstance(known.get(name), list):
        problem = "includes itself" if name in chain else "does not exist"
        raise DependencyInputInvalid(
            f"{path.name}: the dependency group {name!r} {problem}", hint="correct `groups`", file=path
        )
    for entry in known[name]:
        included = entry.get("include-group") if isinstance(entry, Mapping) else None
        if isinstance(included, str):
            yield from _group(groups, normalise(included), path, (*chain, name))
        else:
            yield str(_parsed(entry, path))


def _parsed(line: object, path: Path) -> Requirement:
    try:
        requirement = Requirement(line if isinstance(line, str) else "")
    except (InvalidRequirement, RecursionError) as error:
        raise DependencyInputInvalid(
            f"{path.name}: {line!r} is not a requirement", hint="write it as PEP 508 has it", file=path
        ) from error
    if requirement.url is not None:
        raise DependencyInputInvalid(
            f"{path.name}: {requirement.name} comes from a URL or version control, which a lock cannot hold",
            hint="publish it to a package index, or put it into the repository and require it by path",
            file=path,
        )
    return requirement


def _follow_local(request: CompileRequest, target: Target) -> None:
    """Let pip take path dependencies of `[tool.uv.sources]` from their folders, wherever they are required.

    A constraint with a URL does that: it counts only if something requires the package.
    """
    pending, seen, named = [*request.local, request.path.parent], set[Path](), dict[str, Path]()
    while pending:
        folder = pending.pop(0)
        path = folder / "pyproject.toml"
        if folder in seen or not path.is_file() or (folder == request.path.parent and request.path != path):
            continue
        seen.add(folder)
        document = pyproject.load_toml(path)
        check_requires_python(pyproject.table(document, "project").get("requires-python"), path, target)
        _refuse_remote_sources(document, path)
        for name, source in pyproject.local_sources(document, folder).items():
            if not source.is_dir():
                raise DependencyInputInvalid(
                    f"{path.name}: the path dependency {name} is not a folder",
                    hint="correct its path",
                    file=path,
                )
            if named.setdefault(normalise(name), source) == source:
                pending.append(source)
    request.constraints += [
        f"{name} @ file://{quote(request.place(folder))}" for name, folder in sorted(named.items())
    ]


def _refuse_remote_sources(document: Mapping[str, Any], path: Path) -> None:
    for name, value in pyproject.table(document, "tool", "uv", "sources").items():
        for source in value if isinstance(value, list) else [value]:
            if not (isinstance(source, Mapping) and isinstance(source.get("path"), str)):
                raise DependencyInputInvalid(
                    f"{path.name}: pip-tools, which resolves in the container, takes {name} from a folder or "
                    "from all indexes, not from the source that [tool.uv.sources] names",
                    hint="resolve on this host (--container auto), or name a path",
                    file=path,
                )


def on_host(text: str, request: CompileRequest) -> str:
    """Return pip-compile's output with the folders of this host for those of the container."""
    urls = {place: f"file://{quote(os.path.normpath(folder))}" for folder, place in request.local.items()}
    return _URL.sub(lambda match: urls.get(match[1], match[0]), text)
