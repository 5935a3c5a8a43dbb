"""The live display of long work, drawn by rich: one line per function and step that is under way."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console as RichConsole
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from planton_build.events import Event, StepAdvanced, StepFinished, StepOutput, StepStarted

_OWN = "[planton-build] "
"""What our own programs in containers put before the steps they tell."""
_LINE = 48
"""Characters of a program's last line that are shown."""


class Progress:
    """Bars for steps that are under way; a finished step's bar goes away."""

    def __init__(self, stream: TextIO) -> None:
        self._rich = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.fields[function]}", style="bold"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[amount]}", justify="right"),
            TimeElapsedColumn(),
            console=RichConsole(file=stream, stderr=True),
            transient=True,
        )
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._units: dict[TaskID, str] = {}
        self._rich.start()

    def show(self, event: Event) -> None:
        """Draw an event."""
        if isinstance(event, StepStarted):
            task = self._rich.add_task(event.step, total=event.total, function=event.function, amount="")
            self._tasks[event.function, event.step] = task
            self._units[task] = event.unit
        elif isinstance(event, StepAdvanced):
            if (known := self._tasks.get((event.function, event.step))) is not None:
                self._rich.advance(known, event.amount)
                self._rich.update(known, amount=self._amount(known))
        elif isinstance(event, StepOutput):
            self._show_line(event)
        elif (
            isinstance(event, StepFinished)
            and (done := self._tasks.pop((event.function, event.step), None)) is not None
        ):
            self._rich.remove_task(done)

    def _show_line(self, event: StepOutput) -> None:
        """Show the last line of a program beside its step, which begins with its first line."""
        same = (key for key in self._tasks if key[1] == event.step)
        key = next(same, (event.function, event.step))
        if key not in self._tasks:
            self._tasks[key] = self._rich.add_task(event.step, total=None, function=event.function, amount="")
            self._units[self._tasks[key]] = "lines"
        line = "".join(letter if letter.isprintable() else " " for letter in event.line.removeprefix(_OWN))
        self._rich.update(self._tasks[key], amount=line[-_LINE:])

    def _amount(self, task: TaskID) -> str:
        completed = self._rich.tasks[self._rich.task_ids.index(task)].completed
        if self._units[task] == "bytes":
            return f"{completed / 1e6:.1f} MB"
        return f"{completed:.0f} {self._units[task]}"

    def write(self, text: str) -> None:
        """Write whole lines above the bars, as they are: styles and widths are the writer's business."""
        # rich's own stream takes the bars away, writes, and draws them again below.
        self._rich.console.print(Text.from_ansi(text.rstrip("\n")), soft_wrap=True)

    def stop(self) -> None:
        """Remove the display."""
        self._rich.stop()
