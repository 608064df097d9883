"""Tasks waiting for a free worker, or for another run working on the same task."""

from __future__ import annotations

import time
from collections.abc import Sequence

from oodbench import Task

PAUSE = 0.5
"""Seconds between checks whether another run has finished, or was killed."""


class Waiting:
    """Queue of tasks in order; tasks not yet ready let later tasks pass."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = list(tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def next_ready(self) -> Task | None:
        """Remove and return the first ready task; None if no task is ready now."""
        for number, task in enumerate(self._tasks):
            if task.ready():
                return self._tasks.pop(number)
        return None

    def put_back(self, task: Task) -> None:
        """Put back a task that could not run yet."""
        self._tasks.append(task)

    def pause(self) -> None:
        """Sleep before the next check."""
        time.sleep(PAUSE)
