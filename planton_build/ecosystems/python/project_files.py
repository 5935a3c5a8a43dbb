"""The files of a local project that may influence its wheel, and their digest."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from planton_build.archive.names import link_fault
from planton_build.cache import key_of
from planton_build.errors import LocalProjectFailed
from planton_build.files import sha256_of
from planton_build.project.executables import executables_in_index
from planton_build.project.patterns import Patterns
from planton_build.project.repository import IgnoreRules, ignore_rules_above
from planton_build.project.tree import Entry, entries_of

_LEFT_OUT = Patterns(
    """
.git
.hg/
.svn/
.bzr/
.jj/
__pycache__/
*.py[co]
.*_cache/
.hypothesis/
.nox/
.tox/
.venv/
.eggs/
*.egg-info/
.coverage
.coverage.*
.idea/
.vscode/
.DS_Store
node_modules/
.env
.env.*
.netrc
.pypirc
/build/lib*/
/build/bdist.*/
/dist/
""".splitlines()
)
"""Version control, caches, secrets, and what earlier builds left (setuptools packs a stale `build/lib`)."""


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A file of a project: `relative` with `/` between its parts; `link_target` only for a symlink."""

    path: Path
    relative: str
    executable: bool = False
    link_target: str | None = None


def project_files(folder: Path) -> list[ProjectFile]:
    """Return the files of a project's folder, sorted; not what git ignores, nor caches, nor secrets.

    Raises:
        LocalProjectFailed: a symlink leaves the folder, or something is neither file, folder nor symlink.
        SourceInvalid: the folder cannot be read.
    """
    root = Path(os.path.realpath(folder))
    executables = executables_in_index(root)
    rules, base = ignore_rules_above(root)
    found: list[ProjectFile] = []
    pending: list[tuple[Path, str, IgnoreRules]] = [(root, "", rules)]
    while pending:
        current, prefix, rules = pending.pop()
        if prefix and (current / "pyvenv.cfg").exists():
            continue
        rules = rules.entering(base + prefix, current / ".gitignore")
        for entry in entries_of(current, prefix):
            if _is_left_out(entry, base, rules):
                continue
            if entry.is_folder:
                pending.append((entry.path, f"{entry.relative}/", rules))
            else:
                found.append(_file(entry, root, executables))
    return sorted(found, key=lambda file: file.relative)


def project_digest(folder: Path) -> str:
    """Return the SHA-256 (hex) of a project's files: names, contents, execute bits and links.

    Raises:
        LocalProjectFailed: see `project_files`.
        SourceInvalid: see `project_files`.
    """
    return digest_of(project_files(folder))


def digest_of(files: list[ProjectFile]) -> str:
    """Return the digest of `project_digest` for files that are known already."""
    return key_of(
        "project", [(file.relative, file.executable, file.link_target or _sha256(file)) for file in files]
    )


def copy_project(files: list[ProjectFile], into: Path) -> None:
    """Copy a project's files into a new folder, with modes that depend on nothing but the execute bit.

    Raises:
        LocalProjectFailed: a file vanished or cannot be read.
    """
    for file in files:
        # As this host's file system spells it: `relative` is Unicode, whatever the locale says.
        place = into / os.fsdecode(file.relative.encode("utf-8", "surrogateescape"))
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            if file.link_target is not None:
                place.symlink_to(file.link_target)
                continue
            shutil.copyfile(file.path, place)
        except OSError as error:
            raise _unreadable(file, error) from error
        place.chmod(0o755 if file.executable else 0o644)


def _is_left_out(entry: Entry, base: str, rules: IgnoreRules) -> bool:
    return bool(
        _LEFT_OUT.decide(entry.relative, folder=entry.is_folder)
        or rules.decide(base + entry.relative, folder=entry.is_folder)
    )


def _file(entry: Entry, root: Path, executables: frozenset[str] | None) -> ProjectFile:
    if entry.is_link:
        target = os.readlink(entry.path).replace(os.sep, "/")  # noqa: PTH115 - Path would normalise it
        fault = link_fault(entry.relative, target)
        if fault is not None:
            raise LocalProjectFailed(
                f"{root.name}: the symlink {entry.relative!r} {fault}",
                hint="copy the file into the project",
                file=entry.path,
            )
        return ProjectFile(entry.path, entry.relative, link_target=target)
    if not entry.is_regular:
        raise LocalProjectFailed(
            f"{root.name}: {entry.relative!r} is neither a file, a folder nor a symlink", file=entry.path
        )
    if executables is not None:
        return ProjectFile(entry.path, entry.relative, entry.relative in executables)
    return ProjectFile(entry.path, entry.relative, bool(entry.path.stat().st_mode & stat.S_IXUSR))


def _sha256(file: ProjectFile) -> str:
    try:
        return sha256_of(file.path)
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: ProjectFile, error: OSError) -> LocalProjectFailed:
    return LocalProjectFailed(f"{file.path} cannot be read: {error.strerror or error}", file=file.path)
