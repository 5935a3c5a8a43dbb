"""Which entries of a source folder are wanted: the user's patterns, the defaults and git's, in that order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path

from planton_build.errors import SourceInvalid
from planton_build.manifest.load import looks_like_manifest
from planton_build.project.left_out import DEFAULTS, PRIVATE_KEY
from planton_build.project.patterns import Patterns, way_to
from planton_build.project.repository import IgnoreRules

_PEM_BYTES = 1 << 20
"""How much of a .pem is searched for a private key. The largest public CA bundles have a quarter of it."""


class Mode(Enum):
    """Why a folder is entered, which decides about the files that nothing else speaks of."""

    PLAIN = auto()
    """It belongs to the sources."""
    CARRIED = auto()
    """It does, but a wheel carries the sources: files go in only when asked for."""
    ASKED = auto()
    """It, or a folder above it, was asked for: git's rules do not count."""
    PASSED = auto()
    """It is left out, and lies on the way to something asked for."""


class Selection:
    """The decisions for one source folder. Paths are relative to it, with `/` between their parts."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._asked = Patterns(include)
        self._named = Patterns(pattern for pattern in include if _has_name(pattern))
        anchored = [pattern for pattern in include if pattern.startswith("!") or way_to(pattern)]
        self._reaching = Patterns(anchored)
        self._ways = Patterns(way for pattern in anchored if pattern[0] != "!" for way in way_to(pattern))
        self._excluded = Patterns(exclude)

    def folder(
        self, path: str, git_path: str, mode: Mode, ignored: tuple[IgnoreRules, IgnoreRules]
    ) -> Mode | None:
        """Return how to enter a folder, or None to leave it alone. The arguments are those of `file`."""
        if mode is Mode.PASSED:
            wanted = self._reaching.decide(path, folder=True)
        else:
            wanted = self._wanted(path, git_path, mode, ignored, folder=True)
            if wanted is None:
                return mode
        if wanted:
            return Mode.ASKED
        return Mode.PASSED if self._ways.decide(path, folder=True) else None

    def file(
        self, path: str, git_path: str, mode: Mode, ignored: tuple[IgnoreRules, IgnoreRules], where: Path
    ) -> bool:
        """Tell whether a file or symlink is wanted.

        Args:
            path: its path in the source folder.
            git_path: its path in the repository.
            mode: how its folder was entered.
            ignored: the rules of `.lambdaignore` (over `path`) and of git (over `git_path`).
            where: the file itself, for the few names whose content counts.

        """
        if mode is Mode.PASSED:
            return self._reaching.decide(path, folder=False) is True
        wanted = self._wanted(path, git_path, mode, ignored, folder=False, where=where)
        return mode is Mode.PLAIN if wanted is None else wanted

    def _wanted(
        self,
        path: str,
        git_path: str,
        mode: Mode,
        ignored: tuple[IgnoreRules, IgnoreRules],
        *,
        folder: bool,
        where: Path | None = None,
    ) -> bool | None:
        """Return True for what is asked for, False for what is left out, None for what nothing speaks of."""
        if self._named.decide(path, folder=folder):
            return True
        by_lambda, by_git = ignored
        user = self._excluded.decide(path, folder=folder)
        if user is None:
            user = by_lambda.decide(path, folder=folder)
        if user or (user is None and _left_out(path, folder=folder, where=where)):
            return False
        if mode is Mode.ASKED or self._asked.decide(path, folder=folder):
            return True
        if user is None and by_git.decide(git_path, folder=folder):
            return False
        return None


def check_pattern(pattern: str) -> str | None:
    """Return what is wrong with a gitignore-style pattern of a configuration, or None."""
    if "\0" in pattern or "\n" in pattern:
        return "holds a control character"
    if not Patterns([pattern]):
        return "matches nothing"
    if ".." in pattern.removeprefix("!").split("/"):
        return "leads out of the source folder"
    return None


def _has_name(pattern: str) -> bool:
    """Tell whether a pattern names something: its last part is more than wildcards.

    `data/**` asks for a folder's files; that must not bring in its caches and keys as well.
    """
    return pattern.startswith("!") or re.search(r"\w", pattern.rstrip("/ ").rpartition("/")[2]) is not None


def _left_out(path: str, *, folder: bool, where: Path | None) -> bool:
    if DEFAULTS.decide(path, folder=folder):
        return True
    if where is None:
        return False
    return looks_like_manifest(where) or (path.endswith(".pem") and _holds_private_key(where))


def _holds_private_key(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return PRIVATE_KEY in stream.read(_PEM_BYTES)
    except OSError as error:
        raise SourceInvalid(f"{path.name} cannot be read: {error.strerror}", file=path) from error
