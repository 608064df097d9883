"""Workers one after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from oodbench import Event, JobFailed, Task


class Sequential:
    """Runs each worker in this process, for a single device or for debugging.

    Arguments:
        workers: Ignored; workers run in turn, so the first one does all the work.
    """

    def __init__(self, *, workers: int = 1) -> None:
        del workers

    def run(self, tasks: Sequence[Task], report: Callable[[Event], None]) -> None:
        """Run every worker and report all events."""
        for task in tasks:
            try:
                task(report)
            except Exception as error:
                report(JobFailed(task.name, task.name, f"{type(error).__name__}: {error}"))
