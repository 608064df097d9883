"""State of a run, derived from events: jobs, steps, and cells with a known AUROC."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness import events
from harness.events import Event

TOLD_FROM = 0.1
"""Minimum share of jobs done before an estimate of the time left is shown."""


@dataclass
class Step:
    """A step in progress, with the numbers needed for the rate and the time left.

    Attributes:
        news: Latest news from the task, for example the loss after an epoch.
    """

    task: str
    label: str
    total: int
    unit: str
    started: float
    done: int = 0
    news: str = ""

    def share(self) -> float:
        """Return the share done, from 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total else 1.0

    def rate(self, now: float) -> float:
        """Return the average number of units per second."""
        return self.done / max(now - self.started, 1e-9)

    def left(self, now: float) -> float | None:
        """Return the seconds left at the average rate; None before the first progress."""
        return max(self.total - self.done, 0) / self.rate(now) if self.done else None


@dataclass(eq=False)
class Block:
    """Known AUROCs for a model, ID set and group size, averaged over the seeds.

    Attributes:
        cells: Number of cells in the block.
        sums: Sum and number of the known AUROCs, by scorer, OOD set and epoch.
        changed: Number of cells known in the whole run at the last change of this block.
    """

    model: str
    in_dataset: str
    group_size: int
    scorers: list[str]
    outs: list[str]
    unit: str
    cells: int
    sums: dict[tuple[str, str, int], tuple[float, int]] = field(default_factory=dict)
    changed: int = 0

    @classmethod
    def of(cls, table: dict[str, Any]) -> Block:
        """Make an empty block for a table announced by `RunStarted`."""
        scorers, outs = table["scorers"], table["out"]
        cells = len(scorers) * len(outs) * len(table["epochs"]) * len(table["seeds"])
        place = table["model"], table["in"], table["group_size"]
        return cls(*place, scorers, outs, table["unit"], cells)

    @property
    def known(self) -> int:
        """Number of known cells."""
        return sum(count for _, count in self.sums.values())

    @property
    def epoch(self) -> int:
        """Latest epoch with a known cell."""
        return max(epoch for _, _, epoch in self.sums)

    def auroc(self, scorer: str, out: str, epoch: int) -> float | None:
        """Return the mean over the known seeds; None if no seed is known."""
        total, count = self.sums.get((scorer, out, epoch), (0.0, 0))
        return total / count if count else None

    def add(self, event: events.CellKnown) -> None:
        """Add a known cell."""
        place = (event.scorer, event.out_dataset, event.epoch)
        total, count = self.sums.get(place, (0.0, 0))
        self.sums[place] = (total + event.auroc, count + 1)


class Progress:
    """State of a run.

    Arguments:
        clock: Returns the current time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.suite = ""
        self.started = clock()
        self.jobs = self.jobs_done = self.jobs_failed = 0
        self.cells = self.cells_known = 0
        self.steps: dict[str, Step] = {}
        self.blocks: dict[tuple[str, str, int], Block] = {}

    def follow(self, event: Event) -> None:
        """Update the state with an event."""
        if isinstance(event, events.RunStarted):
            self._begin(event)
        elif isinstance(event, events.JobFinished | events.JobFailed | events.JobUnsupported):
            self.jobs_done = min(self.jobs_done + 1, self.jobs)
            if isinstance(event, events.JobFailed):
                self.jobs_failed += 1
                self.steps.pop(event.task, None)  # its process may have died within a step
        elif isinstance(event, events.StepStarted):
            self.steps[event.task] = Step(
                event.task, event.step, event.total, event.unit, self.clock()
            )
        elif isinstance(event, events.StepFinished):
            self.steps.pop(event.task, None)
        elif isinstance(event, events.CellKnown):
            self._add(event)
        elif step := self.steps.get(getattr(event, "task", "")):
            if isinstance(event, events.StepAdvanced):
                step.done += event.amount
            elif isinstance(event, events.EpochFinished):
                step.news = f"epoch {event.epoch}: {event.train_bits_per_dim:#.4g} {event.unit}"

    def _begin(self, event: events.RunStarted) -> None:
        self.suite, self.jobs, self.cells = event.suite, event.jobs, event.cells
        self.started = self.clock()
        self.jobs_done = self.jobs_failed = self.cells_known = 0
        found = map(Block.of, event.tables)
        self.blocks = {(item.model, item.in_dataset, item.group_size): item for item in found}

    def _add(self, event: events.CellKnown) -> None:
        self.cells_known += 1
        block = self.blocks.get((event.model, event.in_dataset, event.group_size))
        if block is not None:
            block.add(event)
            block.changed = self.cells_known

    def left(self, now: float) -> float | None:
        """Estimate the seconds left, as if every job took the same time.

        The estimate is rough, because jobs differ and trainings come first; None before a tenth
        of the jobs is done.
        """
        if self.jobs_done < max(1, TOLD_FROM * self.jobs):
            return None
        return (now - self.started) * (self.jobs - self.jobs_done) / self.jobs_done


def duration(seconds: float) -> str:
    """Format a time span as h:mm:ss, or in seconds below ten seconds."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def headline(event: Event) -> str:
    """Return the line to print for an event; empty for most events."""
    if isinstance(event, events.JobFailed):
        return f"failed: {event.job}: {event.message}"
    if isinstance(event, events.Message):
        return event.text
    if isinstance(event, events.RunStarted):
        todo = f"{event.jobs:,} jobs to do" if event.jobs else "nothing to compute"
        return f"{event.suite}: {todo}, {event.cells:,} cells"
    if isinstance(event, events.EpochFinished):
        loss = f"{event.train_bits_per_dim:#.4g} {event.unit}"
        return f"{event.task} · epoch {event.epoch}: {loss} in {duration(event.seconds)}"
    return ""
