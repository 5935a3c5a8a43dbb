from __future__ import annotations

import pytest

from planton_build.sandbox import emulator_log
from planton_build.sandbox.emulator_log import EmulatorLog

OWN = "25 Nov 2026 14:09:34,151 [INFO] (rapid) "


def test_the_emulators_lines_are_understood_and_not_passed_on() -> None:
    heard: list[str] = []
    log = EmulatorLog(heard.append)
    for line in (
        f"{OWN}INIT REPORT(durationMs: 54.039000)",
        "START RequestId: 90d7 Version: $LATEST",
        "hello",
        "[ERROR] KeyError: 'gone'\rTraceback:\r\u00a0 File",
        "END RequestId: 90d7",
        "REPORT RequestId: 90d7\tInit Duration: 0.03 ms",
    ):
        log._take(line)
    assert log.text == "".join(heard) == "hello\n[ERROR] KeyError: 'gone'\nTraceback:\n  File\n"
    assert (log.requests, log.init_ms) == (["90d7"], 54.039)


def test_what_is_kept_is_bounded_and_what_is_heard_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator_log, "MAX_LOG", 10)
    heard: list[str] = []
    log = EmulatorLog(heard.append)
    for _ in range(4):
        log._take("12345")
    assert log.text == "12345\n12345\n[the log goes on and is not kept]\n"
    assert heard == ["12345\n"] * 4
