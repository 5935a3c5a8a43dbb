"""Lets a build see the files of a folder in the order of their names, as no file system promises.

Many a setup.py passes what `glob` finds to the linker as it comes: then the order of a folder decides bytes.
Imported at the start of every Python in the build's environment, by a `.pth` file.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # not from `typing`: every start of a Python would pay for that import
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self

_listdir, _scandir = os.listdir, os.scandir


class _Sorted:
    """What `os.scandir` returns: an iterator that is a context manager, too."""

    def __init__(self, path: Any) -> None:
        with _scandir(path) as entries:
            self._entries: Iterator[os.DirEntry[Any]] = iter(sorted(entries, key=lambda entry: entry.name))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> os.DirEntry[Any]:
        return next(self._entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._entries = iter(())


def listdir(path: Any = None) -> list[Any]:
    return sorted(_listdir(path))


def scandir(path: Any = None) -> _Sorted:
    return _Sorted(path)


for _name, _function, _original in (("listdir", listdir, _listdir), ("scandir", scandir, _scandir)):
    setattr(os, _name, _function)
    if _original in os.supports_fd:
        os.supports_fd.add(_function)
