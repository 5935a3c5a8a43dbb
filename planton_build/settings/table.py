"""One table of settings while it is read: its keys, and what is wrong with them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from planton_build.settings.positions import KeyPath
from planton_build.settings.values import Check, Wrong, shown

T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one key. `path` is where it stands below the `[deploy]` table, as it is written."""

    path: KeyPath
    message: str
    hint: str | None = None


class Table:
    """A table whose keys may be written with `-` or `_`.

    Each key is asked for once, and faults are collected in `faults`, which the tables below share; a wrong
    value counts as not written. `close` tells of the keys that nobody has asked for.
    """

    def __init__(
        self, values: Mapping[str, Any], path: KeyPath = (), faults: list[Fault] | None = None, name: str = ""
    ) -> None:
        self.path = path
        self.faults: list[Fault] = [] if faults is None else faults
        self._name = name
        self._known: list[str] = []
        self._values: dict[str, tuple[str, Any]] = {}
        for written, value in values.items():
            key = written.replace("_", "-")
            if key in self._values:
                self.fault(written, f"is the same as {shown(self._values[key][0])}")
            else:
                self._values[key] = (written, value)

    def __contains__(self, key: str) -> bool:
        """Tell whether a key is written."""
        return key in self._values

    def get(self, key: str, check: Check[T], default: D) -> T | D:
        """Return a key's value, or the default when it is not written or is wrong."""
        self._known.append(key)
        if key not in self._values:
            return default
        try:
            return check(self._values[key][1])
        except Wrong as error:
            self.fault(key, str(error), error.hint)
            return default

    def need(self, key: str, check: Check[T], default: D) -> T | D:
        """Return the value of a key that must be written."""
        if key not in self._values:
            self.wrong(f"has no {key}")
        return self.get(key, check, default)

    def written(self, key: str) -> str:
        """Return a key in the spelling of the file."""
        return self._values[key][0]

    def is_off(self, key: str) -> bool:
        """Tell whether a key is written as `false`."""
        return key in self._values and self._values[key][1] is False

    def table(self, key: str, *, or_false: bool = False) -> Table | None:
        """Return the table of a key, or None when it is not written or no table.

        `or_false` says that the caller takes `false` too, for the message.
        """
        self._known.append(key)
        if key not in self._values:
            return None
        written, value = self._values[key]
        if not isinstance(value, dict):
            wanted = "a table, or false" if or_false else "a table"
            self.fault(key, f"must be {wanted}, not {shown(value)}")
            return None
        return Table(value, (*self.path, written), self.faults, self._dotted(key))

    def tables(self, key: str) -> list[Table] | None:
        """Return the list of tables of a key, or None when it is not written or no list."""
        self._known.append(key)
        if key not in self._values:
            return None
        written, value = self._values[key]
        if not isinstance(value, list):
            name = self._dotted(key)
            self.fault(
                key, f"must be a list of tables, not {shown(value)}", f"write it as [[….{name}]], or []"
            )
            return None
        found = []
        for index, item in enumerate(value):
            path, name = (*self.path, written, index), f"{self._dotted(key)}[{index}]"
            if isinstance(item, dict):
                found.append(Table(item, path, self.faults, name))
            else:
                self.faults.append(Fault(path, f"{name} must be a table, not {shown(item)}"))
        return found

    def rest(self) -> dict[str, Any]:
        """Return what nobody has asked for, with `_` in its keys, and count it as known."""
        left = {key: value for key, (_, value) in self._values.items() if key not in self._known}
        self._known += left
        return {key.replace("-", "_"): value for key, value in left.items()}

    def fault(self, key: str, words: str, hint: str | None = None) -> None:
        """Note that the value of a key is wrong; `words` follow the key's name."""
        written = self._values[key][0] if key in self._values else key
        self.faults.append(Fault((*self.path, written), f"{self._dotted(key)} {words}", hint))

    def wrong(self, words: str, hint: str | None = None) -> None:
        """Note that the table as a whole is wrong; `words` follow its name."""
        self.faults.append(Fault(self.path, f"{self._name or 'deploy'} {words}", hint))

    def close(self) -> None:
        """Note every key that nobody has asked for."""
        for key, (written, _) in self._values.items():
            if key not in self._known:
                close = difflib.get_close_matches(key.lower(), self._known, n=1)
                known = ", ".join(self._known) or "none"
                hint = f"did you mean {close[0]!r}?" if close else f"known keys: {known}"
                self.fault(written, f"is not a setting of {self._name or 'deploy'}", hint)

    def _dotted(self, key: str) -> str:
        return f"{self._name}.{_plain(key)}" if self._name else _plain(key)


def _plain(key: str) -> str:
    """Return a key for a message."""
    return key if key.isascii() and key.isprintable() and 0 < len(key) <= 64 else shown(key)
