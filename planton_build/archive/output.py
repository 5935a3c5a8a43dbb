"""A file being written and hashed on the way, as all archives here are."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from planton_build.errors import CacheBroken

_BUFFER = 1 << 20
"""Bytes collected before they are hashed and written. Larger ones fall out of the processor's cache."""


class Output:
    """A file being written: collected in a buffer, hashed in a second thread, counted.

    Hashing takes a third of the time of all of it, and hashlib releases the interpreter's lock: while one
    buffer is hashed, it is also written, and the other one fills.
    """

    def __init__(self, destination: Path, advanced: Callable[[int], None] | None = None) -> None:
        self._sha256 = hashlib.sha256()
        self.position = 0
        self._destination = destination
        self._advanced = advanced
        self._view, self._other = memoryview(bytearray(_BUFFER)), memoryview(bytearray(_BUFFER))
        self._filled = 0
        self._hashed: Future[None] | None = None

    def __enter__(self) -> Self:
        """Open the file, and empty it."""
        with self._writing():
            self._stream = self._destination.open("wb", buffering=0)
        self._hasher = ThreadPoolExecutor(1, thread_name_prefix="sha256")
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file; what was not flushed is not in it."""
        self._hasher.shutdown()
        with self._writing():
            self._stream.close()

    def write(self, content: bytes | bytearray | memoryview) -> None:
        """Append bytes."""
        view = memoryview(content)
        while view:
            room = self.room(len(view))
            room[:] = view[: len(room)]
            self.took(len(room))
            view = view[len(room) :]

    def room(self, size: int) -> memoryview:
        """Return a place for the next bytes: at least one of them, at most `size`."""
        if self._filled == _BUFFER:
            self.flush()
        return self._view[self._filled : self._filled + size]

    def took(self, size: int) -> None:
        """Count the first `size` bytes of the place that `room` gave as written."""
        self._filled += size
        self.position += size

    def flush(self) -> None:
        """Hash the buffer and hand it to the file."""
        ready = self._view[: self._filled]
        hashed, self._hashed = self._hashed, self._hasher.submit(self._sha256.update, ready)
        if hashed is not None:
            hashed.result()  # the other buffer is free again
        self._view, self._other = self._other, self._view
        with self._writing():
            while ready:
                ready = ready[self._stream.write(ready) :]
        if self._advanced is not None:
            self._advanced(self._filled)
        self._filled = 0

    def finish(self) -> str:
        """Hand on what is left; return the SHA-256 (hex) of the whole file."""
        self.flush()
        if self._hashed is not None:
            self._hashed.result()
        return self._sha256.hexdigest()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CacheBroken(
                f"{self._destination} cannot be written: {error.strerror}",
                hint="free some space or name another folder with PLANTON_CACHE_DIR",
                file=self._destination,
            ) from error
