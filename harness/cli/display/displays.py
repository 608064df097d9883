"""Displays: how a run shows its progress, on stderr."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol, Self, TextIO, TypeAlias

from harness import events
from harness.cli.display.progress import Progress, Step, duration
from harness.events import Event
from harness.run.event_log import event_json
from harness.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType


DisplayKind: TypeAlias = Literal["auto", "rich", "plain", "json", "none"]
PLAIN_SECONDS = 5.0
DRAWN_PER_SECOND = 2


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
        kind = "rich" if stream.isatty() and not _is_dumb() else "plain"
    if kind == "rich":
        return RichDisplay(stream)
    if kind == "plain":
        return PlainDisplay(stream)
    return JsonDisplay(stream) if kind == "json" else NoDisplay()


def _is_dumb() -> bool:
    """Whether the terminal cannot move its cursor."""
    return os.environ.get("TERM", "").lower() in ("dumb", "unknown")


class PlainDisplay:
    """A line for each active task every few seconds, and one for whatever fails."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        self.progress = Progress(clock)
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
        self.progress.follow(event)
        now = self.clock()
        if now - self.last >= PLAIN_SECONDS:
            self.last = now
            for step in self.progress.steps.values():
                self._print(f"{self._overall()} · {step.task} · {_step_text(step, now)}")

    def _overall(self) -> str:
        progress = self.progress
        text = f"{progress.jobs_done} of {progress.jobs} jobs"
        if progress.cells_known:
            text += f", {progress.cells_known} of {progress.cells} cells"
        return text

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
    """One view of the run: how far it is, the step each task is at, the AUROCs known so far.

    Drawn twice a second by a thread of its own, so that neither many events nor none matter.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.live import Live

        self.clock = clock
        self.lock = threading.Lock()
        self.progress = Progress(clock)
        self.console = Console(file=stream)
        self.drawn: tuple[int, list[int]] = (0, [])
        self.live = Live(
            console=self.console,
            get_renderable=self._draw,
            refresh_per_second=DRAWN_PER_SECOND,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # a pipe gets what is written, and at once
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self.live.start()
        return self

    def __exit__(self, *details: object) -> None:
        """Take the view away and show the cursor again."""
        self.live.stop()

    def __call__(self, event: Event) -> None:
        """Note the event, and print a line above the view if it is worth one."""
        with self.lock:
            self.progress.follow(event)
        line = headline(event)
        if line and not isinstance(event, events.EpochFinished):
            self.console.print(printable(line), markup=False, highlight=False)

    def _draw(self) -> RenderableType:
        """The view; where it cannot be drawn, the run goes on without."""
        from rich.console import Group
        from rich.text import Text

        from harness.cli.display.live import view

        width, height = self.console.size
        try:
            with self.lock:
                lines = view(self.progress, width, height - 1, self.clock())
        except Exception:
            return Group()
        lines.append(Text())  # for the cursor: the ^C of a terminal would break a full line
        self._mend_after_resize(width)
        self.drawn = (width, [line.cell_len for line in lines])
        return Group(*lines)

    def _mend_after_resize(self, width: int) -> None:
        """Tell rich how many lines the terminal has made of what was drawn when it was wider."""
        before, lengths = self.drawn
        if lengths and 0 < width < before:
            rows = sum(max(1, -(-length // width)) for length in lengths)
            self.live._live_render._shape = (width, rows)


class Guarded:
    """Shows events until showing one fails; then a run goes on without its display.

    Arguments:
        show: The display, which whoever made it leaves.
        log: Told what went wrong.
    """

    def __init__(self, show: Callable[[Event], None], log: Callable[[str], None]) -> None:
        self.show: Callable[[Event], None] | None = show
        self.log = log

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if self.show is None:
            return
        try:
            self.show(event)
        except Exception:
            self.show = None
            self.log(f"the display failed and is off:\n{traceback.format_exc()}")


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


def _step_text(step: Step, now: float) -> str:
    text = f"{step.label}: {step.done:,} of {step.total:,} {step.unit}"
    left = step.left(now)
    if left is not None:
        text += f", {step.rate(now):,.0f} a second, {duration(left)} left"
    return text
