"""The git repository around a folder, as far as packaging needs it. Files are read; git is not called."""

from __future__ import annotations

import os
import re
from pathlib import Path

from planton_build.errors import SourceInvalid
from planton_build.project.patterns import Patterns, lines_of

MAX_IGNORE_BYTES = 1 << 20
"""Largest `.gitignore` that is read, in bytes. Real ones have a few KB; each line becomes part of a regex."""

_FILE_MODE_OFF = re.compile(r"^\s*filemode\s*=\s*(false|no|off|0)\s*$", re.IGNORECASE | re.MULTILINE)


def repository_root(folder: Path) -> Path | None:
    """Return the nearest folder, `folder` or above it, that holds a `.git`, or None."""
    for candidate in (folder, *folder.parents):
        if os.path.lexists(candidate / ".git"):
            return candidate
    return None


def git_folder(root: Path) -> Path | None:
    """Return where a repository keeps `config` and `info/exclude`, shared by all of its worktrees.

    In a worktree and in a submodule `.git` is a file that points there (gitrepository-layout(5)). None when
    it points nowhere.
    """
    entry = root / ".git"
    if entry.is_dir():
        return entry
    pointer = _first_line(entry).removeprefix("gitdir:").strip()
    if not pointer:
        return None
    folder = Path(os.path.normpath(root / pointer))
    if shared := _first_line(folder / "commondir"):
        folder = Path(os.path.normpath(folder / shared))
    return folder if folder.is_dir() else None


def trusts_file_modes(root: Path) -> bool:
    """Tell whether git takes executable bits from the file system (`core.fileMode`, true by default)."""
    folder = git_folder(root)
    if folder is None:
        return True
    try:
        text = (folder / "config").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return _FILE_MODE_OFF.search(text) is None


class IgnoreRules:
    """Nested ignore files, nearest first: the first of them that decides about an entry wins, as in git."""

    __slots__ = ("_levels",)

    def __init__(self, levels: tuple[tuple[str, Patterns], ...] = ()) -> None:
        self._levels = levels

    def decide(self, path: str, *, folder: bool) -> bool | None:
        """Return whether an entry is ignored, or None when no pattern says anything.

        `path` is relative to the folder of the outermost file, with `/` between its parts.
        """
        for base, patterns in self._levels:
            decision = patterns.decide(path[len(base) :], folder=folder)
            if decision is not None:
                return decision
        return None

    def entering(self, base: str, file: Path) -> IgnoreRules:
        """Return the rules in a folder with an ignore file. `base` is its path with a final `/`, or ""."""
        patterns = read_patterns(file)
        return IgnoreRules(((base, patterns), *self._levels)) if patterns else self


def ignore_rules_above(folder: Path) -> tuple[IgnoreRules, str]:
    """Return git's ignore rules that files above `folder` set inside it, and the folder's base.

    That is `.git/info/exclude` and the `.gitignore` of every folder from the repository's root down to the
    parent of `folder`. The user's own excludes file (`core.excludesFile`) is not read: it belongs to a
    person, not to the project. The base is the folder's path below the root, with a final `/`, or "".
    """
    root = repository_root(folder)
    if root is None:
        return IgnoreRules(), ""
    rules = IgnoreRules()
    if (git := git_folder(root)) is not None:
        rules = rules.entering("", git / "info" / "exclude")
    base = ""
    current = root
    for part in folder.relative_to(root).parts:
        rules = rules.entering(base, current / ".gitignore")
        base += f"{part}/"
        current /= part
    return rules, base


def read_patterns(file: Path) -> Patterns:
    """Return the patterns of an ignore file; none when it does not exist or is a symlink, as in git.

    Raises SourceInvalid when the file cannot be read or is too large.
    """
    if file.is_symlink():
        return Patterns(())
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_IGNORE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return Patterns(())
    except OSError as error:
        raise SourceInvalid(f"{file.name} cannot be read: {error.strerror}", file=file) from error
    if len(raw) > MAX_IGNORE_BYTES:
        raise SourceInvalid(f"{file.name} is larger than {MAX_IGNORE_BYTES} bytes", file=file)
    return Patterns(lines_of(raw.decode("utf-8", "surrogateescape")))


def _first_line(file: Path) -> str:
    try:
        with file.open(encoding="utf-8", errors="surrogateescape") as stream:
            return stream.readline(4096).strip()
    except OSError:
        return ""
