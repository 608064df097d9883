"""Live view of a run on a terminal: lines of text that fit the width and the height."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from typing import Self, TextIO, cast

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleRenderable, RenderHook
from rich.control import Control
from rich.file_proxy import FileProxy
from rich.segment import ControlType
from rich.text import Text

from harness import events
from harness.cli.display.base import Display
from harness.cli.display.progress import Block, Progress, Step, duration, headline
from harness.events import Event
from harness.text import one_line, printable

DRAWN_PER_SECOND = 2

UNKNOWN = "·"
NUMBER = 5
"""Width of an AUROC, in terminal cells."""
LONGEST_NAME = 14
"""Maximum width of a data set name in a table header, in terminal cells."""
GAP = "  "
BAR = 12
LEAST = 20
"""Minimum width to lay out for; on narrower terminals lines are cropped."""


class RichDisplay(Display, RenderHook):
    """A view with the progress of the run, the current step of each task, and known AUROCs.

    A thread draws the view twice a second, so the drawing rate does not depend on the number of
    events. As in `rich.live`, each print of the console first erases the view and then draws the
    view again. Unlike `rich.live`, the rows to erase are counted with the present width, because a
    terminal breaks lines when a user makes the window narrower.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.lock = threading.Lock()
        self.progress = Progress(clock)
        self.console = Console(file=stream)
        self.drawn: list[int] = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._keep_drawing, daemon=True)
        self.undo = ExitStack()

    def __enter__(self) -> Self:
        """Start to draw."""
        if self.console.is_interactive:
            self.console.show_cursor(False)
            self.undo.callback(self.console.show_cursor, True)
            self.console.push_render_hook(self)
            self.undo.callback(self._take_away)
            if sys.stdout.isatty():  # a pipe gets what is written, and at once
                proxy = cast("TextIO", FileProxy(self.console, sys.stdout))
                self.undo.enter_context(redirect_stdout(proxy))
            proxy = cast("TextIO", FileProxy(self.console, sys.stderr))
            self.undo.enter_context(redirect_stderr(proxy))
            self.thread.start()
            self.undo.callback(self.thread.join)
            self.undo.callback(self.stopped.set)
        return self

    def __exit__(self, *details: object) -> None:
        """Remove the view and show the cursor again."""
        self.undo.close()

    def __call__(self, event: Event) -> None:
        """Record the event, and print a line above the view for an important event."""
        with self.lock:
            self.progress.follow(event)
        line = headline(event)
        if line and not isinstance(event, events.EpochFinished):
            self.console.print(printable(line), markup=False, highlight=False)

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Replace the old view by the printed lines followed by the new view."""
        with self.lock:
            return [self._erase(), *renderables, self._view()]

    def _keep_drawing(self) -> None:
        while not self.stopped.wait(1 / DRAWN_PER_SECOND):
            self.console.print(Control())

    def _view(self) -> Text:
        """Draw the view; after an error here, the run continues with an empty view.

        The cursor stays on the next line, because the ^C echoed by a terminal would break a full
        line.
        """
        width, height = self.console.size
        try:
            lines = view(self.progress, width, height - 1, self.clock())
        except Exception:
            lines = []
        self.drawn = [line.cell_len for line in lines]
        return Text("", end="").join(line.append("\n") for line in lines)

    def _erase(self) -> Control:
        """Build the control codes that erase the view from the last line to the first."""
        width = max(self.console.width, 1)
        rows = sum(max(1, -(-length // width)) for length in self.drawn)
        up = ((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2))
        return Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2), *up * rows)

    def _take_away(self) -> None:
        self.console.pop_render_hook()
        self.console.control(self._erase())


def view(progress: Progress, width: int, height: int, now: float) -> list[Text]:
    """Lay out the lines of the view: the run, the steps, and the AUROCs known so far.

    No line is wider than the terminal, and at least one line of the terminal stays free. Long
    names end in an ellipsis; a number is shown in full or left out.

    Arguments:
        progress: State of the run.
        width: Terminal width in cells.
        height: Terminal height in lines.
        now: Current time in seconds, by the clock of `progress`.
    """
    room = max(height - 1, 1)
    wide = max(width, LEAST)
    lines = _overall(progress, wide, now) if progress.jobs else []
    steps = list(progress.steps.values())
    shown = steps[: max(1, (room - len(lines)) // 2)]
    lines += [_step(step, wide, now) for step in shown]
    if len(steps) > len(shown):
        lines.append(_cut(f"and {len(steps) - len(shown)} more tasks", wide))
    lines += _blocks(list(progress.blocks.values()), wide, room - len(lines))
    for line in lines:
        line.truncate(width, overflow="crop")
    return lines[:room]


def _overall(progress: Progress, width: int, now: float) -> list[Text]:
    share = progress.jobs_done / progress.jobs
    name = _name(progress.suite, width // 2)
    bar = _bar(share, width - cell_len(name) - 6)
    first = Text.assemble((name, "bold"), " ", bar, f" {share:4.0%}")
    left = progress.left(now)
    gone = f"{duration(now - progress.started)} gone"
    parts = [
        f"{progress.jobs_done}/{progress.jobs} jobs",
        gone if left is None else f"~{duration(left)} left",
        *([f"{progress.jobs_failed} failed"] if progress.jobs_failed else []),
        f"{progress.cells_known}/{progress.cells} cells",
    ]
    while len(parts) > 1 and len(" · ".join(parts)) > width:
        parts.pop()
    return [first, _cut(" · ".join(parts), width)]


def _step(step: Step, width: int, now: float) -> Text:
    """Lay out a task: label, bar, rate, share done, and time left."""
    left = step.left(now)
    side = f" {step.share():4.0%}" + (f" {duration(left):>7}" if left is not None else " " * 8)
    bar = Text(" ") + _bar(step.share(), BAR) if width >= 80 else Text()
    rate = f" {step.rate(now):,.0f}/s" if width >= 100 and step.done else ""
    room = width - len(side) - len(bar) - len(rate)
    news = f" · {step.news}" if step.news else ""
    label = _name(f"{step.task} · {step.label}{news}", room)
    return Text.assemble(label + " " * (room - cell_len(label)), bar, rate, side)


def _bar(share: float, width: int) -> Text:
    done = round(share * max(width, 0))
    return Text.assemble(("━" * done, "green"), ("━" * (max(width, 0) - done), "dim"))


def _blocks(blocks: Sequence[Block], width: int, room: int) -> list[Text]:
    """Lay out the most recently changed blocks that fit, in the order of the suite."""
    known = [block for block in blocks if block.sums]
    chosen: list[Block] = []
    for block in sorted(known, key=lambda block: block.changed, reverse=True):
        if sum(_height(other) for other in [*chosen, block]) <= room:
            chosen.append(block)
    if known and not chosen and room > 3:
        latest = max(known, key=lambda block: block.changed)
        return [*_block(latest, width)[: room - 1], _cut("…", width)]
    return [line for block in known if block in chosen for line in _block(block, width)]


def _height(block: Block) -> int:
    return 3 + len(block.scorers)


def _block(block: Block, width: int) -> list[Text]:
    """Lay out a blank line, a title, the OOD set names, and a line for each scorer."""
    place = f"{block.model} on {block.in_dataset} · b = {block.group_size}"
    title = f"{place} · {block.unit} {block.epoch} · {block.known}/{block.cells} cells"
    names = [one_line(scorer) for scorer in block.scorers]
    first = max(6, min(max(map(cell_len, names)), width // 3))
    outs = _columns(block.outs, width - first)
    missing = len(block.outs) - len(outs)
    header = "AUROC".ljust(first) + "".join(
        GAP + _right(name, size) for name, size in outs.values()
    )
    lines = [Text(), Text(_name(title, width), style="bold")]
    lines.append(Text(header + (f"{GAP}+{missing}" if missing else ""), style="dim"))
    for scorer, name in zip(block.scorers, names, strict=True):
        line = Text(set_cell_size(_name(name, first), first))
        for out, (_, size) in outs.items():
            value = block.auroc(scorer, out, block.epoch)
            text = UNKNOWN if value is None else f"{value:.3f}"
            line.append(GAP + text.rjust(size), style="dim" if value is None else "")
        lines.append(line)
    return lines


def _columns(outs: Sequence[str], room: int) -> dict[str, tuple[str, int]]:
    """Map the OOD sets that fit to the displayed name and the column width."""
    for longest in (LONGEST_NAME, 10, 8, NUMBER):
        columns = {out: _column(out, longest) for out in outs}
        if sum(len(GAP) + size for _, size in columns.values()) <= room:
            return columns
    taken = len(GAP) + 3  # for the number of missing columns
    fitting = {}
    for out, (name, size) in columns.items():
        taken += len(GAP) + size
        if taken <= room:
            fitting[out] = (name, size)
    return fitting


def _column(out: str, longest: int) -> tuple[str, int]:
    name = _name(out, longest)
    return name, max(NUMBER, cell_len(name))


def _right(name: str, size: int) -> str:
    return " " * (size - cell_len(name)) + name


def _name(name: str, room: int) -> str:
    """Shorten a name to at most `room` terminal cells, with an ellipsis where cut."""
    line = one_line(name)
    if cell_len(line) <= room:
        return line
    return set_cell_size(line, max(room - 1, 0)).rstrip() + "…"


def _cut(line: str, width: int) -> Text:
    return Text(_name(line, width))
