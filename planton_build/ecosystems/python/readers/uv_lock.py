"""Reading `uv.lock`: uv exports it, this module checks that it is fresh and evaluates markers for the target.

`uv export --frozen` needs no network and no interpreter that suits the project, unlike `uv lock --check`,
which fails on a host whose Python the project excludes; that is why freshness is compared here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.dependency_groups import resolve_dependency_groups
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from planton_build.ecosystems.python import pyproject
from planton_build.ecosystems.python.inputs import DependencyInput
from planton_build.ecosystems.python.lock import LocalProject, Lock
from planton_build.ecosystems.python.readers.hashed_requirements import lock_of
from planton_build.ecosystems.python.readers.markers import applies
from planton_build.ecosystems.python.requirement_syntax import normalise
from planton_build.ecosystems.python.requirements import parse_requirements
from planton_build.ecosystems.python.uv_command import run_uv
from planton_build.ecosystems.python.uv_request import check_requires_python
from planton_build.errors import DependencyInputInvalid, LockOutdated
from planton_build.runtimes.target import Target

_EXPORT = (
    *("export", "--quiet", "--frozen", "--offline", "--no-emit-project", "--no-header", "--no-annotate"),
    *("--no-default-groups", "--format", "requirements.txt"),
)


def read_uv_lock(dependencies: DependencyInput, target: Target, environment: Mapping[str, str]) -> Lock:
    """Read a `uv.lock` for a target: the project's dependencies, and the extras and groups asked for.

    Args:
        dependencies: the input; its `project` says which member of a workspace is meant.
        target: what to evaluate markers for.
        environment: the caller's environment, for where uv finds its cache.

    Raises:
        DependencyInputInvalid: malformed, or a package comes from a URL or version control.
        LockOutdated: it was made for another state of the pyproject.toml.
        ResolutionFailed: the project does not support the target's Python.
        ToolFailed: uv cannot be run.
    """
    path = dependencies.path
    project = dependencies.project or path.with_name("pyproject.toml")
    document = pyproject.load_toml(project)
    own = pyproject.table(document, "project")
    check_requires_python(own.get("requires-python"), project, target)
    _check_fresh(pyproject.load_toml(path), document, dependencies, target)
    arguments = [*_EXPORT, *(flag for extra in dependencies.extras for flag in ("--extra", extra))]
    arguments += [flag for group in dependencies.groups for flag in ("--group", group)]
    if project.parent != path.parent:
        arguments += ["--package", str(own.get("name"))]
    answer = run_uv(arguments, folder=path.parent, environment=environment)
    if answer.returncode:
        raise DependencyInputInvalid(
            f"{path.name} cannot be read by uv\n{answer.explanation}", hint="run: uv lock", file=path
        )
    try:
        lock = lock_of(parse_requirements(answer.output, path), target)
    except DependencyInputInvalid as error:
        # The line is one of uv's output, which nobody has.
        message = error.message.partition(": ")[2] or error.message
        raise DependencyInputInvalid(f"{path.name}: {message}", hint=error.hint, file=path) from error
    folders = {project.parent} if pyproject.is_package(document) else set()
    local = [LocalProject(folder, dependencies.extras) for folder in folders]
    local += [found for found in lock.local if found.folder not in folders]
    return Lock(target, lock.packages, tuple(sorted(local, key=lambda one: one.folder)), path)


_Line = tuple[str, frozenset[str], SpecifierSet]
"""A requirement to compare: its name, extras and specifiers."""


def _check_fresh(
    content: Mapping[str, Any], document: Mapping[str, Any], dependencies: DependencyInput, target: Target
) -> None:
    """Compare what the lock recorded of the project with the project, as far as it matters for the target."""
    own = pyproject.table(document, "project")
    if {"dependencies", "optional-dependencies"} & set(pyproject.strings(own.get("dynamic"))):
        return
    recorded = _recorded(content, normalise(str(own.get("name", ""))), dependencies.path)
    sources = {normalise(name) for name in pyproject.table(document, "tool", "uv", "sources")}
    try:
        wanted = set(_declared(document, dependencies, target, sources))
    except (InvalidRequirement, InvalidSpecifier, ExceptionGroup) as error:
        raise DependencyInputInvalid(
            f"pyproject.toml: {error}", hint="correct the requirement", file=dependencies.project
        ) from error
    try:
        locked = set(_locked(recorded, dependencies, target, sources))
    except (InvalidSpecifier, AttributeError) as error:
        raise DependencyInputInvalid(
            f"{dependencies.path.name}: {error}", hint="run: uv lock", file=dependencies.path
        ) from error
    if wanted != locked:
        changed = ", ".join(sorted({line[0] for line in wanted ^ locked}))
        raise LockOutdated(
            f"{dependencies.path.name} does not match its pyproject.toml: {changed} changed",
            hint="run: uv lock",
            file=dependencies.path,
        )


def _recorded(content: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    """Return what the lock says of the project itself."""
    packages = content.get("package")
    for package in packages if isinstance(packages, list) else []:
        source = pyproject.table(package, "source") if isinstance(package, Mapping) else {}
        if {"editable", "virtual", "directory"} & set(source) and package.get("name") == name:
            return pyproject.table(package, "metadata")
    raise LockOutdated(f"{path.name} does not know the project {name}", hint="run: uv lock", file=path)


def _declared(
    document: Mapping[str, Any], dependencies: DependencyInput, target: Target, sources: Collection[str]
) -> Iterator[_Line]:
    """Give the project's requirements that apply, as its pyproject.toml has them."""
    own = pyproject.table(document, "project")
    texts = list(pyproject.strings(own.get("dependencies")))
    for extra, optional in pyproject.table(own, "optional-dependencies").items():
        texts += pyproject.strings(optional) if normalise(extra) in dependencies.extras else ()
    groups = pyproject.table(document, "dependency-groups")
    for group in groups:
        texts += resolve_dependency_groups(groups, group) if normalise(group) in dependencies.groups else ()
    for requirement in map(Requirement, texts):
        if requirement.marker and not applies(str(requirement.marker), target, dependencies.extras):
            continue
        name = normalise(requirement.name)
        specifier = SpecifierSet() if name in sources or requirement.url else requirement.specifier
        yield name, frozenset(map(normalise, requirement.extras)), specifier


def _locked(
    recorded: Mapping[str, Any],
    dependencies: DependencyInput,
    target: Target,
    sources: Collection[str],
) -> Iterator[_Line]:
    """Give the project's requirements that apply, as the lock recorded them."""
    lines = list(recorded.get("requires-dist", []))
    for group, found in pyproject.table(recorded, "requires-dev").items():
        lines += found if normalise(group) in dependencies.groups else []
    for entry in lines:
        name, marker = normalise(str(entry.get("name"))), entry.get("marker")
        if isinstance(marker, str) and not applies(marker, target, dependencies.extras):
            continue
        specifier = SpecifierSet("" if name in sources else str(entry.get("specifier", "")))
        yield name, frozenset(map(normalise, pyproject.strings(entry.get("extras")))), specifier
