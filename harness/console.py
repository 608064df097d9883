"""Displays: how a run shows its progress, on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, Self, TextIO, TypeAlias

from harness import events
from harness.eventlog import event_json
from harness.events import Event
from harness.plain import one_line, printable

if TYPE_CHECKING:
    from rich.progress import ProgressColumn, Task, TaskID

DisplayKind: TypeAlias = Literal["auto", "rich", "plain", "json", "none"]
PLAIN_SECONDS = 5.0


class Display(Protocol):
    """Shows events while it is entered."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(self, *details: object) -> None:
        """Leave the terminal as it was."""
        ...

    def __call__(self, event: Event) -> None:
        """Show one event."""
        ...


def make_display(kind: DisplayKind, stream: TextIO | None = None) -> Display:
    """A display of a kind; `"auto"` is `"rich"` on a terminal and `"plain"` off it."""
    stream = stream or sys.stderr
    if kind == "auto":
        kind = "rich" if stream.isatty() else "plain"
    if kind == "rich":
        return RichDisplay(stream)
    if kind == "plain":
        return PlainDisplay(stream)
    return JsonDisplay(stream) if kind == "json" else NoDisplay()


@dataclass
class _Step:
    """A step in progress, with what is needed for its rate and the time left."""

    label: str
    total: int
    unit: str
    started: float
    done: int = 0

    def text(self, now: float) -> str:
        elapsed = max(now - self.started, 1e-9)
        text = f"{self.label}: {self.done:,} of {self.total:,} {self.unit}"
        if self.done:
            left = (self.total - self.done) * elapsed / self.done
            text += f", {self.done / elapsed:,.0f} a second, {duration(left)} left"
        return text


class PlainDisplay:
    """A line for each active task every few seconds, and one for whatever fails."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        self.steps: dict[str, _Step] = {}
        self.jobs = 0
        self.jobs_done = 0
        self.last = clock()

    def __enter__(self) -> Self:
        """Begin to show."""
        return self

    def __exit__(self, *details: object) -> None:
        """Nothing is left to be undone."""

    def __call__(self, event: Event) -> None:
        """Print a line if the event or the time asks for one."""
        line = headline(event)
        if line:
            self._print(line)
        self._follow(event)
        now = self.clock()
        if now - self.last >= PLAIN_SECONDS:
            self.last = now
            overall = f"{self.jobs_done} of {self.jobs} jobs"
            for task, step in self.steps.items():
                self._print(f"{overall} · {task} · {step.text(now)}")

    def _follow(self, event: Event) -> None:
        if isinstance(event, events.RunStarted):
            self.jobs = event.jobs
        elif isinstance(event, events.JobFinished | events.JobFailed):
            self.jobs_done += 1
            if isinstance(event, events.JobFailed):
                self.steps.pop(event.task, None)  # its process may have died within a step
        elif isinstance(event, events.StepStarted):
            self.steps[event.task] = _Step(event.step, event.total, event.unit, self.clock())
        elif isinstance(event, events.StepAdvanced):
            self.steps[event.task].done += event.amount
        elif isinstance(event, events.StepFinished):
            self.steps.pop(event.task, None)

    def _print(self, line: str) -> None:
        print(printable(line), file=self.stream, flush=True)


class JsonDisplay:
    """One JSON object a line for each event; progress at most every few seconds a task."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        self.waiting: dict[str, int] = {}
        self.last: dict[str, float] = {}

    def __enter__(self) -> Self:
        """Begin to show."""
        return self

    def __exit__(self, *details: object) -> None:
        """Nothing is left to be undone."""

    def __call__(self, event: Event) -> None:
        """Print the event, or add its progress up until it is due."""
        if isinstance(event, events.StepAdvanced):
            self.waiting[event.task] = self.waiting.get(event.task, 0) + event.amount
            if self.clock() - self.last.get(event.task, 0.0) >= PLAIN_SECONDS:
                self._flush(event.task)
            return
        if isinstance(event, events.StepFinished):
            self._flush(event.task)
        self._print(event)

    def _flush(self, task: str) -> None:
        amount = self.waiting.pop(task, 0)
        if amount:
            self.last[task] = self.clock()
            self._print(events.StepAdvanced(task, amount))

    def _print(self, event: Event) -> None:
        print(json.dumps(event_json(event)), file=self.stream, flush=True)


class NoDisplay:
    """Shows nothing."""

    def __enter__(self) -> Self:
        """Show nothing."""
        return self

    def __exit__(self, *details: object) -> None:
        """Nothing is left to be undone."""

    def __call__(self, event: Event) -> None:
        """Show nothing."""


class RichDisplay:
    """Nested bars: the run, and below it the step that each active task is at."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.table import Column

        name = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        self.progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=name),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            _rate_column(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(file=stream),
            expand=True,
            transient=True,
        )
        self.bars: dict[str, TaskID] = {}
        self.overall: TaskID | None = None

    def __enter__(self) -> Self:
        """Begin to draw."""
        self.progress.start()
        return self

    def __exit__(self, *details: object) -> None:
        """Take the bars away and show the cursor again."""
        self.progress.stop()

    def __call__(self, event: Event) -> None:
        """Move a bar, or print a line above the bars."""
        line = headline(event)
        if line and not isinstance(event, events.EpochFinished):
            self.progress.console.print(printable(line), markup=False, highlight=False)
        if isinstance(event, events.RunStarted) and event.jobs:
            self.overall = self.progress.add_task(
                one_line(event.suite), total=event.jobs, unit="jobs"
            )
        elif isinstance(event, events.JobFinished | events.JobFailed):
            if self.overall is not None:
                self.progress.advance(self.overall)
            if isinstance(event, events.JobFailed) and event.task in self.bars:
                self.progress.remove_task(self.bars.pop(event.task))
        elif isinstance(event, events.StepStarted):
            label = one_line(f"{event.task} · {event.step}")
            bar = self.progress.add_task(label, total=event.total, unit=event.unit)
            self.bars[event.task] = bar
        elif isinstance(event, events.StepAdvanced):
            self.progress.advance(self.bars[event.task], event.amount)
        elif isinstance(event, events.EpochFinished) and event.task in self.bars:
            self.progress.update(self.bars[event.task], description=one_line(headline(event)))
        elif isinstance(event, events.StepFinished) and event.task in self.bars:
            self.progress.remove_task(self.bars.pop(event.task))


def _rate_column() -> ProgressColumn:
    """A column with units a second; its class is made here because rich is slow to import."""
    from rich.progress import ProgressColumn
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f}/s" if task.speed else "", justify="right")

    return RateColumn()


def headline(event: Event) -> str:
    """The line that an event is worth of itself; most are worth none."""
    if isinstance(event, events.JobFailed):
        return f"failed: {event.job}: {event.message}"
    if isinstance(event, events.Message):
        return event.text
    if isinstance(event, events.Postponed):
        return f"{event.task}: another run is at it"
    if isinstance(event, events.RunStarted):
        todo = f"{event.jobs:,} jobs to do" if event.jobs else "nothing to compute"
        return f"{event.suite}: {todo}, {event.cells:,} cells"
    if isinstance(event, events.EpochFinished):
        loss = f"{event.train_bits_per_dim:.3f} bits/dim"
        return f"{event.task} · epoch {event.epoch}: {loss} in {duration(event.seconds)}"
    return ""


def duration(seconds: float) -> str:
    """A time span as h:mm:ss, or as seconds where it is short."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
