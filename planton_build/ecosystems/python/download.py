"""One file from an index into the store: resumable, bounded, verified before anybody sees it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from planton_build.cache import BlobKind, Store
from planton_build.ecosystems.python.client import IndexClient, TransientFailure, check_status
from planton_build.ecosystems.python.index import Offer
from planton_build.ecosystems.python.settings import redacted
from planton_build.errors import CacheBroken, HashMismatch, IndexUnreachable
from planton_build.files import sha256_of, write_atomic

if TYPE_CHECKING:
    import httpx2

SIZE_LIMIT = 4 << 30
"""Bytes of a wheel. Lambda takes images of 10 GB and ZIPs of 250 MB; the largest wheels have about 3 GB."""


@dataclass(frozen=True, slots=True)
class Download:
    """What to fetch. `name` and `version` are for messages; any of `hashes` (SHA-256, hex) will do."""

    name: str
    version: str
    offer: Offer
    hashes: Collection[str]

    @property
    def limit(self) -> int:
        """Return the most bytes the file may have."""
        return SIZE_LIMIT if self.offer.size is None else min(self.offer.size, SIZE_LIMIT)


def download(job: Download, client: IndexClient, store: Store, advanced: Callable[[int], None]) -> str:
    """Put a wheel or an sdist into the store and return its SHA-256.

    An interrupted download goes on where it stopped, in this process or a later one; processes that want the
    same file wait for each other.

    Args:
        job: what to fetch.
        client: the connection.
        store: takes the wheel.
        advanced: is told the bytes of every piece; in sum at most the file's size, unless it starts over.

    Raises:
        HashMismatch: the bytes have none of the hashes, also when fetched anew.
        IndexUnreachable: the file cannot be read.
        CacheBroken: the store cannot be written.
    """
    # Without a hash on the index page the URL stands for the file.
    known = job.offer.sha256
    stem = known or hashlib.sha256(job.offer.url.encode()).hexdigest()
    try:
        with _locked(store.root / "parts" / stem) as part:
            kind: BlobKind = "wheels" if job.offer.kind == "wheel" else "sdists"
            if known is not None and store.blob(kind, known).exists():
                return known
            digest = _fetched(job, part, client, advanced)
            store.keep(kind, digest, part.path)
            return digest
    except OSError as error:
        raise CacheBroken(
            f"the cache folder {store.root} cannot be written: {error.strerror or error}",
            hint="free some space or name another folder with PLANTON_CACHE_DIR",
        ) from error


@dataclass(frozen=True, slots=True)
class _Part:
    """A file that may be incomplete, and beside it the validator of the answer its bytes came from."""

    path: Path

    @property
    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def validator(self) -> str | None:
        try:
            return self.path.with_suffix(".etag").read_text("utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".etag").unlink(missing_ok=True)

    def remember(self, response: httpx2.Response) -> None:
        """Keep what If-Range needs (RFC 9110, 13.1.5): a strong entity tag, else the date."""
        tag = response.headers.get("ETag", "")
        validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
        if validator:
            write_atomic(self.path.with_suffix(".etag"), validator.encode())
        else:
            self.path.with_suffix(".etag").unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(stem: Path) -> Iterator[_Part]:
    """Give the part file to one process and thread at a time. Locks die with their process."""
    import filelock

    stem.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(stem.with_suffix(".lock"), thread_local=False):
        part = _Part(stem.with_suffix(".part"))
        yield part
        part.path.with_suffix(".etag").unlink(missing_ok=True)


def _fetched(job: Download, part: _Part, client: IndexClient, advanced: Callable[[int], None]) -> str:
    """Complete the part and return its digest. Bytes of an earlier run get one chance to be right."""
    resumed = part.size > 0
    if resumed and (digest := sha256_of(part.path)) in job.hashes:
        return digest
    advanced(part.size)
    _complete(job, part, client, advanced)
    digest = sha256_of(part.path)
    if resumed and digest not in job.hashes:
        part.forget()
        _complete(job, part, client, advanced)
        digest = sha256_of(part.path)
    if digest in job.hashes:
        return digest
    part.forget()
    raise _mismatch(job, digest)


def _mismatch(job: Download, digest: str) -> HashMismatch:
    host = urlsplit(job.offer.url).hostname or "a local index"
    expected = job.offer.sha256 or " or ".join(sorted(job.hashes))
    return HashMismatch(
        f"{job.offer.filename} from {host} is not what the lock names for {job.name}=={job.version}: "
        f"expected SHA-256 {expected}, got {digest}",
        hint="if the index replaced the file, find out why before locking again; "
        "otherwise suspect a proxy or mirror",
    )


def _complete(job: Download, part: _Part, client: IndexClient, advanced: Callable[[int], None]) -> None:
    try:
        client.attempt(lambda: _continue(job, part, client, advanced), job.offer.url)
    except IndexUnreachable as error:
        raise IndexUnreachable(
            f"fetching {job.name}=={job.version}: {error.message}", hint=error.hint
        ) from error


def _continue(job: Download, part: _Part, client: IndexClient, advanced: Callable[[int], None]) -> None:
    """Make one request for what is missing and append it."""
    start = part.size
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if (validator := part.validator) is not None:
            headers["If-Range"] = validator
    with client.stream(job.offer.url, headers) as response:
        if start and (response.status_code == 416 or not _continues(response, start)):
            part.forget()
            start = 0
            if response.status_code in (206, 416):
                raise TransientFailure("the server does not continue an interrupted download")
        check_status(response, job.offer.url)
        if start == 0:
            part.remember(response)
        _append(job, part, response, advanced)


def _continues(response: httpx2.Response, start: int) -> bool:
    """Tell whether the answer is the rest of the file from byte `start`, or a failure to be judged later."""
    if response.status_code == 206:
        return str(response.headers.get("Content-Range", "")).startswith(f"bytes {start}-")
    return response.status_code >= 300


def _append(job: Download, part: _Part, response: httpx2.Response, advanced: Callable[[int], None]) -> None:
    size = part.size
    with part.path.open("ab") as sink:
        for chunk in response.iter_raw():  # sized pieces would lose the last one when the line drops
            size += len(chunk)
            if size > job.limit:
                sink.close()
                part.forget()
                raise IndexUnreachable(
                    f"{redacted(job.offer.url)} has more than the {job.limit:,} bytes it may have",
                    hint="the index announces another file than it sends; a proxy or mirror may be at fault",
                )
            sink.write(chunk)
            advanced(len(chunk))
    if job.offer.size is not None and size < job.offer.size:
        raise TransientFailure(f"it ended after {size:,} of {job.offer.size:,} bytes")
