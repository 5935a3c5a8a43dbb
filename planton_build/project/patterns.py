"""gitignore patterns, matched exactly as git matches them.

Each pattern becomes a regular expression over the bytes of one entry's path. A library would be the natural
choice, but `pathspec` answers another question: whether a path *or a folder above it* matches. Walking a tree
with nested `.gitignore` files needs the answer for the entry alone, or `*`, `!*/`, `!*.py` keeps every file.
The tests hold this module against `git check-ignore` itself. The rules are those of gitignore(5) and of git's
`dir.c` and `wildmatch.c`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_FOLDER = b"\0"
"""Ends the path of a folder while it is matched; no name can hold it."""
_ANY = rb"[^\0]*"
_FOLDERS = rb"(?:[^\0]*/)?"
_SEGMENT = rb"[^/\0]*"
_ONE = rb"[^/\0]"
_LITERAL = re.compile(rb"[^*?\[\\]*")
_CLASSES = {
    b"alnum": re.compile(rb"[0-9A-Za-z]"),
    b"alpha": re.compile(rb"[A-Za-z]"),
    b"blank": re.compile(rb"[ \t]"),
    b"cntrl": re.compile(rb"[\x00-\x1f\x7f]"),
    b"digit": re.compile(rb"[0-9]"),
    b"graph": re.compile(rb"[!-~]"),
    b"lower": re.compile(rb"[a-z]"),
    b"print": re.compile(rb"[ -~]"),
    b"punct": re.compile(rb"[!-/:-@\[-`{-~]"),
    b"space": re.compile(rb"[ \t\n\r\f\v]"),
    b"upper": re.compile(rb"[A-Z]"),
    b"xdigit": re.compile(rb"[0-9A-Fa-f]"),
}
"""POSIX character classes in the C locale, which git uses."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring patterns of one sign, as one expression over names and one over whole paths."""

    positive: bool
    names: re.Pattern[bytes] | None
    paths: re.Pattern[bytes] | None

    def matches(self, path: bytes, name: bytes) -> bool:
        return (self.names is not None and self.names.fullmatch(name) is not None) or (
            self.paths is not None and self.paths.fullmatch(path) is not None
        )


class Patterns:
    """The patterns of one gitignore file or option, in the order they were written."""

    __slots__ = ("_runs",)

    def __init__(self, lines: Iterable[str]) -> None:
        runs: list[tuple[bool, list[bytes], list[bytes]]] = []
        for line in lines:
            if (parsed := _parse(line)) is None:
                continue
            positive, of_path, expression = parsed
            if not runs or runs[-1][0] is not positive:
                runs.append((positive, [], []))
            _, names, paths = runs[-1]
            (paths if of_path else names).append(expression)
        # The last pattern that matches decides, so runs are asked from the end.
        self._runs = tuple(_Run(sign, _union(names), _union(paths)) for sign, names, paths in reversed(runs))

    def __bool__(self) -> bool:
        """Tell whether there is any pattern."""
        return bool(self._runs)

    def decide(self, path: str, *, folder: bool) -> bool | None:
        """Return whether the last pattern that matches an entry is positive, or None when none matches.

        Args:
            path: relative to where the patterns stand, with `/` between its parts.
            folder: whether the entry is a folder. A symlink never is.

        """
        if not self._runs:
            return None
        raw = path.encode("utf-8", "surrogateescape") + (_FOLDER if folder else b"")
        name = raw[raw.rfind(b"/") + 1 :]
        for run in self._runs:
            if run.matches(raw, name):
                return run.positive
        return None

    def decide_within(self, path: str, *, folder: bool = False) -> bool | None:
        """Return the decision for an entry of a tree that was not walked: the folders above it count too.

        As in git, what is in a matched folder cannot be taken back by a `!pattern` of its own.
        """
        end = path.find("/")
        while end > 0:
            if self.decide(path[:end], folder=True):
                return True
            end = path.find("/", end + 1)
        return self.decide(path, folder=folder)


def lines_of(text: str) -> list[str]:
    """Split the text of a gitignore file; a byte order mark and carriage returns before line ends go."""
    return [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]


def way_to(pattern: str) -> list[str]:
    """Return patterns of the folders that must be entered to reach what a positive pattern names.

    `a/b*/c.txt` gives `/a/` and `/a/b*/`; `a/**/c` gives `/a/` and `/a/**/`. A pattern that may match at any
    depth (`*.txt`, `**/x`) names no way: it gives nothing.
    """
    parts = _without_trailing_spaces(pattern).strip("/").split("/")
    found: list[str] = []
    for end in range(1, len(parts)):
        if parts[end - 1] == "**":
            return [*found, "/" + "/".join(parts[:end]) + "/"] if end > 1 else []
        found.append("/" + "/".join(parts[:end]) + "/")
    return found


def _union(expressions: list[bytes]) -> re.Pattern[bytes] | None:
    return re.compile(b"|".join(expressions), re.DOTALL) if expressions else None


def _parse(line: str) -> tuple[bool, bool, bytes] | None:
    """Return a pattern's sign, whether the whole path counts, and its expression; None for no pattern."""
    if not line or line.startswith("#"):
        return None
    pattern = _without_trailing_spaces(line)
    positive = not pattern.startswith("!")
    pattern = pattern if positive else pattern[1:]
    folders_only = pattern.endswith("/")
    pattern = pattern.removesuffix("/")
    of_path = "/" in pattern
    if not (raw := pattern.removeprefix("/").encode("utf-8", "surrogateescape")):
        return None
    expression = _translate(raw, of_path=of_path)
    if expression is None:
        return None
    return positive, of_path, expression + (rb"\0" if folders_only else rb"\0?")


def _without_trailing_spaces(line: str) -> str:
    """Drop trailing spaces, except those that a backslash quotes."""
    end = len(line)
    while end and line[end - 1] == " ":
        end -= 1
    backslashes = end - len(line[:end].rstrip("\\"))
    return line[: end + 1] if backslashes % 2 and end < len(line) else line[:end]


def _translate(pattern: bytes, *, of_path: bool) -> bytes | None:
    """Turn a pattern without its slash at the end into an expression, or None when it can match nothing."""
    # git compares the part before the first special character literally and starts its matcher behind it,
    # so a `**` that stands there counts as if it began the pattern.
    literal = len(pattern) - len(_LITERAL.sub(b"", pattern, count=1))
    pieces: list[bytes] = []
    at = 0
    while at < len(pattern):
        byte = pattern[at : at + 1]
        if byte == b"*":
            found: tuple[bytes, int] | None = _stars(pattern, at, literal, of_path=of_path)
        elif byte == b"?":
            found = _ONE, at + 1
        elif byte == b"[":
            found = _bracket(pattern, at)
        elif byte == b"\\":
            found = (re.escape(pattern[at + 1 : at + 2]), at + 2) if at + 1 < len(pattern) else None
        else:
            found = re.escape(byte), at + 1
        if found is None:
            return None
        piece, at = found
        pieces.append(piece)
    return _joined(pieces)


def _stars(pattern: bytes, at: int, literal: int, *, of_path: bool) -> tuple[bytes, int]:
    """Translate the row of `*` that begins at `at`; give the expression, and where the pattern goes on."""
    end = at
    while pattern[end : end + 1] == b"*":
        end += 1
    begins = at in (0, literal) or pattern[at - 1 : at] == b"/"
    ends = end == len(pattern) or pattern[end : end + 1] == b"/" or pattern[end : end + 2] == b"\\/"
    if not (of_path and end - at > 1 and begins and ends):
        return _SEGMENT, end
    return (_FOLDERS, end + 1) if pattern[end : end + 1] == b"/" else (_ANY, end)


def _joined(pieces: list[bytes]) -> bytes:
    """Join the pieces. A `*` that another wildcard follows takes the first fit: no later one does better.

    Without this, a pattern such as `*a*a*a*a*b` takes time that grows with a power of the name's length.
    """
    result = b""
    tail = b""
    more = False
    for piece in reversed(pieces):
        if piece == _SEGMENT:
            fit = rb"(?>[^/\0]*?" + tail + b")" if more else piece + tail
            result, tail, more = fit + result, b"", True
        elif piece in (_FOLDERS, _ANY):
            result, tail, more = piece + tail + result, b"", True
        else:
            tail = piece + tail
    return tail + result


def _bracket(pattern: bytes, start: int) -> tuple[bytes, int] | None:
    """Translate the `[...]` at `start` into a set of bytes; None when it is malformed or empty."""
    at = start + 1
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    first = at
    members: set[int] = set()
    previous: int | None = None
    while at == first or pattern[at : at + 1] != b"]":
        item = _item(pattern, at, previous)
        if item is None:
            return None
        found, previous, at = item
        members |= found
    taken = (set(range(256)) - members if negated else members) - {0, ord("/")}
    if not taken:
        return None
    return b"[" + b"".join(re.escape(bytes([value])) for value in sorted(taken)) + b"]", at + 1


def _item(pattern: bytes, at: int, previous: int | None) -> tuple[set[int], int | None, int] | None:
    """Read one item of a bracket: its bytes, the byte a range may start from, and where the next begins."""
    byte, following = pattern[at : at + 1], pattern[at + 1 : at + 2]
    if byte == b"-" and previous is not None and following not in (b"", b"]"):
        at += 2 if following == b"\\" else 1
        if at == len(pattern):
            return None
        return set(range(previous, pattern[at] + 1)), None, at + 1
    if byte == b"[" and following == b":":
        close = pattern.find(b"]", at + 2)
        if close < 0:
            return None
        if close >= at + 3 and pattern[close - 1 : close] == b":":
            known = _CLASSES.get(pattern[at + 2 : close - 1])
            return (
                None
                if known is None
                else ({v for v in range(256) if known.match(bytes([v]))}, None, close + 1)
            )
    if byte == b"\\":
        at, byte = at + 1, following
    return ({byte[0]}, byte[0], at + 1) if byte else None
