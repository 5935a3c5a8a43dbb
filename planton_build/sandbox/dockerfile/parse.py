"""A Dockerfile as a list of instructions with their places: enough to know and to rewrite what it names.

The grammar is that of the Dockerfile reference: parser directives, comments, continuations, heredocs. What
the instructions do is the builder's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from planton_build.errors import DockerfileFailed

SIZE_MAX = 1 << 20
_INSTRUCTIONS_MAX = 5_000
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_HEREDOC = re.compile(r"<<(-?)([\"']?)([A-Za-z0-9_.]+)\2(?=\s|$)")
_WITH_HEREDOCS = frozenset({"RUN", "COPY", "ADD"})


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. `line` and `last_line` count from 1; `words` are its arguments in one line.

    `start` and `end` are where it stands in the text.
    """

    name: str
    words: str
    line: int
    last_line: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A Dockerfile's text and its instructions. `escape` continues lines and takes away special meanings."""

    path: Path
    text: str
    instructions: tuple[Instruction, ...]
    escape: str = "\\"


def read_dockerfile(path: Path) -> Dockerfile:
    """Read a Dockerfile.

    Raises:
        DockerfileFailed: it is not there, no text, or malformed.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(SIZE_MAX + 1)
        if len(content) > SIZE_MAX:
            raise DockerfileFailed(f"{path.name} is larger than {SIZE_MAX >> 20} MiB", file=path)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise DockerfileFailed(
            f"the Dockerfile {path} cannot be read: {error.strerror}",
            hint="`dockerfile` in planton.toml names it, relative to that file",
            file=path,
        ) from error
    except UnicodeDecodeError as error:
        raise DockerfileFailed(f"{path.name} is not in UTF-8", file=path) from error
    return parse_dockerfile(text, path)


def parse_dockerfile(text: str, path: Path = Path("Dockerfile")) -> Dockerfile:
    """Split a text into instructions. `path` is where it stands, for messages.

    Raises:
        DockerfileFailed: a heredoc does not end, or there are more instructions than anybody writes.
    """
    escape = _escape_of(text)
    lines = _Lines(text)
    instructions: list[Instruction] = []
    while (line := lines.next()) is not None:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        start, first = lines.start, lines.number
        whole = _joined(line, lines, escape)
        name, _, words = whole.strip().partition(" ") if " " in whole.strip() else (whole.strip(), "", "")
        if "\t" in name:
            name, _, rest = name.partition("\t")
            words = f"{rest} {words}"
        name = name.upper()
        if name in _WITH_HEREDOCS:
            for heredoc in list(_HEREDOC.finditer(words)):
                _skip_heredoc(lines, heredoc, path, first)
        instructions.append(Instruction(name, words.strip(), first, lines.number, start, lines.end))
        if len(instructions) > _INSTRUCTIONS_MAX:
            raise DockerfileFailed(f"{path.name} has more than {_INSTRUCTIONS_MAX} instructions", file=path)
    return Dockerfile(path, text, tuple(instructions), escape)


class _Lines:
    """The lines of a text one after the other, with where the last one stands."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.start = self.end = self.number = 0

    def next(self) -> str | None:
        """Return the next line without its end, or None."""
        self.start = self._text.find("\n", self.end) + 1 if self.number else 0
        if (self.number and self.start == 0) or self.start >= len(self._text):
            self.start = self.end
            return None
        end = self._text.find("\n", self.start)
        self.end = len(self._text) if end < 0 else end
        self.number += 1
        return self._text[self.start : self.end].removesuffix("\r")


def _joined(line: str, lines: _Lines, escape: str) -> str:
    """Return a line with those that continue it, which may have comments and empty lines among them."""
    continued = re.compile(rf"([^{re.escape(escape)}])?{re.escape(escape)}[ \t]*$")
    parts: list[str] = []
    while True:
        found = continued.search(line)
        if found is None:
            parts.append(line)
            break
        parts.append(line[: found.start()] + (found[1] or ""))
        following = lines.next()
        while following is not None and (not following.strip() or following.lstrip().startswith("#")):
            following = lines.next()
        if following is None:
            break
        line = following
    return "".join(parts)


def _skip_heredoc(lines: _Lines, heredoc: re.Match[str], path: Path, first: int) -> None:
    while (line := lines.next()) is not None:
        if (line.lstrip("\t") if heredoc[1] else line) == heredoc[3]:
            return
    raise DockerfileFailed(
        f"the heredoc <<{heredoc[3]} does not end",
        hint=f"a line with {heredoc[3]} alone ends it",
        file=path,
        line=first,
    )


def _escape_of(text: str) -> str:
    """Return the escape character: directives stand at the top, before comments and instructions."""
    for line in text.splitlines():
        found = _DIRECTIVE.fullmatch(line.strip())
        if found is None:
            break
        if found[1].lower() == "escape" and found[2] in ("\\", "`"):
            return found[2]
    return "\\"
