"""The context of a build: the files of a folder, so described that two checkouts of one commit are equal.

Modes are 0644 or 0755 by the rule that ZIPs follow, times are fixed, everything belongs to root, and
`.dockerignore` is honoured. Reading it needs no engine: its digest is part of the cache's key.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from planton_build.errors import SourceInvalid
from planton_build.files import UNFINISHED, sha256_of
from planton_build.project.executables import executables_in_index
from planton_build.project.tree import Entry, entries_of
from planton_build.sandbox.dockerfile.ignore import NAME, IgnoreFile, read_ignore_file
from planton_build.sandbox.files import EPOCH

FILES_MAX = 200_000
_FOLDER_MODE = 0o755


@dataclass(frozen=True, slots=True)
class ContextEntry:
    """One file, symlink or folder of a context.

    `name` is its path in the context. `digest` is the SHA-256 (hex) of a file's content; `link` what a
    symlink says. A folder has neither.
    """

    path: Path
    name: str
    executable: bool = False
    digest: str | None = None
    link: str | None = None

    @property
    def mode(self) -> int:
        """Return the permissions: 0755 for folders and programs, else 0644."""
        return _FOLDER_MODE if self.executable or (self.digest is None and self.link is None) else 0o644


@dataclass(frozen=True, slots=True)
class Context:
    """What `COPY` can copy. `digest` (SHA-256, hex) stands for all of it: names, modes and contents."""

    folder: Path
    entries: tuple[ContextEntry, ...]
    digest: str


def read_context(folder: Path, dockerfile: Path, *, without: Collection[str] = ()) -> Context:
    """Read the context in `folder`; `dockerfile` may be anywhere, and names its own `.dockerignore`.

    `without` are real paths of files that stay out whatever `.dockerignore` says.

    Raises:
        SourceInvalid: the folder is missing, unreadable, or holds what cannot be sent.
        DockerfileFailed: `.dockerignore` cannot be read.
        ToolFailed: executable bits are only in git's index and git cannot be run.
    """
    root = Path(os.path.realpath(folder))
    tracked = executables_in_index(root)
    found: dict[str, ContextEntry] = {}
    for entry in _kept(root, read_ignore_file(root, dockerfile)):
        if str(entry.path) in without:
            continue
        for parent in _parents(entry.relative):
            if parent not in found:
                found[parent] = ContextEntry(root / parent, parent)
        found[entry.relative] = _described(entry, tracked)
        if len(found) > FILES_MAX:
            raise SourceInvalid(
                f"the context {folder} has more than {FILES_MAX:,} files",
                hint=f"leave out what the Dockerfile does not copy with {NAME}",
                file=folder,
            )
    entries = tuple(found[name] for name in sorted(found, key=_sortable))
    return Context(root, entries, _digest(entries))


def write_context_tar(context: Context, stream: IO[bytes], extra: Sequence[tuple[str, bytes]] = ()) -> None:
    """Write a context as a tar archive. `extra` are files (name, content) that replace those of its names.

    Raises:
        SourceInvalid: a file changed or disappeared since it was read.
    """
    replaced = {name for name, _ in extra}
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in context.entries:
            if entry.name in replaced:
                continue
            info = _tar_entry(entry.name, entry.mode)
            if entry.digest is not None:
                with _opened(entry) as content:
                    info.size = os.fstat(content.fileno()).st_size
                    try:
                        archive.addfile(info, content)
                    except OSError as error:  # shorter than it was
                        raise _changed(entry) from error
            elif entry.link is not None:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
                archive.addfile(info)
            else:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
        for name, added in extra:
            info = _tar_entry(name, 0o644)
            info.size = len(added)
            archive.addfile(info, io.BytesIO(added))


def copy_context(context: Context, into: Path) -> None:
    """Write a context as a folder, which must be empty: for BuildKit, which reads one by itself.

    Raises:
        SourceInvalid: a file changed or disappeared since it was read.
    """
    folders = [into]
    for entry in context.entries:
        path = into / entry.name
        if entry.digest is not None:
            with _opened(entry) as source, path.open("xb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
            path.chmod(entry.mode)
            os.utime(path, (EPOCH, EPOCH))
        elif entry.link is not None:
            path.symlink_to(entry.link)
            if os.utime in os.supports_follow_symlinks:
                os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
        else:
            path.mkdir()
            path.chmod(entry.mode)
            folders.append(path)
    for path in reversed(folders):
        os.utime(path, (EPOCH, EPOCH))


def _kept(root: Path, ignored: IgnoreFile) -> Iterator[Entry]:
    """Yield what is not left out, in no particular order. Sockets never get in, as with docker."""
    pending = [(root, "")]
    while pending:
        folder, prefix = pending.pop()
        for entry in entries_of(folder, prefix):
            out = ignored.leaves_out(entry.relative)
            if entry.is_folder and (not out or ignored.brings_back):
                pending.append((entry.path, entry.relative + "/"))
            if out or entry.name.endswith(UNFINISHED):
                continue
            if not (entry.is_folder or entry.is_link or entry.is_regular):
                if stat.S_ISSOCK(entry.path.lstat().st_mode):
                    continue
                raise SourceInvalid(
                    f"the file {entry.relative!r} of the context is neither a file, a folder nor a symlink",
                    hint=f"leave it out with {NAME}",
                    file=entry.path,
                )
            yield entry


def _described(entry: Entry, tracked: frozenset[str] | None) -> ContextEntry:
    try:
        if entry.is_folder:
            return ContextEntry(entry.path, entry.relative)
        if entry.is_link:
            # os.readlink: Path would normalise what the link says.
            target = os.fsencode(os.readlink(entry.path))  # noqa: PTH115
            link = target.decode("utf-8", "surrogateescape").replace(os.sep, "/")
            return ContextEntry(entry.path, entry.relative, link=link)
        mode = entry.path.stat().st_mode
        executable = bool(mode & stat.S_IXUSR) if tracked is None else entry.relative in tracked
        return ContextEntry(entry.path, entry.relative, executable, digest=sha256_of(entry.path))
    except OSError as error:
        raise SourceInvalid(
            f"the file {entry.relative!r} of the context cannot be read: {error.strerror}",
            hint=f"correct its permissions, or leave it out with {NAME}",
            file=entry.path,
        ) from error


def _digest(entries: Sequence[ContextEntry]) -> str:
    sha256 = hashlib.sha256()
    for entry in entries:
        record = [entry.name, entry.mode, entry.digest, entry.link]
        sha256.update(json.dumps(record, separators=(",", ":")).encode() + b"\n")
    return sha256.hexdigest()


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _sortable(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _tar_entry(name: str, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = mode, EPOCH
    return info


def _opened(entry: ContextEntry) -> IO[bytes]:
    try:
        return entry.path.open("rb")
    except OSError as error:
        raise _changed(entry) from error


def _changed(entry: ContextEntry) -> SourceInvalid:
    return SourceInvalid(
        f"the file {entry.name!r} of the context changed while it was sent",
        hint="run the command again when nothing writes to the folder",
        file=entry.path,
    )
