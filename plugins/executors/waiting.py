"""Tasks that wait: for a free worker, or for another run that is at their work."""

from __future__ import annotations

import time
from collections.abc import Sequence

from oodbench import Task

PAUSE = 0.5
"""Seconds between two looks whether another run has ended its work, or was killed at it."""


class Waiting:
    """Tasks in their order; those that are not ready let others pass."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = list(tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def next_ready(self) -> Task | None:
        """The first task that is ready, no longer waiting; None if there is none now."""
        for number, task in enumerate(self._tasks):
            if task.ready():
                return self._tasks.pop(number)
        return None

    def put_back(self, task: Task) -> None:
        """A task that could not be done yet."""
        self._tasks.append(task)

    def pause(self) -> None:
        """Let some time pass."""
        time.sleep(PAUSE)
