"""The only place that knows a terminal: colour, progress, tables, JSON, CI annotations, error texts.

Results go to stdout; progress, notes and errors to stderr. Nothing here imports rich until a long step runs
on a terminal, so that a build with nothing to do answers at once.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Protocol, TextIO

from planton_build.cli import github
from planton_build.errors import Finding, PlantonError
from planton_build.events import Event, Note, StepFinished

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_RESET = "\033[0m"
_STYLES = {"bold": "\033[1m", "dim": "\033[2m", "red": "\033[31m", "green": "\033[32m", "yellow": "\033[33m"}


def wants_colour(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Tell whether a stream gets colour: NO_COLOR wins, then FORCE_COLOR, then whether it is a terminal."""
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return stream.isatty() and environment.get("TERM") != "dumb"


def shown_path(path: Path) -> str:
    """Return a path as a person would type it here: relative when it lies below the working folder."""
    try:
        return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
    except (OSError, ValueError):
        return str(path)


def printable(text: str) -> str:
    """Return `text` with escapes for what a terminal would obey instead of show.

    Messages quote manifests, file names and tools. Line breaks and tabs stay.
    """
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


class Display(Protocol):
    """A live display; named here so that its module, which needs rich, is imported late."""

    def show(self, event: Event) -> None:
        """Draw an event."""

    def write(self, text: str) -> None:
        """Write whole lines above what is drawn."""

    def stop(self) -> None:
        """Remove the display."""


@dataclass(slots=True)
class Console:
    """Where a command's output goes. One per process."""

    as_json: bool = False
    quiet: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    _progress: Display | None = None
    _lock: Lock = field(default_factory=Lock)

    @property
    def live(self) -> bool:
        """Tell whether progress may be drawn: a person is looking and did not ask for silence."""
        return not self.quiet and not self.as_json and self.err.isatty() and self._term_can_draw()

    def _term_can_draw(self) -> bool:
        return self.environment.get("TERM") != "dumb" and not self.environment.get("CI")

    def styled(self, text: str, style: str, stream: TextIO | None = None) -> str:
        """Return `text` in a style when the stream takes colour."""
        if not wants_colour(stream or self.out, self.environment):
            return text
        return f"{_STYLES[style]}{text}{_RESET}"

    def print(self, text: str = "") -> None:
        """Write a line of the result to stdout; nothing under `--json` or `--quiet`."""
        if not self.as_json and not self.quiet:
            self.out.write(f"{text}\n")

    def result(self, text: str) -> None:
        """Write what was asked for to stdout, also when quiet."""
        self.out.write(text if text.endswith("\n") else f"{text}\n")

    def log(self, text: str) -> None:
        """Write a piece of a function's log to stderr; nothing under `--json`, whose object has it."""
        if not self.as_json:
            self.err.write(text)

    def json(self, value: object) -> None:
        """Write the one JSON object of `--json`, with escapes where stdout does not take all of Unicode."""
        escaped = (getattr(self.out, "encoding", None) or "utf-8").lower().replace("-", "") != "utf8"
        self.out.write(json.dumps(value, indent=2, ensure_ascii=escaped) + "\n")

    def listen(self, event: Event) -> None:
        """Show an event: a bar on a terminal, a line for a note, nothing when piped."""
        if isinstance(event, Note):
            self._note(event)
            return
        if not self.live:
            return
        with self._lock:
            if self._progress is None and not isinstance(event, StepFinished):
                from planton_build.cli.progress import Progress  # rich: only where a person is waiting

                self._progress = Progress(self.err)
            if self._progress is not None:
                self._progress.show(event)

    def _note(self, note: Note) -> None:
        if self.quiet and note.level == "info":
            return
        name = f"{note.function}: " if note.function else ""
        label = self.styled("warning", "yellow", self.err) if note.level == "warning" else "note"
        self._write(f"{label}: {printable(name + note.message)}\n")
        if note.level == "warning" and github.active(self.environment):
            finding = Finding("warning", f"{name}{note.message}")
            self._write(github.annotation("warning", finding, self.environment))

    def _write(self, text: str) -> None:
        """Write whole lines to stderr: above the live display where there is one."""
        self.out.flush()  # as in `error`
        with self._lock:
            if self._progress is not None:
                self._progress.write(text)
            else:
                self.err.write(text)

    def stop_progress(self) -> None:
        """Remove the live display; the terminal is as before."""
        with self._lock:
            if self._progress is not None:
                self._progress.stop()
                self._progress = None

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()
    ) -> None:
        """Write an aligned table to stdout. `right` numbers the columns that hold figures."""
        if self.as_json or self.quiet:
            return
        widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
        for number, row in enumerate((columns, *rows)):
            cells = [
                cell.rjust(width) if i in right else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            line = "  ".join(cells).rstrip()
            self.out.write((self.styled(line, "bold") if number == 0 else line) + "\n")

    def error(self, error: PlantonError) -> None:
        """Explain a failure: for people on stderr, for machines as `{"errors": […]}` on stdout."""
        self.stop_progress()
        self.out.flush()  # what was told before comes before, also where both streams are one pipe
        if self.as_json:
            self.json({"errors": [finding_json(finding) for finding in error.findings]})
        for finding in error.findings:
            if not self.as_json:
                self.err.write(self._finding_text(finding))
            if github.active(self.environment):
                self.err.write(github.annotation("error", finding, self.environment))

    def summary(self, markdown: str) -> None:
        """Add to the summary page of a CI job, where there is one. That it cannot be written ends nothing."""
        try:
            github.append_summary(self.environment, markdown)
        except OSError as error:
            self.listen(Note("", f"the job summary cannot be written: {error.strerror}", "warning"))

    def _finding_text(self, finding: Finding) -> str:
        where, message = "", finding.message
        if finding.file is not None:
            numbers = [str(n) for n in (finding.line, finding.column) if n is not None]
            # Many messages name file and line themselves, for those who see nothing else.
            message = message.removeprefix(":".join([finding.file.name, *numbers]) + ": ")
            where = printable(":".join([shown_path(finding.file), *numbers])) + ": "
        label = self.styled(f"error[{finding.code}]", "red", self.err)
        rule = f" ({finding.rule})" if finding.rule else ""
        text = f"{label}: {where}{printable(message)}{rule}\n"
        if finding.hint:
            text += f"  {self.styled('hint', 'green', self.err)}: {printable(finding.hint)}\n"
        return text


def finding_json(finding: Finding) -> dict[str, object]:
    """Return a finding in the form of the JSON contract."""
    return {
        "code": finding.code,
        "message": finding.message,
        "file": shown_path(finding.file) if finding.file else None,
        "line": finding.line,
        "column": finding.column,
        "hint": finding.hint,
    }
