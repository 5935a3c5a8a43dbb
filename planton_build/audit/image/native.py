"""Would the image's native code load? Machine, glibc and libraries: an image brings all of its own."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from planton_build.audit.elf import version_tuple
from planton_build.audit.findings import AuditFinding, Level
from planton_build.audit.image.facts import Elf
from planton_build.audit.image.place import Places
from planton_build.audit.image.tree import Tree
from planton_build.audit.naming import extension_of, is_library, speaks_of_another
from planton_build.runtimes.target import Target

_MUSL = "ld-musl-"
_LOADED = frozenset({"library", "program"})


def glibc_of(tree: Tree, places: Places, machine: str) -> str:
    """Return the version of the image's C library for a machine, such as `2.34`; "" when it has no glibc."""
    versions = [
        version
        for path, version in tree.libraries()
        if posixpath.dirname(path) in places.libraries and (elf := tree.elf(path)) and elf.machine == machine
    ]
    return max(versions, key=version_tuple, default="")


@dataclass(frozen=True, slots=True)
class NativeJudge:
    """Judges the ELF files of an image.

    `machine` is what they must be for; `glibc` what the image has. `vital` are paths of what is started.
    `base_layers` counts the layers of the base image, 0 when that is not known.
    """

    tree: Tree
    places: Places
    machine: str
    glibc: str
    vital: frozenset[str]
    base_layers: int

    def findings(self) -> Iterator[AuditFinding]:
        """Yield what would not load."""
        elves = {path: elf for path, elf in self.tree.elves() if elf.kind in _LOADED or elf.fault}
        names = self._names(elves)
        used = self._used(elves)
        worst: dict[str, str] = {}
        for path, elf in elves.items():
            own = self.places.is_own(path) or path in self.vital
            if elf.machine != self.machine:
                yield self._of_other_machine(path, elf, own=own)
            elif elf.fault:
                yield self._unreadable(path, elf, own=own)
            else:
                if self._too_new(path, elf):
                    worst[path] = elf.glibc
                if own:
                    yield from self._libraries(path, elf, names, used)
        musl = any(posixpath.basename(path).startswith(_MUSL) for path in self.tree.files) if worst else False
        for path in sorted(worst, key=lambda one: version_tuple(worst[one]), reverse=True):
            yield self._glibc(path, worst[path], musl=musl)

    def _of_other_machine(self, path: str, elf: Elf, *, own: bool) -> AuditFinding:
        message = f"/{path} is for {elf.machine}, and the function runs on {self.machine}"
        runs = path in self.vital or is_library(path) or elf.kind == "program"
        failing = own and runs and not speaks_of_another(self._shown(path), self.machine)
        hint = f"build the image, and what is copied into it, for {self.machine}"
        return _finding(
            self, "architecture", path, message, hint, "failure" if failing else "note", elf.machine
        )

    def _unreadable(self, path: str, elf: Elf, *, own: bool) -> AuditFinding:
        message = f"/{path} begins as an ELF file and cannot be read as one: {elf.fault}"
        level: Level = "failure" if own and is_library(path) else "note"
        return _finding(
            self, "unreadable", path, message, "the file is damaged: build or fetch it anew", level
        )

    def _too_new(self, path: str, elf: Elf) -> bool:
        """Tell whether a file of the function, or of a layer over the base, needs a newer glibc."""
        above = self.base_layers and self.tree.files[path].layer >= self.base_layers
        if not elf.glibc or not (above or self.places.is_own(path) or path in self.vital):
            return False
        return not self.glibc or version_tuple(elf.glibc) > version_tuple(self.glibc)

    def _glibc(self, path: str, version: str, *, musl: bool) -> AuditFinding:
        text = f"/{path} needs GLIBC_{version}"
        if self.glibc:
            message = f"{text}, and the image has glibc {self.glibc}: it was built on a newer system"
        else:
            message = f"{text}, and the image has no glibc{' but musl (Alpine Linux)' if musl else ''}"
        hint = "build it for the image's system, or take a base image with a newer glibc"
        level: Level = "note" if speaks_of_another(self._shown(path), self.machine) else "failure"
        return _finding(self, "glibc", path, message, hint, level, "glibc")

    def _libraries(
        self, path: str, elf: Elf, names: frozenset[str], used: frozenset[str]
    ) -> Iterator[AuditFinding]:
        for needed in dict.fromkeys([elf.interpreter, *elf.needed] if elf.interpreter else elf.needed):
            name = posixpath.basename(needed)
            if name in names:
                continue
            text = f"/{path} needs {ascii(needed)[1:-1]}, which is nowhere in the image"
            if path in used and not speaks_of_another(self._shown(path), self.machine):
                hint = f"install the package that has {ascii(name)[1:-1]} in the image"
                yield _finding(self, "library", path, text, hint, "failure", subject=name)
            else:
                message = f"{text}; nothing is linked with this file"
                yield _finding(self, "library", path, message, "", "note", subject=name)

    def _names(self, elves: dict[str, Elf]) -> frozenset[str]:
        """Return the names under which the image has libraries: of files and links, and their own."""
        files = {
            posixpath.basename(path)
            for path, seen in self.tree.files.items()
            if ".so" in path and seen.entry.kind in "flh"
        }
        foreign = {posixpath.basename(path) for path, elf in elves.items() if elf.machine != self.machine}
        fitting = [(path, elf) for path, elf in elves.items() if elf.machine == self.machine]
        own = {name for path, elf in fitting for name in (posixpath.basename(path), elf.soname) if name}
        return frozenset((files - foreign) | own)

    def _used(self, elves: dict[str, Elf]) -> frozenset[str]:
        """Return the paths that are loaded if the function is: modules, programs, what they are linked with.

        Packages bring plugins for what a machine may lack and load them by themselves, prepared for failing.
        """
        by_name: dict[str, list[str]] = {}
        for path, elf in elves.items():
            for name in {posixpath.basename(path), elf.soname}:
                by_name.setdefault(name, []).append(path)
        waiting = [
            path
            for path, elf in elves.items()
            if path in self.vital
            or (self.places.is_own(path) and (elf.kind == "program" or self._begins(path)))
        ]
        reached: set[str] = set()
        while waiting:
            path = waiting.pop()
            if path not in reached:
                reached.add(path)
                # What has a name is added once: files that all need each other stay few.
                waiting += [other for name in elves[path].needed for other in by_name.pop(name, ())]
        return frozenset(reached)

    def _begins(self, path: str) -> bool:
        """Tell whether a library is loaded by itself: a module, or a file of the function's own folders."""
        folders = (self.places.task, f"{self.places.task}/lib")
        return extension_of(path) is not None or posixpath.dirname(path) in folders

    def _shown(self, path: str) -> str:
        """Return the part of a path whose words count: folders of the system are named after machines too."""
        return path.removeprefix(f"{self.places.task}/")


def python_findings(tree: Tree, places: Places, target: Target, glibc: str) -> Iterator[AuditFinding]:
    """Yield where the image's Python, glibc and extension modules are not those of the runtime."""
    if target.family != "python":
        return
    found = sorted(set(places.pythons(tree)))
    version = ".".join(map(str, target.version))
    if target.version not in found:
        has = ", ".join(".".join(map(str, one)) for one in found)
        message = (
            f"the image has Python {has or 'nowhere on its PATH'}, and the function is for {target.runtime}"
        )
        level: Level = "failure" if found else "note"
        hint = f"build on an image with Python {version}, or set spec.runtime to the Python that it has"
        yield AuditFinding("python", "python", "", message, hint if found else "", level, ("python",))
    if glibc and version_tuple(glibc) < target.glibc:
        wanted = ".".join(map(str, target.glibc))
        message = (
            f"the image has glibc {glibc}, and packages were chosen for that of {target.runtime}, {wanted}"
        )
        yield AuditFinding("base-glibc", "glibc", "", message, "", "note", ("glibc",))
    yield from _modules(tree, places, target)


def _modules(tree: Tree, places: Places, target: Target) -> Iterator[AuditFinding]:
    root = f"{places.task}/"
    for path in tree.files:
        if not path.startswith(root) or (extension := extension_of(path.removeprefix(root))) is None:
            continue
        if extension.triplet == "windows" or extension.fits(target.version, target.machine):
            continue
        stem = root + extension.stem
        others = (f"{stem}{end}" for end in (".py", "/__init__.py", ".pyc", ".abi3.so", ".so"))
        tag = f"{stem}.cpython-{'{}{}'.format(*target.version)}-{target.machine}-linux-gnu.so"
        if any(one in tree.files for one in (*others, tag)):
            continue
        kind = " ".join(filter(None, (extension.abi, extension.triplet)))
        message = f"/{path} is a module for another Python ({kind}) than {target.runtime} has"
        hint = f"install what brings it for Python {'.'.join(map(str, target.version))}"
        yield AuditFinding("python-abi", path, _package(path, root), message, hint, "failure", (path,), kind)


def _package(path: str, root: str) -> str:
    """Name the package of a file by its folder below the function's; "" for others."""
    inside, slash, _ = path.removeprefix(root).partition("/")
    return inside.removesuffix(".libs") if slash and path.startswith(root) else ""


def _finding(
    judge: NativeJudge,
    rule: str,
    path: str,
    message: str,
    hint: str,
    level: Level,
    group: str = "",
    *,
    subject: str = "",
) -> AuditFinding:
    package = _package(path, f"{judge.places.task}/")
    hint = hint if level == "failure" else ""
    return AuditFinding(rule, subject or path, package, message, hint, level, (path,), group)
