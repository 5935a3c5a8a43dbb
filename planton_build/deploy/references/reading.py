"""Reading files and answers once, and never more of them than a limit."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml

from planton_build.manifest import scalars
from planton_build.manifest.nodes import pairs

MAX_BYTES = 64 << 20
"""Largest JSON file or state that is read, in bytes. States of large accounts have a few MB."""

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """What was read once, by key, whichever thread asks; a failure is kept like a value."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._kept: dict[Hashable, Future[Value]] = {}

    def get(self, key: Hashable, read: Callable[[], Value]) -> Value:
        """Return the value of a key; `read` is called by the first who asks, and the others wait."""
        mine: Future[Value] = Future()
        with self._guard:
            kept = self._kept.setdefault(key, mine)
        if kept is mine:
            try:
                mine.set_result(read())
            except Exception as error:  # noqa: BLE001  # raised again below, for everybody
                mine.set_exception(error)
            except BaseException as error:
                mine.set_exception(error)
                with self._guard:
                    del self._kept[key]
                raise
        return kept.result()


def bytes_of(file: Path, limit: int = MAX_BYTES) -> bytes:
    """Return the bytes of a regular file.

    Raises FileNotFoundError, and ValueError with why it cannot be read, in words that follow its name.
    """
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("is not a regular file")
        if status.st_size > limit:
            raise ValueError(f"is larger than {limit} bytes")
        with file.open("rb") as stream:
            raw = stream.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(str(file)) from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(raw) > limit:
        raise ValueError(f"is larger than {limit} bytes")
    return raw


def json_of(raw: bytes) -> dict[str, Any]:
    """Return a JSON object. Raises ValueError with what is wrong, in words that follow the file's name."""
    try:
        found = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_distinct)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} in line {error.lineno}") from None
    if not isinstance(found, dict):
        raise ValueError("is not a JSON object")  # noqa: TRY004  # as above
    return found


def plain(node: yaml.Node) -> Any:
    """Return a composed YAML node as plain values; numbers that no field takes stay what they are."""
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): plain(value) for key, value in pairs(node)}
    if isinstance(node, yaml.SequenceNode):
        return [plain(item) for item in node.value]
    text = str(node.value)
    if node.tag == scalars.NULL:
        return None
    if node.tag == scalars.BOOL:
        return text[:1].lower() in ("y", "t") or text.lower() == "on"
    if node.tag == scalars.INT:
        return scalars.integer(text)
    return scalars.real(text) if node.tag == scalars.FLOAT else text


def _distinct(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) != len(items):
        names = [name for name, _ in items]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"has the key {twice[:60]!r} twice in one object")
    return found
