"""Writing the code source of a build back into the manifest: no other byte of the file changes.

The edit is made of splices into the text as it was read (`edit`), and is proven by reading the result again
(`proof`) before anything is written. The file is replaced in one step.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from planton_build.errors import ManifestChanged, ManifestNotWritable, ManifestUnreadable, WriteBackRefused
from planton_build.files import replacing, sha256_of
from planton_build.manifest import proof
from planton_build.manifest.code_source import CodeSource, S3Source
from planton_build.manifest.document import Manifest
from planton_build.manifest.edit import spliced
from planton_build.manifest.nodes import Document, compose
from planton_build.manifest.source import MAX_BYTES, read_source
from planton_build.manifest.splices import SplicedText

_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class WriteBack:
    """What write-back did, or would do, to one file. `diff` is a unified diff, "" when nothing changes."""

    path: Path
    changed: bool
    diff: str


@dataclass(frozen=True, slots=True)
class _FileEdit:
    """One file to be replaced: `path` as the caller knows it, `target` behind its links."""

    path: Path
    target: Path
    digest: str
    before: str
    after: str


def edited(text: str, index: int, source: CodeSource, file: Path) -> str:
    """Return a manifest file's text with `source` as the code source of its document number `index` (from 0).

    `file` is for messages only. Raises ManifestUnreadable if the text is not YAML, and WriteBackRefused, with
    the line, where the code source cannot be changed without changing something else.
    """
    mark = _BOM if text.startswith(_BOM) else ""
    return mark + proven_edit(text.removeprefix(_BOM), index, source, file).text


def proven_edit(text: str, index: int, source: CodeSource, file: Path) -> SplicedText:
    """Return the edit that `edited` makes, with the changed ranges of `text`. Raises the same errors.

    `text` is without byte order mark.
    """
    _check_encodable(source, file)
    before = compose(text, file)
    if not 0 <= index < len(before):
        raise ManifestChanged(
            f"the manifest has no document number {index + 1}", file=file, hint="Read the manifest again."
        )
    try:
        result = spliced(text, before[index], source, file)
        after = compose(result.text, file) if result.changes else before
    except ManifestUnreadable as error:
        raise _unproven(file, before[index]) from error
    if not (proof.only_code_source_differs(before, after, index) and proof.holds(after[index], source)):
        raise _unproven(file, before[index])
    return result


def write_back(changes: Sequence[tuple[Manifest, CodeSource]], *, apply: bool = True) -> list[WriteBack]:
    """Write code sources into their manifests; all documents of one file together, in one replacement.

    Every edit is computed before the first file is written. A link stays a link and its target is replaced;
    the mode stays, and the owner where the system allows it. With `apply` false nothing is written.

    Raises ManifestChanged if a file is not what the manifests were read from, ManifestUnreadable,
    WriteBackRefused (see `edited`), and ManifestNotWritable if the file cannot be replaced.
    """
    edits = [_file_edit(group) for group in _by_file(changes)]
    if apply:
        for edit in edits:
            if edit.after != edit.before:
                _replace(edit)
    return [WriteBack(edit.path, edit.after != edit.before, _diff(edit)) for edit in edits]


def _by_file(
    changes: Sequence[tuple[Manifest, CodeSource]],
) -> list[list[tuple[Manifest, CodeSource]]]:
    groups: dict[Path, list[tuple[Manifest, CodeSource]]] = {}
    for manifest, source in changes:
        groups.setdefault(_target(manifest.path), []).append((manifest, source))
    return list(groups.values())


def _target(path: Path) -> Path:
    """Return the file behind all links."""
    try:
        return path.resolve(strict=True)
    except FileNotFoundError:
        _changed(path, "is gone")
    except (OSError, RuntimeError) as error:
        _not_writable(path, error)


def _file_edit(group: Sequence[tuple[Manifest, CodeSource]]) -> _FileEdit:
    path = group[0][0].path
    found = read_source(path)
    if any(manifest.digest != found.digest for manifest, _ in group):
        _changed(path, "was edited after it was read")
    text = found.text
    for manifest, source in group:
        text = edited(text, manifest.index, source, path)
    before, after = ((_BOM if found.bom else "") + one for one in (found.text, text))
    if len(after.encode()) > MAX_BYTES:
        raise WriteBackRefused(
            f"with its code source the manifest would be larger than {MAX_BYTES} bytes",
            file=path,
            hint="Split the file.",
        )
    return _FileEdit(path, _target(path), found.digest, before, after)


def _replace(edit: _FileEdit) -> None:
    """Put the edited text in the place of the file, if that is still what was read."""
    try:
        status = edit.target.stat()
        with replacing(edit.target, mode=stat.S_IMODE(status.st_mode)) as staged:
            staged.write_bytes(edit.after.encode())
            _keep_owner(staged, status)
            if sha256_of(edit.target) != edit.digest:
                _changed(edit.path, "was edited while its code source was written")
    except FileNotFoundError:
        _changed(edit.path, "is gone")
    except OSError as error:
        _not_writable(edit.path, error)


def _keep_owner(staged: Path, status: os.stat_result) -> None:
    """Give the new file the owner and group of the old one, each where the system allows it."""
    if not hasattr(os, "chown"):
        return
    now = staged.stat()
    if status.st_gid != now.st_gid:
        with contextlib.suppress(PermissionError):
            os.chown(staged, -1, status.st_gid)
    if status.st_uid != now.st_uid:
        with contextlib.suppress(PermissionError):
            os.chown(staged, status.st_uid, -1)


def _diff(edit: _FileEdit) -> str:
    """Return the unified diff of a file. Lines end at `\\n` alone, as diff and patch have it."""
    name = edit.path.as_posix().lstrip("/")
    lines = difflib.unified_diff(_lines(edit.before), _lines(edit.after), f"a/{name}", f"b/{name}")
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _lines(text: str) -> list[str]:
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _unproven(file: Path, document: Document) -> WriteBackRefused:
    return WriteBackRefused(
        "the code source cannot be written back: reading the edited text again gave something else",
        hint="Write the code source by hand once, in plain block style, and build again.",
        file=file,
        line=document.root.start_mark.line + 1,
    )


def _check_encodable(source: CodeSource, file: Path) -> None:
    values = (
        (source.bucket, source.key, source.object_version or "")
        if isinstance(source, S3Source)
        else (source.image_uri,)
    )
    for value in values:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise WriteBackRefused(
                f"the code source holds a value that is no Unicode text: {value!r}",
                file=file,
                hint="Give the artifact another name.",
            ) from None


def _changed(path: Path, what: str) -> NoReturn:
    raise ManifestChanged(
        f"the manifest {what}, so the code source was not written",
        file=path,
        hint="Run the command again; what was built is taken from the cache.",
    )


def _not_writable(path: Path, error: OSError | RuntimeError) -> NoReturn:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    raise ManifestNotWritable(
        f"the manifest cannot be replaced: {reason}",
        file=path,
        hint="The folder of the manifest must be writable: the file is replaced, not overwritten.",
    ) from error
