"""`.dockerignore`: what of a folder is left out of a build's context, by docker's own rules.

The rules are those of moby's `patternmatcher`: Go's `filepath.Match` with `**` besides, the last pattern that
matches a path or one of its parents decides, and `!` brings back. docker-py has a matcher too, but importing
it costs a third of a second, which a run with nothing to do must not pay; the tests compare the two.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from planton_build.errors import DockerfileFailed

NAME = ".dockerignore"
_LIMIT = 1 << 20
_LINES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class _Pattern:
    expression: re.Pattern[str]
    brings_back: bool


class IgnoreFile:
    """The patterns of one `.dockerignore`."""

    def __init__(self, patterns: Iterable[_Pattern]) -> None:
        self._patterns = tuple(patterns)
        self.brings_back = any(pattern.brings_back for pattern in self._patterns)

    def leaves_out(self, path: str) -> bool:
        """Tell whether `path`, relative and with `/` between its parts, stays out of the context."""
        parts = path.split("/")
        candidates = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        for pattern in reversed(self._patterns):
            if any(map(pattern.expression.fullmatch, candidates)):
                return not pattern.brings_back
        return False


def read_ignore_file(folder: Path, dockerfile: Path) -> IgnoreFile:
    """Read `<Dockerfile>.dockerignore`, else the `.dockerignore` of the context.

    Raises:
        DockerfileFailed: it cannot be read, or has a pattern that means nothing.
    """
    for path in (dockerfile.with_name(dockerfile.name + NAME), folder / NAME):
        try:
            with path.open("rb") as stream:
                content = stream.read(_LIMIT + 1)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DockerfileFailed(f"{path.name} cannot be read: {error.strerror}", file=path) from error
        if len(content) > _LIMIT or content.count(b"\n") > _LINES_MAX:
            raise DockerfileFailed(f"{path.name} is larger than any list of patterns is", file=path)
        return parse_ignore_file(content.decode("utf-8-sig", "surrogateescape"), path)
    return IgnoreFile(())


def parse_ignore_file(text: str, path: Path | None = None) -> IgnoreFile:
    """Read the patterns of a text; `path` is where it stands, for messages.

    Raises:
        DockerfileFailed: a pattern means nothing.
    """
    patterns = []
    for number, line in enumerate(text.split("\n"), 1):
        pattern = line.strip()
        if line.startswith("#") or not pattern:
            continue
        brings_back = pattern.startswith("!")
        pattern = pattern.removeprefix("!").strip() if brings_back else pattern
        # As Go's filepath.Clean does it: `..` above the top is gone, too, once the path is taken as absolute.
        cleaned = posixpath.normpath("/" + pattern).lstrip("/")
        if not pattern or (not cleaned and brings_back and pattern == "!"):
            raise DockerfileFailed("`!` alone brings nothing back", file=path, line=number)
        if not cleaned:
            continue  # "." and "/": ignored "for historical reasons" (Dockerfile reference)
        try:
            patterns.append(_Pattern(re.compile(_expression(cleaned), re.DOTALL), brings_back))
        except re.error as error:
            raise DockerfileFailed(
                f"{NAME} has the pattern {line.strip()!r}, which means nothing: {error}",
                hint="write it as Go's filepath.Match takes it: *, ?, [a-z], **",
                file=path,
                line=number,
            ) from error
    return IgnoreFile(patterns)


def _expression(pattern: str) -> str:
    """Return a pattern as a regular expression, as moby's `Pattern.compile` does."""
    made, position = [], 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            if not pattern.startswith("*", position):
                made.append("[^/]*")
                continue
            position += 1
            position += pattern.startswith("/", position)
            made.append("(?:.*/)?" if position < len(pattern) else ".*")
        elif character == "?":
            made.append("[^/]")
        elif character == "\\" and position < len(pattern):
            made.append(re.escape(pattern[position]))
            position += 1
        elif character == "[" and (end := _class_end(pattern, position)) is not None:
            made.append(_class(pattern[position:end]))
            position = end + 1
        elif character == "[":
            raise re.error("a [ without its ]")  # Go: syntax error in pattern
        else:
            made.append(re.escape(character))
    return "".join(made)


def _class_end(pattern: str, start: int) -> int | None:
    position = start + pattern.startswith("^", start)
    first = position
    while position < len(pattern):
        if pattern[position] == "]" and position > first:
            return position
        position += 2 if pattern[position] == "\\" else 1
    return None


def _class(inner: str) -> str:
    negated = inner.startswith("^")
    inner = inner.removeprefix("^").replace("[", "\\[").replace("&&", "&\\&").replace("||", "|\\|")
    return f"[{'^' if negated else ''}{inner}]"
