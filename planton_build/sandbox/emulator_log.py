"""The output of a container in which Lambda's emulator runs a function: the function's log, apart from it."""

from __future__ import annotations

import codecs
import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

from planton_build.sandbox.engine import Engine, engine_errors

MAX_LOG = 4 << 20
"""Characters of log that are kept; a listener gets all of it."""

_END_SECONDS = 5.0
_LINE = 1 << 16
_SHOWN = 300
_OWN = re.compile(r"^\d\d \w{3} \d{4} [\d:,]+ \[\w+\] \(rapi[dc]\)")
_FRAME = re.compile(r"^(START|END|REPORT) RequestId: (\S+)")
_ABANDONED = "LAMBDA_RUNTIME Failed to get next invocation"
"""What Python's runtime client says, with a traceback, when the emulator ends before it."""
_INIT = re.compile(r"INIT REPORT\(durationMs: ([\d.]+)\)")


class EmulatorLog:
    """What the function writes, without the emulator's own lines, of which some are understood."""

    def __init__(self, listener: Callable[[str], None]) -> None:
        self._listener = listener
        self._kept: list[str] = []
        self._size = 0
        self._last = ""
        self._reader: threading.Thread | None = None
        self.requests: list[str] = []
        self.init_ms = 0.0

    @property
    def text(self) -> str:
        """Return what was written, at most `MAX_LOG` of it."""
        return "".join(self._kept)

    def last_words(self) -> str:
        """Return the last line of anybody's."""
        return self._last

    @contextlib.contextmanager
    def of(self, engine: Engine, container: str) -> Iterator[None]:
        """Read a container's output from its start to its end, in a thread of its own."""
        with engine_errors("reading a container's output"):
            socket = engine.api.attach_socket(container, {"stdout": 1, "stderr": 1, "stream": 1})
        response = getattr(socket, "_response", None)  # docker-py keeps the answer there, and never closes it
        self._reader = threading.Thread(target=self._read, args=(socket,), daemon=True)
        self._reader.start()
        try:
            yield
        finally:
            if response is not None:
                response.close()
            socket.close()

    def read_to_end(self) -> None:
        """Wait for the end of the output of a container that has ended."""
        if self._reader is not None:
            self._reader.join(_END_SECONDS)

    def _read(self, socket: Any) -> None:
        from docker.utils.socket import frames_iter

        decoders = {number: codecs.getincrementaldecoder("utf-8")("replace") for number in (1, 2)}
        begun = dict.fromkeys(decoders, "")
        abandoned: set[int] = set()
        with contextlib.suppress(OSError, ValueError):  # the connection is closed when nobody waits any more
            for number, piece in frames_iter(socket, tty=False):
                text = begun[number] + decoders[number].decode(piece)
                *lines, begun[number] = text.split("\n")
                for line in lines:
                    if _ABANDONED in line:
                        abandoned.add(number)
                    elif number not in abandoned:
                        self._take(line)
                if len(begun[number]) > _LINE:
                    self._take(begun[number])
                    begun[number] = ""
        for number, rest in begun.items():
            if rest and number not in abandoned:
                self._take(rest)

    def _take(self, line: str) -> None:
        self._last = line.strip()[:_SHOWN] or self._last
        if framed := _FRAME.match(line):
            if framed[1] == "START":
                self.requests.append(framed[2])
            return
        if _OWN.match(line):
            if found := _INIT.search(line):
                self.init_ms = float(found[1])
            return
        # The runtime joins the lines of a traceback by carriage returns, and indents by no-break spaces.
        text = line.rstrip("\r").replace("\r", "\n").replace("\u00a0", " ") + "\n"
        self._listener(text)
        if self._size < MAX_LOG:
            self._kept.append(text)
            self._size += len(text)
            if self._size >= MAX_LOG:
                self._kept.append("[the log goes on and is not kept]\n")
