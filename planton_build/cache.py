"""The content-addressed store that makes a second run quick: put if absent, verify on read, prune.

An entry is whole or absent: everything is written under a temporary name and renamed. Blobs are named by the
SHA-256 of their content; records are small JSON values named by the SHA-256 of everything they depend on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

from planton_build.errors import CacheBroken
from planton_build.files import UNFINISHED, sha256_of, write_atomic

BlobKind: TypeAlias = Literal["wheels", "sdists", "deflated", "artifacts", "blobs"]
"""`blobs` are parts of container images: manifests, configurations and layers."""
RecordKind: TypeAlias = Literal[
    "builds",
    "members",
    "offers",
    "projects",
    "exports",
    "layers",
    "native",
    "metadata",
    "compiled",
    "bytecode",
    "image_layers",
    "images",
    "layer_facts",
    "contents",
]

LEFTOVER_SECONDS = 86_400.0
"""Age at which a temporary file counts as left behind: no build takes a day."""

_LAYOUT = "v1"
_LEFTOVERS = frozenset({UNFINISHED, ".part", ".etag"})
"""Suffixes of files half-written, and of downloads that a later run could have gone on with."""


def key_of(*parts: object) -> str:
    """Return the SHA-256 (hex) of JSON-serialisable `parts`: the name of a record that depends on them."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Store:
    """A folder of blobs and records that any number of processes may use at once.

    Every method raises CacheBroken when the folder cannot be used.
    """

    def __init__(self, root: Path) -> None:
        self.root = root / _LAYOUT

    def blob(self, kind: BlobKind, digest: str) -> Path:
        """Return where the blob with this SHA-256 is, or would be."""
        return self.root / kind / digest[:2] / digest

    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CacheBroken(
                f"the cache folder {self.root} cannot be used: {error.strerror}",
                hint="free some space or name another folder with PLANTON_CACHE_DIR",
            ) from error

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """Give a temporary file on the store's file system; it is gone afterwards unless it was kept."""
        with self._using():
            descriptor, name = tempfile.mkstemp(dir=self._staging())
        os.close(descriptor)
        staged = Path(name)
        try:
            yield staged
        finally:
            staged.unlink(missing_ok=True)

    @contextlib.contextmanager
    def staging_folder(self) -> Iterator[Path]:
        """Give a new folder on the store's file system; it is gone afterwards with all that is left in it."""
        with self._using():
            staged = Path(tempfile.mkdtemp(dir=self._staging()))
        try:
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _staging(self) -> Path:
        folder = self.root / "staging"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def keep(self, kind: BlobKind, digest: str, staged: Path) -> Path:
        """Move a staged file whose SHA-256 is `digest` into the store. The caller has computed the digest."""
        path = self.blob(kind, digest)
        with self._using():
            path.parent.mkdir(parents=True, exist_ok=True)
            staged.chmod(0o644)
            staged.replace(path)
        return path

    def keep_bytes(self, kind: BlobKind, digest: str, content: bytes) -> Path:
        """Put small content whose name is `digest` into the store, unless it is there."""
        path = self.blob(kind, digest)
        with self._using():
            if not path.exists():
                write_atomic(path, content)
        return path

    def intact(self, kind: BlobKind, digest: str) -> bool:
        """Tell whether the blob is there with the right content; a damaged one is removed."""
        path = self.blob(kind, digest)
        with self._using():
            try:
                if sha256_of(path) == digest:
                    return True
            except FileNotFoundError:
                return False
            path.unlink(missing_ok=True)
        return False

    def _record(self, kind: RecordKind, key: str) -> Path:
        return self.root / kind / key[:2] / f"{key}.json"

    def record(self, kind: RecordKind, key: str) -> Any:
        """Return a record's JSON value, or None when it is absent or no JSON."""
        with self._using():
            try:
                return json.loads(self._record(kind, key).read_bytes())
            except (FileNotFoundError, ValueError):
                return None

    def put_record(self, kind: RecordKind, key: str, value: object) -> None:
        """Write a record in one step."""
        with self._using():
            write_atomic(self._record(kind, key), json.dumps(value, separators=(",", ":")).encode())

    def prune(self, *, older_than: float) -> tuple[int, int]:
        """Remove entries not written for `older_than` seconds. Return how many, and how many bytes.

        What a killed process left behind half-written is no entry: it goes after `LEFTOVER_SECONDS` at most.
        """
        now, count, size = time.time(), 0, 0
        with self._using():
            for path in self.root.rglob("*"):
                with contextlib.suppress(FileNotFoundError):
                    status = path.lstat()
                    age = min(older_than, LEFTOVER_SECONDS) if self._is_leftover(path) else older_than
                    if not stat.S_ISDIR(status.st_mode) and status.st_mtime < now - age:
                        path.unlink()
                        count, size = count + 1, size + status.st_size
        return count, size

    def _is_leftover(self, path: Path) -> bool:
        return path.parent == self.root / "staging" or path.suffix in _LEFTOVERS
