"""Which files of a function's source folder go into its artifact.

Everything in the source folder goes in, except, in this order of strength:

1. what `exclude` in the configuration, and then `.lambdaignore` files (gitignore syntax), leave out; a
   `!pattern` in them brings back what the next two steps would leave out;
2. what never belongs into an artifact: version control, caches, virtual environments, secrets, dependency
   inputs, manifests and the like (`left_out`), and the folders of other functions, which have manifests of
   their own;
3. what `.gitignore` files and `.git/info/exclude` leave out. Such files exist on one machine and not on the
   next, so an artifact with them could not be built again elsewhere. A generated file that is needed is
   asked for by `include`. Whether git tracks a file in spite of its rules is not asked.

`include` is stronger than all of it. A pattern that names something (`generated/client.py`, `*.pem`,
`vendor/`) brings it back whatever left it out. One that ends in a wildcard (`data/**`) brings back what git
ignores and what belongs to other functions, but no secrets, no caches and nothing that `exclude` leaves out.
A pattern without a folder (`*.json`) does not reach into folders that are left out.

READMEs, licences and tests go in: code may read or import them, and `exclude` is one line.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from planton_build.archive.names import LAYER_ROOT, link_fault, parents_of, path_fault
from planton_build.errors import Finding, SourceInvalid
from planton_build.manifest.load import looks_like_manifest
from planton_build.project.executables import executables_in_index
from planton_build.project.function import FunctionProject
from planton_build.project.repository import IgnoreRules, ignore_rules_above
from planton_build.project.selection import Mode, Selection
from planton_build.project.tree import Entry, entries_of


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of the sources.

    `path` is where it is; `archive_path` its path in the artifact, in Unicode's composed form (NFC), because
    macOS may give the same name decomposed. `link_target` is what a symlink points to, relative or below
    `/opt`, and None for a regular file.
    """

    path: Path
    archive_path: str
    executable: bool = False
    link_target: str | None = None


def source_files(project: FunctionProject, *, carried: bool = False) -> list[SourceFile]:
    """Return the files of the source folder that belong in the artifact, sorted by archive path.

    Args:
        project: the function.
        carried: whether a wheel holds the function's code already; then only what `include` asks for goes in.

    Raises:
        SourceInvalid: the folder is missing or unreadable; a name, a symlink or a kind of file cannot be
            packaged. All faults are in `findings`.
        ToolFailed: executable bits are only in git's index and git cannot be run.

    """
    options = project.options
    root = Path(os.path.realpath(options.source))
    walk = _Walk(
        root,
        Path(os.path.realpath(project.manifest.path.parent)),
        Selection(options.include, options.exclude),
    )
    entries = list(walk.files(Mode.CARRIED if carried else Mode.PLAIN))
    faults: list[Finding] = []
    executable = executables_in_index(root) if entries else None
    files: dict[str, SourceFile] = {}
    for entry in entries:
        file = _source_file(entry, executable, faults)
        if file is None:
            continue
        if (other := files.get(file.archive_path)) is not None:
            faults.append(
                _fault(entry, f"has the same name as {other.path.name!r} in Unicode's composed form")
            )
        files[file.archive_path] = file
    _check_links(root, files, faults)
    if faults:
        first = faults[0]
        message = first.message if len(faults) == 1 else f"{len(faults)} source files cannot be packaged"
        raise SourceInvalid(message, hint=first.hint if len(faults) == 1 else None, findings=faults)
    return [files[path] for path in sorted(files)]


class _Walk:
    """Goes through the source folder and yields what is wanted."""

    def __init__(self, root: Path, own: Path, selection: Selection) -> None:
        self._root = root
        self._own = {own, *own.parents}
        self._selection = selection

    def files(self, mode: Mode) -> Iterator[Entry]:
        """Yield the wanted files and symlinks in no particular order."""
        git, self._base = ignore_rules_above(self._root)
        pending = [(self._root, "", mode, (IgnoreRules(), git))]
        while pending:
            folder, prefix, mode, rules = pending.pop()
            entries = entries_of(folder, prefix)
            names = {entry.name: entry for entry in entries}
            rules = self._rules_inside(folder, prefix, names, rules)
            mode = self._mode_inside(folder, names, mode)
            for entry in entries:
                git_path = self._base + entry.relative
                if entry.is_folder:
                    inside = self._selection.folder(entry.relative, git_path, mode, rules)
                    if inside is not None:
                        pending.append((entry.path, entry.relative + "/", inside, rules))
                elif self._selection.file(entry.relative, git_path, mode, rules, entry.path):
                    yield entry

    def _rules_inside(
        self, folder: Path, prefix: str, names: dict[str, Entry], rules: tuple[IgnoreRules, IgnoreRules]
    ) -> tuple[IgnoreRules, IgnoreRules]:
        by_lambda, by_git = rules
        if ".lambdaignore" in names:
            by_lambda = by_lambda.entering(prefix, folder / ".lambdaignore")
        if ".gitignore" in names:
            by_git = by_git.entering(self._base + prefix, folder / ".gitignore")
        return by_lambda, by_git

    def _mode_inside(self, folder: Path, names: dict[str, Entry], mode: Mode) -> Mode:
        """Pass through virtual environments, and through the folders of other functions."""
        if folder == self._root or mode in (Mode.ASKED, Mode.BARRED):
            return mode
        if "pyvenv.cfg" in names:
            return Mode.BARRED
        if folder in self._own:
            return mode
        foreign = any(looks_like_manifest(entry.path) for entry in names.values() if entry.is_regular)
        return Mode.PASSED if foreign else mode


def _source_file(entry: Entry, tracked: frozenset[str] | None, faults: list[Finding]) -> SourceFile | None:
    """Make the SourceFile of a wanted entry, or note why it cannot be packaged."""
    archive_path = unicodedata.normalize("NFC", entry.relative)
    if (fault := path_fault(archive_path)) is not None:
        faults.append(_fault(entry, fault, hint="rename the file, or leave it out with `exclude`"))
        return None
    if entry.is_link:
        target = _target_of(entry.path)
        return SourceFile(entry.path, archive_path, link_target=unicodedata.normalize("NFC", target))
    if not entry.is_regular:
        faults.append(
            _fault(entry, "is neither a file, a folder nor a symlink", hint="leave it out with `exclude`")
        )
        return None
    if not os.access(entry.path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        faults.append(_fault(entry, "cannot be read: permission denied"))
        return None
    mode = entry.path.stat().st_mode
    executable = bool(mode & stat.S_IXUSR) if tracked is None else entry.relative in tracked
    return SourceFile(entry.path, archive_path, executable)


def _check_links(root: Path, files: dict[str, SourceFile], faults: list[Finding]) -> None:
    """Note every symlink that would not work, or would leave the artifact, once it is unpacked."""
    folders = {""}
    for path in files:
        folders.update(parents_of(path))
    for file in files.values():
        if file.link_target is None:
            continue
        fault, hint = link_fault(file.archive_path, file.link_target, absolute_roots=(LAYER_ROOT,)), None
        if fault is not None:
            hint = "copy the file into the source folder, or let `source` be a folder that holds both"
        elif not file.link_target.startswith("/"):
            fault, hint = _dangling(root, file, files, folders)
        if fault is not None:
            faults.append(
                Finding(
                    SourceInvalid.code, f"the symlink {file.archive_path!r} {fault}", file.path, hint=hint
                )
            )


def _dangling(
    root: Path, file: SourceFile, files: dict[str, SourceFile], folders: set[str]
) -> tuple[str | None, str | None]:
    """Return what is wrong with where an inner symlink leads, and what to do."""
    try:
        real = Path(os.path.realpath(file.path, strict=True))
    except FileNotFoundError:
        return (
            f"points to {file.link_target!r}, which does not exist",
            "remove the link, or restore its target",
        )
    except OSError as error:
        return f"points to {file.link_target!r}: {error.strerror}", "remove the link"
    try:
        inner = os.fsencode(real.relative_to(root).as_posix()).decode("utf-8", "surrogateescape")
    except ValueError:
        return (
            f"leads out of the source folder, by way of {file.link_target!r}",
            "replace it by what it stands for",
        )
    inner = unicodedata.normalize("NFC", "" if inner == "." else inner)
    if inner in files or inner in folders:
        return None, None
    return (
        f"points to {file.link_target!r}, which is left out of the artifact",
        f"ask for the target with `include`, or leave out the link with `exclude`: {inner}",
    )


def _target_of(path: Path) -> str:
    """Return a symlink's text as it is written on POSIX systems."""
    # os.readlink: Path would normalise what the link says.
    target = os.fsencode(os.readlink(path)).decode("utf-8", "surrogateescape")  # noqa: PTH115
    return target.replace(os.sep, "/")


def _fault(entry: Entry, fault: str, *, hint: str | None = None) -> Finding:
    shown = entry.relative.encode("utf-8", "backslashreplace").decode()
    return Finding(SourceInvalid.code, f"the source file {shown!r} {fault}", entry.path, hint=hint)
