"""Would every native file of an artifact load on the target? Machine, Python, symbol versions, libraries."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from planton_build.archive.member import Member
from planton_build.audit.binaries import NativeFile
from planton_build.audit.elf import ElfFacts, version_tuple
from planton_build.audit.findings import AuditFinding, Level
from planton_build.audit.loader import Loader
from planton_build.audit.naming import Extension, extension_of, is_library, speaks_of_another, speaks_of_any
from planton_build.audit.remedies import for_glibc, for_library, for_machine, for_python, rebuild
from planton_build.runtimes.libraries import RuntimeLibraries, libraries_of
from planton_build.runtimes.target import Target

_PLATFORMS = {"macos": "macOS", "windows": "Windows", "linux": "Linux"}
_REPAIRED = re.compile(r"[^/]+\.libs/")
"""Where auditwheel puts what modules are linked with: nothing loads these by itself."""
_SOURCES = (".py", "/__init__.py", ".pyc")
"""What import takes as well when no extension module of that name fits."""


@dataclass(frozen=True, slots=True)
class _Judge:
    target: Target
    runtime: RuntimeLibraries
    loader: Loader
    importable: Collection[str]
    """Stems of the modules that the target's Python can import, extension modules and others."""
    used: Collection[str]
    """Paths of what import, programs and the function's own files lead to by linking."""

    def findings(self, native: NativeFile) -> Iterator[tuple[tuple[int, ...], AuditFinding]]:
        """Yield what is wrong with a file, each with a weight: of several alike the heaviest is shown."""
        path, machine = native.member.path, self.target.machine
        elsewhere = speaks_of_another(path, machine)
        for weight, finding in self._faults(native):
            if elsewhere and finding.level == "failure":
                message = f"{finding.message}; its path says that it is for another platform"
                yield weight, replace(finding, level="note", message=message, hint="")
            else:
                yield weight, finding

    def _faults(self, native: NativeFile) -> Iterator[tuple[tuple[int, ...], AuditFinding]]:
        elf, path = native.elf, native.member.path
        extension = extension_of(path) if self.target.family == "python" else None
        if native.platform != "linux":
            yield (), self._of_other_platform(native, extension)
        elif elf is None:
            level: Level = "failure" if is_library(path) else "note"
            message = f"{_shown(native)} begins as an ELF file and cannot be read as one: {native.fault}"
            yield (), _finding("unreadable", native, message, _UNREADABLE, level)
        elif elf.kind in {"object", "other"}:
            return  # input of a linker, or a core: nothing loads it
        elif not _fits(elf, self.target):
            yield (), self._of_other_machine(native, elf)
        elif extension is not None and not extension.fits(self.target.version, self.target.machine):
            yield (), self._of_other_python(native, extension)
        else:
            yield from self._versions(native, elf)
            yield from self._libraries(native, elf)

    def _passed_over(self, extension: Extension) -> bool:
        """Tell whether import ignores the file because of its name and finds the module elsewhere."""
        ignored = not extension.fits(self.target.version, self.target.machine)
        return ignored and extension.stem in self.importable

    def _of_other_platform(self, native: NativeFile, extension: Extension | None) -> AuditFinding:
        platform = _PLATFORMS[native.platform]
        missed = extension is not None and extension.missed(self.target.version)
        if extension is not None and missed and not self._passed_over(extension):
            message = f"{_shown(native)} is a module for {platform}, and none of its name is for Linux"
            return _finding("other-platform", native, message, for_machine(native.member.origin, self.target))
        message = f"{_shown(native)} is for {platform}: it only takes room"
        return _finding(
            "other-platform", native, message, "leave it out with package-exclude", "note", native.platform
        )

    def _of_other_machine(self, native: NativeFile, elf: ElfFacts) -> AuditFinding:
        path, origin = native.member.path, native.member.origin
        machine = f"{elf.machine}, {elf.bits} bits" if elf.machine == self.target.machine else elf.machine
        message = f"{_shown(native)} is for {machine}, and {self.target.name} is {self.target.machine}"
        extension = extension_of(path)
        replaced = extension is not None and self._passed_over(extension)
        used = is_library(path) or origin == "" or "bin" in path.split("/")[:-1]
        level: Level = "failure" if used and not replaced else "note"
        hint = for_machine(origin, self.target) if level == "failure" else ""
        return _finding("architecture", native, message, hint, level, elf.machine)

    def _of_other_python(self, native: NativeFile, extension: Extension) -> AuditFinding:
        kind = " ".join(filter(None, (extension.abi, extension.triplet)))
        version = ".".join(map(str, self.target.version))
        message = f"{_shown(native)} is a module for another Python ({kind}) than {self.target.runtime} has"
        if self._passed_over(extension):
            return _finding("python-abi", native, f"{message}: it only takes room", "", "note", kind)
        message = f"{message}, and nothing else of that name fits"
        return _finding("python-abi", native, message, for_python(native.member.origin, version), group=kind)

    def _versions(self, native: NativeFile, elf: ElfFacts) -> Iterator[tuple[tuple[int, ...], AuditFinding]]:
        for need in elf.versions:
            wanted = version_tuple(need.version)
            text = f"{_shown(native)} needs {need.series}_{need.version} (of {need.library})"
            if need.series == "GLIBC":
                if wanted > self.target.glibc:
                    has = ".".join(map(str, self.target.glibc))
                    message = f"{text}, and {self.target.runtime} has {has}: it was built on a newer system"
                    hint = for_glibc(native.member.origin, self.target)
                    yield wanted, _finding("glibc", native, message, hint, group="glibc")
                continue
            limits = self.runtime.versions.get((need.library, need.series))
            if limits is None or wanted <= version_tuple(limits[0]):
                continue
            if (own := self.loader.brings(need.library, native)) == "first":
                continue
            level: Level = "note"
            message = f"{text}, and {self.target.runtime} has {limits[0]}"
            if wanted <= version_tuple(limits[1]):
                message += f" for certain; newer releases of it have {limits[1]}"
            elif own == "somewhere":
                message += ": the copy in the artifact is found only if something loads it first"
            else:
                level = "failure"
                message += ": it was built with a newer compiler or library"
            hint = rebuild(native.member.origin, self.target) if level == "failure" else ""
            group = f"{need.library} {need.series}"
            yield wanted, _finding("symbol-version", native, message, hint, level, group)

    def _libraries(self, native: NativeFile, elf: ElfFacts) -> Iterator[tuple[tuple[int, ...], AuditFinding]]:
        wanted = dict.fromkeys([elf.interpreter, *elf.needed] if elf.interpreter else elf.needed)
        for library in wanted:
            place = self.loader.place(library, native)
            text = f"{_shown(native)} needs {library}"
            if place == "missing" and native.member.path not in self.used:
                message = f"{text}, which is nowhere; nothing in the artifact is linked with this file"
                yield (), _library(library, native, message, "", "note")
            elif place == "missing":
                message = f"{text}, which neither the artifact nor {self.target.runtime} has"
                hint = for_library(library, native.member.origin, self.target)
                yield (), _library(library, native, message, hint)
            elif place == "unknown":
                message = f"{text}, which has to be in one of the layers: they were not looked into"
                yield (), _library(library, native, message, "", "note")
            elif place == "image":
                message = (
                    f"{text}, which was seen in the image of {self.target.runtime} and may be absent where "
                    "ZIP functions run"
                )
                yield (), _library(library, native, message, "try it with planton-build verify", "note")
            elif place == "elsewhere":
                where = self.loader.elsewhere(library)
                message = f"{text}, and {where} is found only if something loads it first"
                yield (), _library(library, native, message, "put it into lib/ if it is not found", "note")


_UNREADABLE = "the file is damaged: build or fetch it anew, or leave it out with package-exclude or exclude"


def native_findings(
    members: Sequence[Member],
    natives: Sequence[NativeFile],
    target: Target,
    *,
    layer_libraries: Collection[str] | None = (),
) -> list[AuditFinding]:
    """Return everything that is wrong with the native files of an artifact, the worst of a kind first.

    Args:
        members: the whole artifact.
        natives: its native files, as `native_files` found them.
        target: where it has to load.
        layer_libraries: base names of the libraries in attached layers; None when there are layers that
            nobody has looked into.
    """
    runtime = libraries_of(target)
    loader = Loader(members, natives, runtime=runtime, machine=target.machine, layers=layer_libraries)
    judge = _Judge(target, runtime, loader, _importable(members, natives, target), _used(natives, target))
    found = [pair for native in natives for pair in judge.findings(native)]
    found.sort(key=lambda pair: pair[0], reverse=True)
    return [finding for _, finding in found]


def machines_of(natives: Iterable[NativeFile]) -> Mapping[str, tuple[str, ...]]:
    """Return the paths of programs and libraries by machine, for a target that is not known.

    Files whose path names a platform are left out: packages bring those for several on purpose.
    """
    found: dict[str, list[str]] = {}
    for native in natives:
        elf = native.elf
        if elf is not None and elf.kind in {"library", "program"} and not speaks_of_any(native.member.path):
            found.setdefault(elf.machine, []).append(native.member.path)
    return {machine: tuple(paths) for machine, paths in sorted(found.items())}


def _importable(members: Sequence[Member], natives: Sequence[NativeFile], target: Target) -> frozenset[str]:
    """Return the stems of all modules that have something which the target's Python imports."""
    stems = {
        member.path.removesuffix(suffix)
        for member in members
        for suffix in _SOURCES
        if member.path.endswith(suffix)
    }
    for native in natives:
        extension = extension_of(native.member.path)
        if (
            extension is not None
            and native.elf is not None
            and _fits(native.elf, target)
            and extension.fits(target.version, target.machine)
        ):
            stems.add(extension.stem)
    return frozenset(stems)


def _used(natives: Sequence[NativeFile], target: Target) -> frozenset[str]:
    """Return the paths of the files that are loaded if anything of their package is.

    They are reached by NEEDED from extension modules, programs and the function's own files. Packages bring
    plugins for what a machine may lack (drivers, displays) and load them by themselves, prepared for failing.
    In a package without extension modules every library counts: Python code loads them with ctypes.
    """
    fitting = [native for native in natives if native.elf is not None and _fits(native.elf, target)]
    modules = {native.member.path for native in fitting if extension_of(native.member.path) is not None}
    linking = {native.member.origin for native in fitting if native.member.path in modules}
    by_name: dict[str, list[NativeFile]] = {}
    for native in fitting:
        names = {native.member.path.rpartition("/")[2], native.elf.soname if native.elf else ""}
        for name in names:
            by_name.setdefault(name, []).append(native)
    waiting = [
        native
        for native in fitting
        if native.member.path in modules
        or native.member.origin == ""
        or (native.member.origin not in linking and not _REPAIRED.match(native.member.path))
        or (native.elf is not None and native.elf.kind == "program")
    ]
    reached: set[str] = set()
    while waiting:
        native = waiting.pop()
        if native.member.path not in reached and native.elf is not None:
            reached.add(native.member.path)
            waiting += [other for name in native.elf.needed for other in by_name.get(name, ())]
    return frozenset(reached)


def _fits(elf: ElfFacts, target: Target) -> bool:
    return elf.machine == target.machine and elf.bits == 64 and elf.little_endian


def _shown(native: NativeFile) -> str:
    origin = native.member.origin
    return f"{native.member.path} (of {origin})" if origin else native.member.path


def _finding(
    rule: str, native: NativeFile, message: str, hint: str, level: Level = "failure", group: str = ""
) -> AuditFinding:
    path = native.member.path
    return AuditFinding(rule, path, native.member.origin, message, hint, level, (path,), group)


def _library(
    library: str, native: NativeFile, message: str, hint: str, level: Level = "failure"
) -> AuditFinding:
    subject = library.rpartition("/")[2]
    return AuditFinding("library", subject, native.member.origin, message, hint, level, (native.member.path,))
