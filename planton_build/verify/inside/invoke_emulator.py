"""Invoke a function once through the Runtime Interface Emulator of Lambda's image.

    python invoke_emulator.py REQUEST OUT

REQUEST is that of import_handler.py, with `event` (text) and `seconds`, what one invocation may take. The
function's log goes to stdout. `OUT/invocation.json` and `OUT/payload` are written.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import IO

ENTRYPOINT = "/lambda-entrypoint.sh"
PORT = 8080
PATH = "/2015-03-31/functions/function/invocations"
START_SECONDS, INIT_SECONDS = 60.0, 600.0
"""What the emulator may take to listen, and an emulated processor for the init phase."""
PAYLOAD_LIMIT = 8 << 20
"""Lambda takes answers of 6 MB."""
OWN = re.compile(r"^\d\d \w{3} \d{4} [\d:,]+ \[\w+\] \(rapid\)")
FRAME = re.compile(r"^(START|END|REPORT) RequestId: (\S+)")


class Log(threading.Thread):
    """Passes on what the function writes, without the emulator's own lines."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self.requests: list[str] = []

    def run(self) -> None:
        """Read to the end."""
        for raw in self._stream:
            # The runtime joins the lines of a traceback by carriage returns, and indents by no-break spaces.
            for line in raw.decode("utf-8", "replace").rstrip("\n").split("\r"):
                framed = FRAME.match(line)
                if framed:
                    self.requests.append(framed.group(2))
                elif not OWN.match(line) and "LAMBDA_WARNING" not in line:
                    sys.stdout.write(line.replace("\u00a0", " ") + "\n")
                    sys.stdout.flush()


def listens() -> bool:
    """Tell whether the emulator takes connections."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", PORT), 1.0):
        return True
    return False


def wait_for(emulator: subprocess.Popen[bytes]) -> bool:
    """Wait until the emulator listens; return whether it does."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and emulator.poll() is None:
        if listens():
            return True
        time.sleep(0.02)
    return False


def post(event: bytes, seconds: float) -> dict[str, object]:
    """Send the event; return status, payload and time."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=INIT_SECONDS + seconds)
    try:
        connection.request("POST", PATH, event, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return {
            "status": answer.status,
            "payload": answer.read(PAYLOAD_LIMIT),
            "seconds": time.perf_counter() - started,
        }
    finally:
        connection.close()


def started_by(emulator: int) -> dict[int, int]:
    """Return the processes that the emulator has started, each with its highest VmHWM in bytes."""
    parents, peaks = {}, {}
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        with contextlib.suppress(OSError), open("/proc/" + name + "/status", encoding="utf-8") as stream:
            fields = dict(line.split(":", 1) for line in stream if ":" in line)
            parents[int(name)] = int(fields["PPid"])
            peaks[int(name)] = int(fields.get("VmHWM", "0 kB").split()[0]) * 1024
    below = {emulator}
    for pid in sorted(parents):  # a child's number is higher than its parent's, in a container this young
        if parents[pid] in below:
            below.add(pid)
    return {pid: peaks[pid] for pid in below - {emulator}}


def end(emulator: subprocess.Popen[bytes]) -> None:
    """End the runtime, and then the emulator: the other way round the runtime would complain in the log."""
    for pid in [*started_by(emulator.pid), emulator.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    emulator.wait()


def invoke(request: dict[str, object], environment: dict[str, str]) -> dict[str, object]:
    """Start the emulator, invoke the function once, and end it."""
    if not os.path.exists(ENTRYPOINT):
        return {"failure": "no_emulator"}
    emulator = subprocess.Popen(
        [ENTRYPOINT, str(request["handler"])],
        env=environment,
        cwd="/var/task",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert emulator.stdout is not None
    log = Log(emulator.stdout)
    log.start()
    try:
        if not wait_for(emulator):
            return {"failure": "no_answer"}
        answer = post(str(request["event"]).encode(), float(str(request["seconds"])))
        answer["peak_memory"] = max(started_by(emulator.pid).values(), default=0)
    except (OSError, http.client.HTTPException):
        return {"failure": "no_answer"}
    finally:
        end(emulator)
        log.join(5.0)
    answer["requests"] = log.requests
    return answer


def main() -> None:
    """Invoke and write down what came of it."""
    request_path, out = sys.argv[1:]
    with open(request_path, encoding="utf-8") as stream:
        request = json.load(stream)
    inherited = {name: value for name, value in os.environ.items() if name not in request["without"]}
    answer = invoke(request, {**inherited, **request["environment"]})
    payload = answer.pop("payload", b"")
    assert isinstance(payload, bytes)
    with open(out + "/payload", "wb") as file:
        file.write(payload)
    with open(out + "/invocation.json", "w", encoding="utf-8") as stream:
        json.dump(answer, stream)
    if b"signal: killed" in payload:
        sys.exit(1)  # the engine knows whether it was for memory


if __name__ == "__main__":
    main()
