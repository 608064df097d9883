"""One task after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness import Event, JobFailed, Task


class Sequential:
    """Runs tasks in the order given, for a single device or for debugging.

    Arguments:
        workers: Ignored; there is one.
    """

    def __init__(self, *, workers: int = 1) -> None:
        del workers

    def run(self, tasks: Sequence[Task], report: Callable[[Event], None]) -> None:
        """Run every task."""
        for task in tasks:
            try:
                task(report)
            except Exception as error:
                report(JobFailed(task.name, task.name, f"{type(error).__name__}: {error}"))
