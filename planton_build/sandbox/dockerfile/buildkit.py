"""A build by BuildKit, through the docker command: its options, its output, its end."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from planton_build.errors import ContainerTimeout, PlantonError
from planton_build.interrupts import undone_on_interrupt
from planton_build.sandbox.dockerfile.builders import CommandLine
from planton_build.sandbox.dockerfile.context import copy_context
from planton_build.sandbox.dockerfile.failures import Failure
from planton_build.sandbox.dockerfile.ignore import NAME as IGNORE
from planton_build.sandbox.dockerfile.order import WHAT, Log, Order

_VERTEX = re.compile(r"#(\d+) (.*)")
_SAID = re.compile(r"\d+\.\d+ (.*)")
"""How a line of a program begins: with the seconds since it was started."""
_STEP = re.compile(r"\[(?:[^\]]* )?\d+/\d+\] (.*)")
_LINE = re.compile(r"^[^\s:]+:(\d+)$")
_SHOWN = 15
_LINE_MAX = 4096
_GRACE_SECONDS = 10


def build_with_buildkit(
    command: CommandLine, order: Order, text: str, tag: str, folder: Path, values: dict[str, str], log: Log
) -> None:
    """Build the Dockerfile `text` to an image `tag` on the engine; `folder` is empty, for temporary files.

    `values` are the build arguments.

    Raises:
        DockerfileFailed: a command failed, or the Dockerfile means nothing to BuildKit.
        ContainerTimeout: it took longer than it may.
    """
    context = folder / "context"
    context.mkdir()
    copy_context(order.context, context)
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(text, encoding="utf-8", newline="")
    # What is in the context is to be copied: the patterns have been applied.
    (folder / f"Dockerfile{IGNORE}").write_text("# applied already\n", encoding="utf-8")
    output = _Output(order, log)
    arguments = [*command.arguments(), *_options(order, tag, dockerfile, values), str(context)]
    code, expired = _run(arguments, command, order.seconds, output.take)
    if expired:
        raise ContainerTimeout(
            f"{WHAT} took longer than {order.seconds:.0f} s and was ended",
            hint="allow more with container-timeout in planton.toml (or PLANTON_CONTAINER_TIMEOUT)",
        )
    if code != 0:
        raise output.failure(code)


def _options(order: Order, tag: str, dockerfile: Path, values: dict[str, str]) -> Iterator[str]:
    yield from ("--progress", "plain", "--platform", order.platform, "--tag", tag, "--file", str(dockerfile))
    if order.choices.stage is not None:
        yield from ("--target", order.choices.stage)
    if order.fresh:
        yield "--no-cache"
    for name, value in sorted(values.items()):
        yield from ("--build-arg", f"{name}={value}")
    for name, path in sorted(order.secrets.items()):
        yield from ("--secret", f"id={name},src={path}")


def _run(
    arguments: list[str], command: CommandLine, seconds: float, take: Callable[[str], None]
) -> tuple[int, bool]:
    """Run the command to its end and pass on its lines; return its exit code, and whether time ran out."""
    expired = threading.Event()
    with subprocess.Popen(
        arguments,
        env=dict(command.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=os.name == "posix",  # Ctrl-C in the terminal is for us; we end it in our way
    ) as process:

        def expire() -> None:
            expired.set()
            _end(process)

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            with undone_on_interrupt(lambda: _end(process)):
                assert process.stdout is not None  # noqa: S101 - for the type checker
                for line in _lines(process.stdout):
                    take(line)
                return process.wait(), expired.is_set()
        finally:
            timer.cancel()
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command: on SIGTERM it tells BuildKit to stop, which then kills what runs."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _lines(stream: IO[bytes]) -> Iterator[str]:
    while line := stream.readline(_LINE_MAX):
        yield line.decode(errors="replace").rstrip()


class _Output:
    """What BuildKit writes with `--progress plain`: `#5 [2/3] RUN …`, then `#5 0.2 what the program said`."""

    def __init__(self, order: Order, log: Log) -> None:
        self._order = order
        self._log = log
        self._steps: dict[str, str] = {}
        self._said: dict[str, deque[str]] = {}
        self._failed: str | None = None
        self._line: int | None = None
        self._last: deque[str] = deque(maxlen=_SHOWN)

    def take(self, line: str) -> None:
        """Take one line."""
        self._last.append(line)
        found = _VERTEX.fullmatch(line)
        if found is None:
            if (place := _LINE.fullmatch(line)) is not None:
                self._line = int(place[1])
            return
        vertex, rest = found[1], found[2]
        if rest.startswith("ERROR"):
            self._failed = vertex
            self._said.setdefault(vertex, deque(maxlen=_SHOWN))
        elif (step := _STEP.fullmatch(rest)) is not None:
            self._steps[vertex] = step[1]
            self._log(step[1])
        elif (said := _SAID.fullmatch(rest)) is not None:
            self._said.setdefault(vertex, deque(maxlen=_SHOWN)).append(said[1])
            self._log(said[1])

    def failure(self, code: int) -> PlantonError:
        """Return the error for a build that ended with an exit code other than 0."""
        step = self._steps.get(self._failed or "", "")
        said = list(self._said.get(self._failed or "", ()))
        return Failure(step, said, list(self._last), self._line).error(
            self._order.dockerfile, f"exit code {code}"
        )
