"""Lets a build see the files of a folder in the order of their names, as no file system promises.

Many a setup.py passes what `glob` finds to the linker as it comes: then the order of a folder decides bytes.
Imported at the start of every Python in the build's environment, by a `.pth` file.
"""

import os

_listdir, _scandir = os.listdir, os.scandir


class _Sorted:
    """What `os.scandir` returns: an iterator that is a context manager, too."""

    def __init__(self, path):
        with _scandir(path) as entries:
            self._entries = iter(sorted(entries, key=lambda entry: entry.name))

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._entries = iter(())


def listdir(path=None):
    return sorted(_listdir(path))


def scandir(path=None):
    return _Sorted(path)


for _name, _function, _original in (("listdir", listdir, _listdir), ("scandir", scandir, _scandir)):
    setattr(os, _name, _function)
    if _original in os.supports_fd:
        os.supports_fd.add(_function)
