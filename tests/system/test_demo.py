"""The demo, run as `tox -e demo` runs it: whole, interrupted, and with what it says."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from planton_build.local.server import status

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups"),
]

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"
EXAMPLE = DEMO.parent / "price-tag"
INTERRUPTIONS = [] if sys.platform == "win32" else [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def demo(temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the demo in a process group of its own, as a terminal does, with an empty folder to fill."""
    example = contents(EXAMPLE)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PLANTON_", "GITHUB_"))}
    own |= {"TMPDIR": str(temporary), "PLANTON_MAX_SIZE": "1 kB", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, str(DEMO)],
        env=own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
        preexec_fn=heed_signals,
    )
    with process:
        yield process
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # when a test failed half-way
    assert contents(EXAMPLE) == example
    assert list(temporary.iterdir()) == []


def heed_signals() -> None:
    """Undo what shells and `nohup` do to processes in the background, where the tests may run."""
    for number in INTERRUPTIONS:
        signal.signal(number, signal.SIG_DFL)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_it_builds_deploys_and_invokes_and_leaves_nothing_behind(demo: subprocess.Popen[str]) -> None:
    said, _ = demo.communicate(timeout=300)
    assert demo.returncode == 0, said
    in_order = [
        "$ planton-build --local",
        "built",
        "  +  codeSourceType: CODE_SOURCE_TYPE_S3",
        "$ planton-deploy --local",
        "1 deployed, 0 unchanged",
        "$ planton-build --local",
        "cached",
        "$ planton-deploy --local",
        "0 deployed, 1 unchanged",
        "$ planton-deploy invoke price-tag --local",
        "formatting for de_DE",
        'The deployed function answers: {"price": "1.299,90\xa0€", "date": "23. November 2026"}',
        "$ planton-deploy local stop",
        "stopped",
    ]
    position = 0
    for text in in_order:
        assert text in said[position:], f"{text!r} is not said in its place:\n{said}"
        position = said.index(text, position) + len(text)
    assert "\033" not in said


@pytest.mark.parametrize("number", INTERRUPTIONS, ids=lambda number: number.name)
def test_an_interruption_stops_the_local_aws_and_leaves_nothing_behind(
    number: signal.Signals, demo: subprocess.Popen[str], temporary: Path
) -> None:
    running = None
    while running is None and demo.poll() is None:
        running = next(filter(None, map(status, temporary.glob("planton-demo-*/state"))), None)
        time.sleep(0.02)
    assert running is not None, demo.communicate()[0]
    if number == signal.SIGINT:
        os.killpg(demo.pid, number)  # Ctrl-C reaches the whole group, a kill only one process
    else:
        demo.send_signal(number)
    said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, said
    assert "Traceback" not in said
    assert said.endswith("stopped\n"), said
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", urlsplit(running.endpoint).port)) != 0
