"""Whole processes, side by side: seconds, processor seconds and peak memory of each."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_MAXRSS_PER_MIB = 1 << 20 if sys.platform == "darwin" else 1 << 10
"""getrusage(2): bytes on macOS, KiB on Linux."""


@dataclass(frozen=True)
class Run:
    """One process with all its children: `cpu` is user and system time, `peak` the largest process in MiB."""

    seconds: float
    cpu: float
    peak: float


@dataclass(frozen=True)
class Contender:
    """A command that is measured. `before` makes the state it starts from and is not measured."""

    name: str
    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    before: Callable[[], None] = field(default=lambda: None)


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Run:
    """Run a command to its end; stop the program, with the command's output, when it fails."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        # wait4 below needs the process for itself, so it is not given to `with`, which would wait too.
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            text = output.read().decode(errors="replace")
            sys.exit(f"exit code {process.returncode} of {' '.join(command)}\n{text}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / _MAXRSS_PER_MIB)


def side_by_side(contenders: Sequence[Contender], rounds: int, *, warm_ups: int = 1) -> dict[str, list[Run]]:
    """Run the contenders in turn, A B A B, so that whatever else the machine does meets all of them.

    The first `warm_ups` rounds fill the caches of the operating system and do not count.
    """
    runs: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
    for number in range(warm_ups + rounds):
        for contender in contenders:
            contender.before()
            outcome = run(contender.command, contender.folder, contender.environment)
            if number >= warm_ups:
                runs[contender.name].append(outcome)
    return runs


@dataclass(frozen=True)
class Figures:
    """The runs of one contender in numbers: seconds (median, lowest, highest), CPU median, highest peak.

    `cpu` is None where it was not measured.
    """

    name: str
    median: float
    low: float
    high: float
    cpu: float | None
    peak: float

    @classmethod
    def of(cls, name: str, runs: Sequence[Run]) -> Figures:
        """Count them."""
        seconds = [one.seconds for one in runs]
        return cls(
            name,
            statistics.median(seconds),
            min(seconds),
            max(seconds),
            statistics.median(one.cpu for one in runs),
            max(one.peak for one in runs),
        )
