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
    """Git ignores it, or it is another function's, and it lies on the way to something asked for."""
    BARRED = auto()
    """It is left out by the user or by default, and lies on the way to something asked for by name."""


class _Verdict(Enum):
    """What is said about one entry."""

    ASKED = auto()
    UNSPOKEN = auto()
    IGNORED = auto()
    LEFT_OUT = auto()


class _Include:
    """Patterns of `include`: all of them, and those that name something."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.asked = Patterns(patterns)
        self.named = Patterns(pattern for pattern in patterns if _has_name(pattern))


class Selection:
    """The decisions for one source folder. Paths are relative to it, with `/` between their parts."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        anchored = [pattern for pattern in include if pattern.startswith("!") or way_to(pattern)]
        self._anywhere = _Include(include)
        self._reaching = _Include(anchored)
        self._ways = Patterns(way for pattern in anchored if pattern[0] != "!" for way in way_to(pattern))
        self._excluded = Patterns(exclude)

    def folder(
        self, path: str, git_path: str, mode: Mode, ignored: tuple[IgnoreRules, IgnoreRules]
    ) -> Mode | None:
        """Return how to enter a folder, or None to leave it alone. The arguments are those of `file`."""
        verdict = self._verdict(path, git_path, mode, ignored, folder=True)
        if verdict is _Verdict.UNSPOKEN:
            return mode
        if verdict is _Verdict.ASKED:
            return Mode.ASKED
        if not self._ways.decide(path, folder=True):
            return None
        return Mode.PASSED if verdict is _Verdict.IGNORED else Mode.BARRED

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
        verdict = self._verdict(path, git_path, mode, ignored, folder=False, where=where)
        return verdict is _Verdict.ASKED or (verdict is _Verdict.UNSPOKEN and mode is Mode.PLAIN)

    def _verdict(
        self,
        path: str,
        git_path: str,
        mode: Mode,
        ignored: tuple[IgnoreRules, IgnoreRules],
        *,
        folder: bool,
        where: Path | None = None,
    ) -> _Verdict:
        include = self._reaching if mode in (Mode.PASSED, Mode.BARRED) else self._anywhere
        if include.named.decide(path, folder=folder):
            return _Verdict.ASKED
        if mode is Mode.BARRED:
            return _Verdict.LEFT_OUT
        by_lambda, by_git = ignored
        user = self._excluded.decide(path, folder=folder)
        if user is None:
            user = by_lambda.decide(path, folder=folder)
        if user or (user is None and _left_out(path, folder=folder, where=where)):
            return _Verdict.LEFT_OUT
        asked = include.asked.decide(path, folder=folder)
        if asked or (asked is None and mode is Mode.ASKED):
            return _Verdict.ASKED
        if mode is Mode.PASSED or (user is None and by_git.decide(git_path, folder=folder)):
            return _Verdict.IGNORED
        return _Verdict.UNSPOKEN


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
