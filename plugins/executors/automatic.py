"""Executor that chooses another executor by the number of workers."""

from __future__ import annotations

from oodbench import Executor
from plugins.executors.processes import Processes
from plugins.executors.sequential import Sequential


def automatic(*, workers: int = 1) -> Executor:
    """Processes for several workers, one task after the other for a single worker.

    Arguments:
        workers: Number of tasks that run at the same time.
    """
    return Processes(workers=workers) if workers > 1 else Sequential()
