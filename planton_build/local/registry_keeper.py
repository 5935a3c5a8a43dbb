"""The image registry of the local AWS: Debian's `docker-registry`, kept by a process of ours.

    python -m planton_build.local.registry_keeper PROGRAM FOLDER

The keeper starts PROGRAM on a loopback port that the kernel chooses, with its files in FOLDER, and prints
where it listens. It ends with the registry. When its standard input ends, because the local AWS that holds
the other end has ended in whatever way, it ends the registry and removes the folder. So nobody has to find
the registry by a number that another process may have by now: `Keeper`, in the local AWS, is its parent.

What ECR has and this registry has not: logins, immutable tags, and a refusal of names in other accounts.
Images are named by their digests, so two accounts with a repository of one name do not get in each other's
way.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path

PROGRAMS = ("docker-registry", "registry")
"""What Debian's package, and what everybody else calls the program."""
FOLDER = "registry-"
"""Beginning of the name of its folder below the state folder; the process id of the local AWS follows."""
START_SECONDS = 30.0
"""How long the registry may take to listen. It takes less than a tenth of a second on an idle machine."""

_END_SECONDS = 5.0
_LISTENS = re.compile(r"listening on 127\.0\.0\.1:(\d+)")
_LOG_LINES = 10
_LINE = 2000


class RegistryMissing(Exception):
    """None of `PROGRAMS` is on the PATH."""


class RegistryFailed(Exception):
    """The registry does not start; what it said is the message."""


class Keeper:
    """The registry of one local AWS, started when it is first asked for, and again when it has died."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._folder = state / f"{FOLDER}{os.getpid()}"
        self._lock = threading.RLock()  # `close` may be interrupted by a signal that closes
        self._process: subprocess.Popen[str] | None = None
        self._address = ""

    def address(self) -> str:
        """Return where the registry answers. Raises RegistryMissing or RegistryFailed."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            return self._address

    def serving(self) -> str | None:
        """Return where the registry answers, None while none runs."""
        with self._lock:
            running = self._process is not None and self._process.poll() is None
            return self._address if running else None

    def close(self) -> None:
        """End the registry, and remove what it holds."""
        with self._lock:
            if self._process is not None:
                self._end(self._process)
                self._process = None
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
        if program is None:
            raise RegistryMissing
        if self._process is None:
            remove_folders(self._state)  # of a local AWS that was killed together with its keeper
        else:
            self._end(self._process)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, program, str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/" if os.name == "posix" else None,
        )
        self._process = process
        assert process.stdout is not None  # noqa: S101 - for the type checker
        said = process.stdout.readline(_LINE)
        if not _LISTENS.fullmatch(said.strip()):
            rest = process.stdout.read()
            self._end(process)
            raise RegistryFailed(f"{said}{rest}".strip() or "it ended without a word")
        self._address = f"http://{said.split()[-1]}"

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        """End a keeper by ending its input, and wait for it."""
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def remove_folders(state: Path) -> None:
    """Remove what registries of this state folder have left: the local AWS that knew of it is gone."""
    for folder in state.glob(f"{FOLDER}*"):
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str]) -> None:
    """Keep a registry until it or the standard input ends."""
    program, folder = arguments[0], Path(arguments[1])
    # Its own end would come as no surprise to the registry, which would go on without anybody.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    configuration = folder / "config.yml"
    configuration.write_text(_configuration(folder), encoding="utf-8")
    registry = subprocess.Popen(
        [program, "serve", str(configuration)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},  # version 3 would send traces elsewhere
    )
    abandoned = threading.Event()
    threading.Thread(target=_end_with_input, args=(registry, abandoned), daemon=True).start()
    late = threading.Timer(START_SECONDS, registry.kill)
    late.daemon = True
    late.start()
    assert registry.stdout is not None  # noqa: S101 - for the type checker
    said = _announced(registry.stdout, late)
    code = registry.wait()
    if said is not None:
        _say(said or f"it ended with exit code {code}")
    if abandoned.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    # The thread that reads the standard input would keep an ordinary exit waiting.
    os._exit(0)


def _announced(log: Iterable[str], late: threading.Timer) -> str | None:
    """Read the registry's log to its end, and print where it listens.

    Return the end of the log when it never did. The log is read on all the same, because a pipe that nobody
    reads would stop the registry; that one breaks ends it, should this process be killed.
    """
    last: deque[str] | None = deque(maxlen=_LOG_LINES)
    for line in log:
        if last is None:
            continue
        last.append(line[:_LINE].rstrip())
        if found := _LISTENS.search(line):
            late.cancel()
            _say(found[0])
            last = None
    return None if last is None else "\n".join(last)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def _end_with_input(registry: subprocess.Popen[str], abandoned: threading.Event) -> None:
    sys.stdin.buffer.read()
    abandoned.set()
    registry.kill()


def _configuration(folder: Path) -> str:
    """Return the registry's configuration; JSON is YAML."""
    return json.dumps(
        {
            "version": 0.1,
            "log": {"accesslog": {"disabled": True}, "level": "info", "formatter": "text"},
            "storage": {
                "filesystem": {"rootdirectory": str(folder / "data")},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": {"addr": "127.0.0.1:0", "relativeurls": True, "secret": secrets.token_hex(32)},
        }
    )


if __name__ == "__main__":
    main(sys.argv[1:])
