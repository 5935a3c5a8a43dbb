"""Reading folders the same way everywhere: sorted, as Unicode, without following symlinks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from planton_build.errors import SourceInvalid


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder. `relative` is its path below where the walk began, with `/` between its parts.

    Names are read as UTF-8 whatever the locale says; bytes that are none become lone surrogates.
    """

    path: Path
    name: str
    relative: str
    is_folder: bool
    is_link: bool
    is_regular: bool


def entries_of(folder: Path, prefix: str = "") -> list[Entry]:
    """Return what is in a folder, sorted by name.

    Args:
        folder: the folder to read.
        prefix: its path below where the walk began, with a final `/`, or "".

    Raises:
        SourceInvalid: the folder does not exist or cannot be read.

    """
    try:
        with os.scandir(folder) as found:
            entries = [_entry(folder, prefix, one) for one in found]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceInvalid(f"the folder {folder} does not exist", file=folder) from error
    except OSError as error:
        raise SourceInvalid(
            f"the folder {folder} cannot be read: {error.strerror}",
            hint="correct its permissions, or name the folders to look into",
            file=folder,
        ) from error
    return sorted(entries, key=lambda entry: entry.name)


def _entry(folder: Path, prefix: str, found: os.DirEntry[str]) -> Entry:
    name = os.fsencode(found.name).decode("utf-8", "surrogateescape")
    return Entry(
        path=folder / found.name,
        name=name,
        relative=prefix + name,
        is_folder=found.is_dir(follow_symlinks=False),
        is_link=found.is_symlink(),
        is_regular=found.is_file(follow_symlinks=False),
    )
