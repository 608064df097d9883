"""One worker of a suite: opens the data, takes work until none is left, and says what is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness import events
from harness.events import Report
from harness.run.event_log import new_run_folder
from harness.run.prepare import missing_jobs, plan_complete, refuse_unwritable
from harness.run.run import run_started
from harness.run.workers import work_alone
from harness.settings import Settings, Share
from harness.store.records import Store
from harness.suite import ResolvedSuite


@dataclass(frozen=True)
class WorkDone:
    """Work that a worker has done, and work that is left.

    Attributes:
        done: Number of jobs done by this worker.
        failed: Number of jobs that failed here.
        left: Number of jobs that are not stored: held by other workers, failed, or waiting.
    """

    done: int
    failed: int
    left: int

    @property
    def exit_status(self) -> int:
        """Exit status of the command: 1 if a job failed here, else 0."""
        return 1 if self.failed else 0


def work(
    suite: ResolvedSuite,
    settings: Settings,
    report: Report,
    share: Share,
    stop: Callable[[], bool],
    *,
    until_done: bool,
    allow_missing: bool,
) -> WorkDone:
    """Be one worker of a suite; nothing is scored.

    Arguments:
        suite: Resolved suite.
        settings: Where and how to compute; `workers` and `executor` do not matter.
        report: Called with every event.
        share: Where to begin in the list of work.
        stop: Returns True once the worker is asked to end.
        until_done: Wait while other workers hold work, and end when everything is done.
        allow_missing: Work on the cells with available data instead of refusing to work.

    Raises:
        MissingDataError: A data set is missing, and `allow_missing` is not set.
        FolderError: A folder must be written and cannot be.
        Interrupted: The worker was asked to end; a training's progress is stored.
    """
    plan = plan_complete(suite, settings, report, allow_missing)
    store = Store(settings.store)

    def left() -> int:
        return sum(len(missing_jobs(plan, store, chain)) for chain in plan.chains.values())

    jobs = left()
    report(run_started(plan, jobs, new_run_folder(settings.store, plan.suite)))
    counts = {events.JobFinished: 0, events.JobFailed: 0}

    def follow(event: events.Event) -> None:
        if type(event) in counts:
            counts[type(event)] += 1
        report(event)

    if jobs:
        refuse_unwritable(store, jobs)
        work_alone(settings, plan, follow, share, stop, until_done=until_done)
    report(events.RunFinished(plan.suite, {}))
    return WorkDone(counts[events.JobFinished], counts[events.JobFailed], left())
