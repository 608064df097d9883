"""AUROCs while a run goes on: a cell is scored soon after the last of its statistics is stored.

It is a preview. Every cell is scored again at the end, and only that is a result; here nothing is
set aside, mended or kept.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness import events
from harness.plan.jobs import StatisticJob
from harness.plan.plan import Plan
from harness.results import Result
from harness.store.records import Store

SHARE = 0.02
"""Of the time that a run takes, so much of a processor goes into its preview at most."""
AT_ONCE = 24
"""Cells scored together: neighbours share a fitted scorer and what is read."""
MOST_CELLS = 20_000
"""A run of more cells has no preview."""


class Preview:
    """Scores the cells of a run as they become known, within its share of the time.

    Arguments:
        plan: Of the run.
        store: Nothing in it is changed.
        report: Told of each cell, by `CellKnown`.
        clock: Seconds gone.
        busy: Seconds of a processor that this thread has had.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        report: Callable[[events.Event], None],
        clock: Callable[[], float] = time.monotonic,
        busy: Callable[[], float] = time.thread_time,
    ) -> None:
        self.plan = plan
        self.store = _Untouched(store.root)
        self.report = report
        self.clock = clock
        self.busy = busy
        self.started = clock()
        self.spent = 0.0
        self.ready: deque[int] = deque()
        self.lacking: dict[int, int] = {}
        self.waiting: dict[StatisticJob, list[int]] = {}
        self.named: dict[str, list[StatisticJob]] = {}
        if len(plan.cells) <= MOST_CELLS:
            self._index()

    def _index(self) -> None:
        """Which cells wait for which jobs, by the names that events give them."""
        stored: dict[StatisticJob, bool] = {}
        for number, planned in enumerate(self.plan.cells):
            jobs = set(planned.jobs())
            for job in jobs - stored.keys():
                stored[job] = self.plan.keys(self.store).has_statistic(job)
            lacking = [job for job in jobs if not stored[job]]
            self.lacking[number] = len(lacking)
            for job in lacking:
                self.waiting.setdefault(job, []).append(number)
            if not lacking:
                self.ready.append(number)
        for job in self.waiting:
            self.named.setdefault(str(job), []).append(job)

    def __call__(self, event: events.Event) -> None:
        """Note what became known, and score some of it if there is time for it."""
        if isinstance(event, events.JobFinished):
            for job in self.named.get(event.job, ()):
                if job in self.waiting and self.plan.keys(self.store).has_statistic(job):
                    self._finished(job)
        if self.ready and self.spent <= SHARE * (self.clock() - self.started):
            began = self.busy()
            self._score([self.ready.popleft() for _ in range(min(AT_ONCE, len(self.ready)))])
            self.spent += self.busy() - began

    def _finished(self, job: StatisticJob) -> None:
        for number in self.waiting.pop(job):
            self.lacking[number] -= 1
            if not self.lacking[number]:
                self.ready.append(number)

    def _score(self, numbers: list[int]) -> None:
        from harness.scoring.score import score_plan

        cells = [self.plan.cells[number] for number in sorted(numbers)]
        try:
            score_plan(replace(self.plan, cells=cells), self.store, self._tell)
        except Exception:  # the run will meet it again at its end, and say so there
            self.ready.clear()
            self.waiting.clear()

    def _tell(self, result: Result) -> None:
        if result.metrics is not None:
            self.report(events.CellKnown(**result.cell._asdict(), auroc=result.metrics.auroc))


class _Untouched(Store):
    """A store in which damage is left for the run itself to find."""

    def quarantine(self, kind: str, key: str) -> Path:
        """Leave it where it is."""
        return self.path(kind, key)
