"""Preview of AUROCs during a run: cells are scored soon after the last statistic is stored.

Every cell is scored again at the end, and only the final score is a result; the preview never sets
aside, repairs or keeps anything.
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
"""Maximum share of a core's time spent on the preview."""
AT_ONCE = 24
"""Number of cells scored together: neighbours share a fitted scorer and loaded statistics."""
MOST_CELLS = 20_000
"""Maximum number of cells in a run with a preview."""


class Preview:
    """Scores the cells of a run when their statistics become available, within a share of time.

    Arguments:
        plan: Plan of the run.
        store: Read only, never changed.
        report: Called with `CellKnown` for each cell.
        clock: Elapsed seconds.
        busy: CPU seconds used by this thread.
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
        """Index the cells by the missing jobs, and the jobs by their name in events."""
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
        """Record a finished job, and score some cells if time allows."""
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
        except Exception:  # the run meets the same error at the end, and reports the error then
            self.ready.clear()
            self.waiting.clear()

    def _tell(self, result: Result) -> None:
        if result.metrics is not None:
            self.report(events.CellKnown(**result.cell._asdict(), auroc=result.metrics.auroc))


class _Untouched(Store):
    """A store with damaged records left in place, to be found by the run."""

    def quarantine(self, kind: str, key: str) -> Path:
        """Leave the record in place."""
        return self.path(kind, key)
