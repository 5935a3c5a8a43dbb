"""What a `pyproject.toml` says about dependencies: only the tables that a lock depends on.

A change of anything else in the file (a linter's settings, a description) must not make a lock stale.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from planton_build.ecosystems.python.requirement_syntax import normalise_newlines, read_text_file
from planton_build.errors import DependencyInputInvalid

_PROJECT_KEYS = ("name", "dependencies", "optional-dependencies", "dynamic", "requires-python")
_UV_KEYS = (
    *("sources", "constraint-dependencies", "override-dependencies", "exclude-dependencies", "package"),
    *(
        "dev-dependencies",
        "index",
        "dependency-groups",
        "workspace",
        "exclude-newer",
        "prerelease",
        "resolution",
    ),
)
_POETRY_KEYS = ("name", "dependencies", "dev-dependencies", "group", "extras", "package-mode", "source")
_MAX_PROJECTS = 200


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        DependencyInputInvalid: it is absent, too large, not UTF-8 or not TOML; with the line where known.
    """
    try:
        return tomllib.loads(read_text_file(path).decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else None
        raise DependencyInputInvalid(
            f"{path.name}{f':{line}' if line else ''} is not TOML: {error}",
            hint="correct the syntax",
            file=path,
            line=line,
        ) from error


def table(document: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return a nested table, empty when it or a parent is absent or not a table."""
    value: Any = document
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return dict(value) if isinstance(value, Mapping) else {}


def strings(value: object) -> tuple[str, ...]:
    """Return the strings of a TOML array; empty for anything else."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def is_package(document: Mapping[str, Any]) -> bool:
    """Tell whether the project itself goes in as a wheel: it has a build system and is not virtual."""
    if table(document, "tool", "poetry").get("package-mode") is False:
        return False
    declared = table(document, "tool", "uv").get("package")
    return declared if isinstance(declared, bool) else "build-system" in document


def has_dependencies(document: Mapping[str, Any]) -> bool:
    """Tell whether the file declares dependencies at all, in any of the ways that are understood."""
    project, poetry = table(document, "project"), table(document, "tool", "poetry")
    return (
        bool(project.get("dependencies"))
        or bool({"dependencies", "optional-dependencies"} & set(strings(project.get("dynamic"))))
        or bool(set(table(poetry, "dependencies")) - {"python"})
    )


def dependency_tables(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables a resolution depends on, and nothing else."""
    project, uv, poetry = (
        table(document, *names) for names in (("project",), ("tool", "uv"), ("tool", "poetry"))
    )
    return {
        "project": {key: project[key] for key in _PROJECT_KEYS if key in project},
        "dependency-groups": table(document, "dependency-groups"),
        "build-system": "build-system" in document,
        "tool.uv": {key: uv[key] for key in _UV_KEYS if key in uv},
        "tool.poetry": {key: poetry[key] for key in _POETRY_KEYS if key in poetry},
        "tool.setuptools.dynamic": table(document, "tool", "setuptools", "dynamic"),
    }


def local_sources(document: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Return the path dependencies in `tool.uv.sources`: folder by name."""
    found: dict[str, Path] = {}
    for name, value in table(document, "tool", "uv", "sources").items():
        for source in value if isinstance(value, list) else [value]:
            path = source.get("path") if isinstance(source, Mapping) else None
            if isinstance(path, str):
                found[name] = Path(os.path.normpath(folder / path))
    return found


def project_parts(folder: Path, base: Path) -> Iterator[tuple[str, str]]:
    """Yield a name relative to `base` and a SHA-256 for each thing that a folder's dependencies depend on.

    Follows path dependencies, each folder once. A project whose dependencies are dynamic adds the files they
    come from (`setup.py`, `setup.cfg`, what `tool.setuptools.dynamic` names).
    """
    seen: set[Path] = set()
    pending = [Path(os.path.normpath(folder))]
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        if len(seen) > _MAX_PROJECTS:
            raise DependencyInputInvalid(f"more than {_MAX_PROJECTS} projects depend on each other by path")
        label = Path(os.path.relpath(current, base)).as_posix()
        document: dict[str, Any] = {}
        if (current / "pyproject.toml").is_file():
            document = load_toml(current / "pyproject.toml")
            canonical = json.dumps(dependency_tables(document), sort_keys=True, default=str)
            yield f"{label}/pyproject.toml", hashlib.sha256(canonical.encode()).hexdigest()
        for name in _dynamic_files(document):
            path = current / name
            if path.is_file():
                content = normalise_newlines(read_text_file(path))
                yield f"{label}/{name}", hashlib.sha256(content).hexdigest()
        pending.extend(path for path in local_sources(document, current).values() if path.is_dir())


def _dynamic_files(document: Mapping[str, Any]) -> list[str]:
    project = table(document, "project")
    dynamic = {"dependencies", "optional-dependencies"} & set(strings(project.get("dynamic")))
    if project and not dynamic:
        return []
    names = {"setup.py", "setup.cfg"}
    declared = table(document, "tool", "setuptools", "dynamic")
    optional = table(declared, "optional-dependencies").values()
    for value in (declared.get("dependencies"), *optional):
        files = value.get("file") if isinstance(value, Mapping) else None
        names.update([files] if isinstance(files, str) else strings(files))
    return sorted(name for name in names if not Path(name).is_absolute())
