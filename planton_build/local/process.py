"""The function's process: started in a group of its own, its output read, its end and its memory noticed."""

from __future__ import annotations

import codecs
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Self

from planton_build.local.runtime_api import Exited, Happening

MAX_LOG = 4 << 20
"""Bytes of log that are kept; a listener gets all of it."""
_END_SECONDS = 5.0


class FunctionProcess:
    """A running command whose end is put into `happenings`. Leaving the context kills its whole group."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        happenings: SimpleQueue[Happening],
        on_log: Callable[[str], None],
    ) -> None:
        self._happenings = happenings
        self._on_log = on_log
        self._log: list[str] = []
        self._logged = 0
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=sys.platform != "win32",
        )
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._waiter = threading.Thread(target=self._wait, daemon=True)

    @property
    def log(self) -> str:
        """Return what the process has written so far, at most `MAX_LOG` of it."""
        return "".join(self._log)

    def __enter__(self) -> Self:
        """Start."""
        self._reader.start()
        self._waiter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.kill()

    def kill(self) -> None:
        """End the process and everything it started; wait until its output is read to the end."""
        self._kill_group()
        self._waiter.join(_END_SECONDS)
        # Once more, for what the process started while it was being killed.
        self._kill_group()
        self._reader.join(_END_SECONDS)

    def _kill_group(self) -> None:
        if sys.platform == "win32":
            self._process.kill()
            return
        # EPERM is what macOS says of a group that holds only zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _read(self, stream: IO[bytes]) -> None:
        # awslambdaric separates the lines of a stack trace by "\r", which CloudWatch shows as line ends.
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        with stream:
            while piece := os.read(stream.fileno(), 1 << 16):
                self._keep(decode(piece).replace("\r\n", "\n").replace("\r", "\n"))
            self._keep(decode(b"", final=True))

    def _keep(self, text: str) -> None:
        if not text:
            return
        self._on_log(text)
        if self._logged < MAX_LOG:
            self._log.append(text[: MAX_LOG - self._logged])
            self._logged += len(text)
            if self._logged >= MAX_LOG:
                self._log.append("\n[the log goes on and is not kept]\n")

    def _wait(self) -> None:
        if sys.platform == "win32":
            self._happenings.put(Exited(self._process.wait(), None))
            return
        # Popen.wait() would forget how much memory the process used.
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, KiB on Linux
        self._happenings.put(Exited(self._process.returncode, usage.ru_maxrss * unit))
