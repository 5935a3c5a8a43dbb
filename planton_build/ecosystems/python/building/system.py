"""`BuildSystem`: what a project's `pyproject.toml` says about building it (PEP 517, PEP 518)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement

from planton_build.errors import CompileFailed

LEGACY = "setuptools.build_meta:__legacy__"
"""The backend of a project that names none (PEP 517, "Source trees")."""
LEGACY_REQUIRES = ("setuptools>=40.8.0", "wheel")
"""What such a project requires, as pip has it; `wheel` for versions of setuptools before 70.1, which ask for
it only when they run."""


@dataclass(frozen=True, slots=True)
class BuildSystem:
    """Build requirements, sorted; the backend as `module:object`; folders it is imported from, if its own."""

    requires: tuple[str, ...] = tuple(sorted(LEGACY_REQUIRES))
    backend: str = LEGACY
    backend_path: tuple[str, ...] = ()


def read_build_system(pyproject: bytes | None, what: str) -> BuildSystem:
    """Return the build system of a project.

    Args:
        pyproject: the content of its `pyproject.toml`, None when it has none.
        what: the project, for messages.

    Raises:
        CompileFailed: the file breaks the rules of PEP 518.
    """
    if pyproject is None:
        return BuildSystem()
    try:
        document = tomllib.loads(pyproject.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid(what, f"is not TOML: {error}") from error
    table = document.get("build-system")
    if table is None:
        return BuildSystem()
    if not isinstance(table, dict) or not _are_strings(table.get("requires")):
        raise _invalid(what, "has a [build-system] without a list `requires`, which PEP 518 demands")
    for requirement in table["requires"]:
        try:
            Requirement(requirement)
        except InvalidRequirement as error:
            raise _invalid(what, f"requires {requirement[:200]!r}: {error}") from error
    backend, path = table.get("build-backend", LEGACY), table.get("backend-path", [])
    if not isinstance(backend, str) or not _are_strings(path):
        raise _invalid(what, "has a build-backend or backend-path that is no text")
    return BuildSystem(tuple(sorted(set(table["requires"]))), backend, tuple(path))


def _are_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _invalid(what: str, reason: str) -> CompileFailed:
    return CompileFailed(
        f"{what} cannot be built: its pyproject.toml {reason}",
        hint="correct the file if the project is yours; otherwise take another version of the package",
    )
