"""Tasks run in turn, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from oodbench import Event, JobFailed, Postponed, Task
from plugins.executors.waiting import Waiting


class Sequential:
    """Runs tasks in the order given, for a single device or for debugging.

    Tasks in progress in another run come last.

    Arguments:
        workers: Ignored; tasks run in this process.
    """

    def __init__(self, *, workers: int = 1) -> None:
        del workers

    def run(self, tasks: Sequence[Task], report: Callable[[Event], None]) -> None:
        """Run every task and report all events."""
        waiting = Waiting(tasks)
        while waiting:
            task = waiting.next_ready()
            if task is None:
                waiting.pause()
            elif _is_postponed(task, report):
                waiting.put_back(task)


def _is_postponed(task: Task, report: Callable[[Event], None]) -> bool:
    """Run a task; return whether the task was postponed because another run is working on it."""
    seen = []

    def follow(event: Event) -> None:
        if isinstance(event, Postponed):
            seen.append(event)
        report(event)

    try:
        task(follow)
    except Exception as error:
        report(JobFailed(task.name, task.name, f"{type(error).__name__}: {error}"))
    return bool(seen)
