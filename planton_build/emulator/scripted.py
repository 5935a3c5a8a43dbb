"""`Scripted`: a runner that runs nothing and answers what a test has told it to."""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import TypeAlias

from planton_build.emulator.state import Function

Ran: TypeAlias = tuple[bytes, str, str | None]
Script: TypeAlias = Callable[[str, bytes], Ran]


class Scripted:
    """Answers invocations of functions by name: queued answers first, then the usual one, then `{}`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: defaultdict[str, list[Ran]] = defaultdict(list)
        self._scripts: dict[str, Script] = {}
        self.invoked: list[tuple[str, str, bytes]] = []

    def __call__(self, function: Function, version: str, event: bytes) -> Ran:
        """Return payload, log and error; the log has Lambda's own lines around the text given."""
        with self._lock:
            self.invoked.append((function.name, version, event))
            queued = self._next[function.name]
            ran = queued.pop(0) if queued else None
            script = self._scripts.get(function.name)
        if ran is None:
            ran = script(version, event) if script else (b"{}", "", None)
        payload, text, error = ran
        request = uuid.uuid4()
        lines = [f"START RequestId: {request} Version: {version}", *text.splitlines()]
        lines += [f"END RequestId: {request}", f"REPORT RequestId: {request}\tDuration: 1.00 ms"]
        return payload, "\n".join(lines) + "\n", error

    def answer(self, name: str, payload: bytes, *, log: str = "", error: str | None = None) -> None:
        """Answer the next invocation of a function; `error` is `Handled` or `Unhandled`."""
        with self._lock:
            self._next[name].append((payload, log, error))

    def always(self, name: str, script: Script) -> None:
        """Answer all invocations of a function: `script` gets version and event, and may tell them apart."""
        with self._lock:
            self._scripts[name] = script

    def clear(self) -> None:
        """Forget all answers and invocations."""
        with self._lock:
            self._next.clear()
            self._scripts.clear()
            self.invoked.clear()
