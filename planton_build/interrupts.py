"""What must be undone at once when the user presses Ctrl-C, whichever thread has begun it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

_pending: dict[int, Callable[[], None]] = {}
_guard = threading.Lock()


@contextlib.contextmanager
def undone_on_interrupt(undo: Callable[[], None]) -> Iterator[None]:
    """Have `undo` called if the command is interrupted while the block runs, in whatever thread it runs.

    `undo` is called from the main thread, at most once, and must not raise.
    """
    with _guard:
        _pending[id(undo)] = undo
    try:
        yield
    finally:
        with _guard:
            _pending.pop(id(undo), None)


def undo_all() -> None:
    """Call everything that is pending. The program is about to end."""
    with _guard:
        pending = list(_pending.values())
        _pending.clear()
    for undo in pending:
        undo()
