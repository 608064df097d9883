"""Displays, which show the progress of a run on stderr."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Literal, TextIO, TypeAlias

from harness import events
from harness.cli.display.base import Display
from harness.cli.display.progress import Progress, Step, duration, headline
from harness.events import Event
from harness.run.event_log import event_json
from harness.text import printable

DisplayKind: TypeAlias = Literal["auto", "rich", "plain", "json", "none"]
Shown: TypeAlias = DisplayKind | Callable[[Event], None]
"""A kind of display, or a function that is called with each event."""
PLAIN_SECONDS = 5.0
"""Minimum time between two progress lines, in seconds."""


def make_display(kind: Shown, stream: TextIO | None = None) -> Display:
    """Make a display; `"auto"` means `"rich"` on a terminal and `"plain"` elsewhere."""
    stream = stream or sys.stderr
    if callable(kind):
        return FunctionDisplay(kind)
    if kind == "auto":
        kind = "rich" if stream.isatty() and not _is_dumb() else "plain"
    if kind == "rich":
        from harness.cli.display.live import RichDisplay

        return RichDisplay(stream)
    if kind == "plain":
        return PlainDisplay(stream)
    return JsonDisplay(stream) if kind == "json" else NoDisplay()


def _is_dumb() -> bool:
    """Return whether the terminal cannot move the cursor."""
    return os.environ.get("TERM", "").lower() in ("dumb", "unknown")


class PlainDisplay(Display):
    """Prints a line for each active task every few seconds, and a line for each failure."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        self.progress = Progress(clock)
        self.last = clock()

    def __call__(self, event: Event) -> None:
        """Print a line for an important event, or if the last progress line is old enough."""
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


class JsonDisplay(Display):
    """Prints events as JSON lines; progress within a task at most every few seconds."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        self.waiting: dict[str, int] = {}
        self.last: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Print the event; add up progress until the next progress line is due."""
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


class NoDisplay(Display):
    """Shows nothing."""

    def __call__(self, event: Event) -> None:
        """Show nothing."""


class FunctionDisplay(Display):
    """Calls a function with each event."""

    def __init__(self, function: Callable[[Event], None]) -> None:
        self.function = function

    def __call__(self, event: Event) -> None:
        """Call the function."""
        self.function(event)


class Guarded:
    """Shows events until the display fails; then the run continues without a display.

    Arguments:
        show: The display; the caller remains responsible for leaving the display.
        log: Receives the traceback of the failure.
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


def _step_text(step: Step, now: float) -> str:
    text = f"{step.label}: {step.done:,} of {step.total:,} {step.unit}"
    left = step.left(now)
    if left is not None:
        text += f", {step.rate(now):,.0f} a second, {duration(left)} left"
    return text
