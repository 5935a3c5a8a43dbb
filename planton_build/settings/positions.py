"""Where the keys of a TOML file stand. tomllib keeps no positions, so the text is read once more for them.

Only texts that tomllib has read get here, so what they hold is known to be well-formed.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys as they are written, and list indexes, from the document's root: `("deploy", "permissions", 0)`."""
Place: TypeAlias = tuple[int, int]
"""Line and column; both count from 1."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    "|".join(
        (
            r'"""(?:\\.|[^\\])*?"{3,5}',
            r"'''.*?'{3,5}",
            r'"(?:\\.|[^"\\\n])*"',
            r"'[^'\n]*'",
        )
    ),
    re.DOTALL,
)
_PLAIN = re.compile(r"[^,\]}\n#]+")


def key_positions(text: str) -> dict[KeyPath, Place]:
    """Return where each key, table and list element of a TOML text begins.

    A table stands where its header's bracket is, or its key, or where something inside of it is first
    written. What is found before anything unexpected is returned too: positions are good for messages, and
    a message without one is better than none.
    """
    scan = _Scan(text)
    try:
        scan.statements()
    except (ValueError, IndexError, RecursionError):
        pass
    starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(offset: int) -> Place:
        line = bisect_right(starts, offset)
        return line, offset - starts[line - 1] + 1

    return {path: place(offset) for path, offset in scan.found.items()}


def nearest_place(positions: Mapping[KeyPath, Place], path: KeyPath) -> Place | None:
    """Return where a key, or the nearest of its parents that is written down, stands."""
    for end in range(len(path), 0, -1):
        if (found := positions.get(path[:end])) is not None:
            return found
    return None


class _Scan:
    """Walks through the text, from statement to statement, and notes where keys begin."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lengths: dict[KeyPath, int] = {}
        self.found: dict[KeyPath, int] = {}

    def statements(self) -> None:
        table: KeyPath = ()
        while self._blank() < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        start = self._at
        repeated = self._text.startswith("[[", start)
        self._at += 2 if repeated else 1
        table: KeyPath = ()
        names = [name for name, _ in self._key()]
        for number, name in enumerate(names, start=1):
            table = (*table, name)
            if repeated and number == len(names):
                self._lengths[table] = self._lengths.get(table, 0) + 1
            self._note(table, start)
            if table in self._lengths:
                table = (*table, self._lengths[table] - 1)
        self._note(table, start)
        self._at += 2 if repeated else 1
        return table

    def _pair(self, table: KeyPath) -> None:
        for name, start in self._key():
            table = (*table, name)
            self._note(table, start)
        self._pass("=")
        self._value(table)

    def _key(self) -> list[tuple[str, int]]:
        """Read a key with its dots, and the space around it."""
        names: list[tuple[str, int]] = []
        while True:
            self._match(_SPACE)
            start = self._at
            if self._text[start] in "\"'":
                names.append((tomllib.loads(f"key = {self._match(_STRING)}")["key"], start))
            else:
                names.append((self._match(_BARE), start))
            self._match(_SPACE)
            if self._text[self._at] != ".":
                return names
            self._at += 1

    def _value(self, path: KeyPath) -> None:
        self._match(_SPACE)
        first = self._text[self._at]
        if first in "\"'":
            self._match(_STRING)
        elif first == "[":
            self._list(path)
        elif first == "{":
            self._at += 1
            while self._blank() and self._text[self._at] != "}":
                self._pair(path)
                if self._text[self._blank()] == ",":
                    self._at += 1
            self._at += 1
        else:
            self._match(_PLAIN)

    def _list(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while self._blank() and self._text[self._at] != "]":
            self._note((*path, index), self._at)
            self._value((*path, index))
            index += 1
            if self._text[self._blank()] == ",":
                self._at += 1
        self._at += 1

    def _note(self, path: KeyPath, offset: int) -> None:
        self.found.setdefault(path, offset)

    def _blank(self) -> int:
        self._match(_BLANK)
        return self._at

    def _pass(self, character: str) -> None:
        if self._text[self._at] != character:
            raise ValueError(character)
        self._at += 1

    def _match(self, pattern: re.Pattern[str]) -> str:
        if (match := pattern.match(self._text, self._at)) is None:
            raise ValueError(pattern.pattern)
        self._at = match.end()
        return match[0]
