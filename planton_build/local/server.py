"""Start, find and stop the embedded AWS (`child`): one process per state folder, shared by all commands.

The state folder holds `server.json` (where it is; readable by its owner only), `server.log` and a lock that
makes starting exclusive. None of it is trusted: a server counts as ours when it proves to know the token of
the state file. A killed server, a killed start and a port that now belongs to another program therefore all
look the same, like no server, and the next command starts one.
"""

from __future__ import annotations

import contextlib
import hmac
import http.client
import importlib.util
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from planton_build.errors import LocalServerFailed, LocalUnavailable
from planton_build.files import write_atomic
from planton_build.local.child import IDENTITY_PATH, LOG_FILE, STATE_FILE, proof, remove_copies
from planton_build.local.registry_keeper import remove_folders

START_SECONDS = 60.0
"""How long a start may take. It is below one second on an idle machine."""
STOP_SECONDS = 5.0
"""How long a server may take to end before it is killed."""
PROBE_SECONDS = 5.0
DEFAULT_REGION = "us-east-1"
DEFAULT_ACCOUNT = "123456789012"
"""moto's account for requests that name none (moto.core.DEFAULT_ACCOUNT_ID)."""
SECRET_KEY = "local"  # noqa: S105  (moto verifies no signature)
LOCK_FILE = "server.lock"

_POLL_SECONDS = 0.02
_LOG_LINES = 20
_STATE_BYTES = 4096
_NEEDED = ("moto", "flask", "flask_cors", "werkzeug")
_PASSED_ON = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP",
    "SYSTEMROOT", "USERPROFILE", "APPDATA", "LOCALAPPDATA",
    "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH",
)  # fmt: skip
"""The variables a Python process needs to run. Everything else, credentials above all, stays with the
caller."""


@dataclass(frozen=True, slots=True)
class LocalAws:
    """A running embedded AWS. `region` is the one to use where nothing names another; it serves all of
    them."""

    endpoint: str
    region: str
    pid: int

    def credentials(self, account: str = DEFAULT_ACCOUNT) -> tuple[str, str]:
        """Return the access key id and secret key with which requests act in `account` (twelve digits)."""
        return account, SECRET_KEY


@dataclass(frozen=True, slots=True)
class _Found:
    endpoint: str
    pid: int
    token: str


def status(state: Path) -> LocalAws | None:
    """Return the embedded AWS of the state folder, or None when none runs."""
    found = _read_state(state)
    if found is None or not _proves_itself(found):
        return None
    return LocalAws(found.endpoint, DEFAULT_REGION, found.pid)


def ensure_server(state: Path, *, start: bool = True) -> LocalAws:
    """Return the embedded AWS of the state folder, starting it when there is none and `start` allows it.

    Raises `LocalUnavailable` without the `[local]` extra, and `LocalServerFailed` when the server does not
    come up, or none runs and `start` is false.
    """
    if running := status(state):
        return running
    if not start:
        raise LocalServerFailed(
            "no local AWS is running", hint="Run a command with --local to start it; what it held is gone."
        )
    _check_installed()
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _lock(state):
            return status(state) or _start(state)
    except OSError as error:
        raise LocalServerFailed(
            f"the state folder {state} cannot be used: {error.strerror or error}"
        ) from error


def stop_server(state: Path) -> bool:
    """End the embedded AWS of the state folder and remove its files. Returns whether one was running."""
    if not state.is_dir():
        return False
    with _lock(state):
        found = _read_state(state)
        running = found is not None and _proves_itself(found)
        if found is not None and running:
            _terminate(found)
        for name in (STATE_FILE, LOG_FILE):
            (state / name).unlink(missing_ok=True)
        remove_folders(state)  # the registry's, should the server have been killed
        remove_copies(state)
    # Removing a lock file lets two starts that wait for it right now both go on. The server whose state file
    # is replaced then ends by itself, so at worst one command has to be repeated.
    (state / LOCK_FILE).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # other things of the local AWS may be in the folder
        state.rmdir()
    return running


def _check_installed() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise LocalUnavailable(
            f"the local AWS is not installed: Python module {missing[0]!r} is missing",
            hint="Install the extra: pip install 'planton-build[local]'",
        )


@contextlib.contextmanager
def _lock(state: Path) -> Iterator[None]:
    """Hold the right to start or stop the server of `state`."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(state / LOCK_FILE, timeout=START_SECONDS + STOP_SECONDS):
            yield
    except Timeout as error:
        raise LocalServerFailed(
            f"another command has been starting the local AWS for {START_SECONDS:.0f} s",
            hint="End that command, then run this one again.",
        ) from error


def _read_state(state: Path) -> _Found | None:
    """Return what the state file says, or None when it is absent or not one of ours."""
    try:
        with (state / STATE_FILE).open("rb") as stream:
            content = json.loads(stream.read(_STATE_BYTES))
        endpoint, pid, token = content["endpoint"], content["pid"], content["token"]
        if isinstance(pid, int) and pid > 1 and isinstance(token, str) and token:
            address = urlsplit(endpoint)
            if address.scheme == "http" and address.hostname == "127.0.0.1" and address.port:
                return _Found(endpoint, pid, token)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def _proves_itself(found: _Found) -> bool:
    """Tell whether the program at the endpoint knows the token and has the process id of the state file."""
    nonce = secrets.token_hex(16)
    address = urlsplit(found.endpoint)
    connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", f"{IDENTITY_PATH}?nonce={nonce}")
        answer = connection.getresponse().read(256)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return hmac.compare_digest(answer, proof(found.token, nonce, found.pid).encode())


def _start(state: Path) -> LocalAws:
    """Start a server and wait until it proves itself. The caller holds the lock."""
    token = secrets.token_hex(32)
    write_atomic(state / STATE_FILE, json.dumps({"token": token}).encode(), mode=0o600)
    process = _spawn(state, token)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = _read_state(state)
        if found is not None and found.pid == process.pid and _proves_itself(found):
            # It outlives this process on purpose: tell Popen so, or it warns about a child left running.
            process.returncode = 0
            return LocalAws(found.endpoint, DEFAULT_REGION, found.pid)
        time.sleep(_POLL_SECONDS)
    exited = process.poll()
    if exited is None:
        process.kill()
        process.wait()
    (state / STATE_FILE).unlink(missing_ok=True)
    how = (
        f"ended at once (exit code {exited})"
        if exited is not None
        else f"did not answer in {START_SECONDS:.0f} s"
    )
    log = _log_end(state)
    raise LocalServerFailed(
        f"the local AWS {how}" + (f"; its log ends with:\n{log}" if log else ""),
        hint=f"The log is {state / LOG_FILE}. A damaged installation is repaired by: "
        "pip install --force-reinstall 'planton-build[local]'",
    )


def _spawn(state: Path, token: str) -> subprocess.Popen[bytes]:
    """Start the child, cut loose from this process's terminal, group, folder and credentials.

    The token goes through a pipe: other users may see arguments, and the state file may by then be another
    start's.
    """
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # Without this, moto lets every web page read what the server holds (CORS).
    environment |= {"MOTO_DISABLE_GLOBAL_CORS": "true", "PYTHONUNBUFFERED": "1"}
    # -P, and a folder of nobody's: modules of the folder that a command runs in are not imported.
    command = [sys.executable, "-P", "-m", "planton_build.local.child", str(state.resolve())]
    log_file = os.open(state / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        if sys.platform == "win32":
            flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log_file, stderr=log_file, env=environment,
                cwd=state.resolve().anchor, creationflags=flags,
            )  # fmt: skip
        else:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log_file, stderr=log_file, env=environment,
                cwd="/", start_new_session=True,
            )  # fmt: skip
    finally:
        os.close(log_file)
    if process.stdin is not None:
        with (
            contextlib.suppress(BrokenPipeError),
            process.stdin as pipe,
        ):  # it ended at once: the log says why
            pipe.write(token.encode() + b"\n")
    return process


def _log_end(state: Path) -> str:
    try:
        lines = (state / LOG_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-_LOG_LINES:])


def _terminate(found: _Found) -> None:
    """End the process of `found`, which has just proved itself, and wait until it is gone."""
    signals = [signal.SIGTERM] if sys.platform == "win32" else [signal.SIGTERM, signal.SIGKILL]
    for number in signals:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(found.pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if _is_gone(found):
                return
            time.sleep(_POLL_SECONDS)
    raise LocalServerFailed(f"the local AWS (process {found.pid}) does not end")


def _is_gone(found: _Found) -> bool:
    """Tell whether nobody listens on the server's port any more: the kernel closes it when the process
    ends."""
    if sys.platform != "win32":
        with contextlib.suppress(ChildProcessError):
            os.waitpid(found.pid, os.WNOHANG)  # when this very process started it, it has to be reaped
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(found.endpoint).port or 0)) != 0
