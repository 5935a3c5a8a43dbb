"""Where the dynamic loader finds a library on Lambda: in the artifact, the layers, or the runtime itself."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

from planton_build.archive.member import Member
from planton_build.audit.binaries import NativeFile
from planton_build.runtimes.libraries import RuntimeLibraries

Place: TypeAlias = Literal["found", "image", "elsewhere", "unknown", "missing"]
"""`image`: perhaps in the runtime; `elsewhere`: in the artifact, where the loader does not look; `unknown`:
perhaps in a layer."""

TASK_ROOT = "var/task"
"""Where Lambda unpacks the artifact, without the first slash."""
_SEARCHED = ("", "lib")
"""Folders of the artifact in Lambda's LD_LIBRARY_PATH: /var/task and /var/task/lib."""


class Loader:
    """Finds libraries by name for one artifact on one runtime.

    Args:
        members: the whole artifact; data files and links too, for a library may be reached by a link.
        natives: its native files.
        runtime: what the runtime has.
        machine: the machine of the runtime; a library for another one is not found.
        layers: base names of the libraries in attached layers; None when nobody has looked into them.
    """

    def __init__(
        self,
        members: Iterable[Member],
        natives: Sequence[NativeFile],
        *,
        runtime: RuntimeLibraries,
        machine: str,
        layers: Collection[str] | None,
    ) -> None:
        foreign = {
            native.member.path for native in natives if native.elf is None or native.elf.machine != machine
        }
        self._paths: dict[str, list[Member]] = {}
        for member in members:
            if ".so" in member.path and member.path not in foreign:
                self._paths.setdefault(posixpath.basename(member.path), []).append(member)
        self._sonames: dict[str, list[Member]] = {}
        for native in natives:
            if native.elf is not None and native.elf.soname and native.member.path not in foreign:
                self._sonames.setdefault(native.elf.soname, []).append(native.member)
        self._runtime = runtime
        self._layers = layers

    def place(self, needed: str, native: NativeFile) -> Place:
        """Return where the library that `native` needs would be found.

        A library anywhere in the same package counts: packages load their own by full path before they
        import what needs them. In the function's own files only the folders count that the loader searches.
        """
        name = posixpath.basename(needed)
        if name in self._runtime.sure or self._searched(name, native):
            return "found"
        inside = self._named(name)
        origin = native.member.origin
        if origin and any(member.origin == origin for member in inside):
            return "found"
        if self._layers is not None and name in self._layers:
            return "found"
        if name in self._runtime.image:
            return "image"
        if inside:
            return "elsewhere"
        return "unknown" if self._layers is None else "missing"

    def brings(self, library: str, native: NativeFile) -> Literal["first", "somewhere", "no"]:
        """Tell whether the artifact has its own copy of a library that the runtime has too.

        Only DT_RPATH comes before Lambda's LD_LIBRARY_PATH, which names the system's folders first; a
        DT_RUNPATH comes after it (ld.so(8)).
        """
        elf = native.elf
        if elf is not None and not elf.runpath:
            folders = set(_folders(native.member.path, elf.rpath))
            if any(posixpath.dirname(member.path) in folders for member in self._paths.get(library, ())):
                return "first"
        return "somewhere" if library in self._paths or library in self._sonames else "no"

    def elsewhere(self, needed: str) -> str:
        """Return the path of a library that the artifact has."""
        return self._named(posixpath.basename(needed))[0].path

    def _named(self, name: str) -> list[Member]:
        """Return what could be a library of this name: by its file's name, or its own."""
        return self._paths.get(name, []) + self._sonames.get(name, [])

    def _searched(self, name: str, native: NativeFile) -> bool:
        folders = {*_SEARCHED}
        if native.elf is not None:
            folders.update(_folders(native.member.path, (*native.elf.rpath, *native.elf.runpath)))
        return any(posixpath.dirname(member.path) in folders for member in self._paths.get(name, ()))


def _folders(path: str, wanted: Iterable[str]) -> Iterator[str]:
    """Yield the folders of the artifact that search paths of the file at `path` lead to."""
    origin = posixpath.join("/", TASK_ROOT, posixpath.dirname(path))
    for folder in wanted:
        expanded = folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)
        expanded = expanded.replace("${LIB}", "lib64").replace("$LIB", "lib64")
        real = posixpath.normpath(posixpath.join("/", TASK_ROOT, expanded)).lstrip("/")
        if real == TASK_ROOT:
            yield ""
        elif real.startswith(f"{TASK_ROOT}/"):
            yield real[len(TASK_ROOT) + 1 :]
