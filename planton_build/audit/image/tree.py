"""`Tree`: the files of an image as a container sees them: layers put over each other, links followed."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from planton_build.audit.image.facts import Elf, LayerFacts
from planton_build.audit.image.tar import Entry

_KNOWN = 50_000
"""Folders whose answers are remembered at a time."""
_LINKS = 40
"""Links that Linux follows on the way to one file (MAXSYMLINKS)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An entry and the number of the layer it comes from, 0 for the lowest."""

    entry: Entry
    layer: int


class Tree:
    """The visible files of an image, by path without a first slash."""

    def __init__(self, layers: Sequence[LayerFacts]) -> None:
        self._layers = layers
        self.files: Mapping[str, Seen] = _merged(layers)

    def elves(self) -> Iterator[tuple[str, Elf]]:
        """Yield all ELF files by path."""
        for index, facts in enumerate(self._layers):
            for path, elf in facts.elves.items():
                if (seen := self.files.get(path)) is not None and seen.layer == index:
                    yield path, elf

    def libraries(self) -> Iterator[tuple[str, str]]:
        """Yield path and glibc version of all C libraries."""
        for index, facts in enumerate(self._layers):
            for path, version in facts.libc.items():
                if (seen := self.files.get(path)) is not None and seen.layer == index:
                    yield path, version

    def elf(self, path: str) -> Elf | None:
        """Return what is known of the ELF file at a path that was found by `find`."""
        seen = self.files.get(path)
        return self._layers[seen.layer].elves.get(path) if seen is not None else None

    def script(self, path: str) -> str | None:
        """Return the interpreter that the script at a path names, or None for what is no script."""
        seen = self.files.get(path)
        return self._layers[seen.layer].scripts.get(path) if seen is not None else None

    def find(self, path: str) -> str | None:
        """Return the path of the file or folder that `path` leads to, links followed, or None."""
        at, rest, links = "", [part for part in reversed(path.split("/")) if part], 0
        while rest:
            part = rest.pop()
            if part in {".", ".."}:
                at = posixpath.dirname(at) if part == ".." else at
                continue
            step = f"{at}/{part}" if at else part
            seen = self.files.get(step)
            if seen is not None and seen.entry.kind == "l":
                links += 1
                if links > _LINKS:
                    return None
                target = seen.entry.target
                at = "" if target.startswith("/") else at
                rest += [one for one in reversed(target.split("/")) if one]
                continue
            at = step
        return at if at in self.files else None

    def entry(self, path: str) -> Entry | None:
        """Return the entry that `path` leads to."""
        found = self.find(path)
        return self.files[found].entry if found is not None else None


def _merged(layers: Sequence[LayerFacts]) -> dict[str, Seen]:
    """Put the layers over each other, from the topmost down, so that every entry is looked at once.

    What a layer removes counts for the layers below it alone (OCI image 1.1, `layer.md`).
    """
    merged: dict[str, Seen] = {}
    removed: set[str] = set()
    emptied: set[str] = set()
    for index in range(len(layers) - 1, -1, -1):
        facts = layers[index]
        covered = {"": "" in emptied}
        visible = [
            entry
            for entry in facts.entries
            if entry.path not in merged
            and entry.path not in removed
            and not _covered(entry.path.rpartition("/")[0], covered, merged, removed, emptied)
        ]
        # A file that a higher layer has a folder for is not seen, and yet it ended the folder below it.
        emptied.update(one.path for one in facts.entries if one.kind != "d" and one.path in merged)
        merged |= {entry.path: Seen(entry, index) for entry in visible}
        removed.update(facts.hidden)
        emptied.update(facts.opaque)
    return merged


def _covered(
    folder: str,
    known: dict[str, bool],
    merged: Mapping[str, Seen],
    removed: set[str],
    emptied: set[str],
) -> bool:
    """Tell whether higher layers hide what a lower one has in a folder. `known` has the answers so far."""
    waiting = []
    while folder not in known:
        above = merged.get(folder)
        if folder in removed or folder in emptied or (above is not None and above.entry.kind != "d"):
            known[folder] = True
            break
        waiting.append(folder)
        folder = folder.rpartition("/")[0]
    answer = known[folder]
    if len(known) > _KNOWN:  # long names of a hostile image would fill the memory
        known.clear()
        known[""] = "" in emptied
    known.update(dict.fromkeys(waiting, answer))
    return answer
