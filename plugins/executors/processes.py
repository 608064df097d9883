"""A process of its own for each task, several at a time."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from typing import Any

from harness import Event, JobFailed, Task

POLL_SECONDS = 0.1
PRELOADED = ["torch._dynamo", "safetensors.torch"]
"""Slow imports that every task needs; torch's optimisers import `torch._dynamo`."""


class Processes:
    """Runs each task in a fresh process, at most `workers` at a time.

    A task whose process dies (killed, out of memory) is reported as failed; the others go on.
    The processes end when this one does, however it ends.

    Arguments:
        workers: Processes at a time.
    """

    def __init__(self, *, workers: int = 2) -> None:
        self.workers = workers

    def run(self, tasks: Sequence[Task], report: Callable[[Event], None]) -> None:
        """Run every task."""
        context = _context()
        events: Queue[Event] = context.Queue()
        waiting = deque(tasks)
        running: dict[BaseProcess, Task] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    task = waiting.popleft()
                    process = context.Process(target=_work, args=(task, events))
                    process.start()
                    running[process] = task
                wait([process.sentinel for process in running], timeout=POLL_SECONDS)
                ended = [process for process in running if not process.is_alive()]
                _pass_on(events, report)
                for process in ended:
                    _report_death(process, running.pop(process), report)
        finally:
            for process in running:
                process.kill()
                process.join()
            events.close()


def _context() -> Any:
    """Processes forked from a clean one that has imported torch, or spawned where none fork."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _pass_on(events: Queue[Event], report: Callable[[Event], None]) -> None:
    while True:
        try:
            event = events.get_nowait()
        except queue.Empty:
            return
        report(event)


def _report_death(process: BaseProcess, task: Task, report: Callable[[Event], None]) -> None:
    code = process.exitcode
    if code == 0:
        return
    how = f"was ended by signal {-code}" if code and code < 0 else f"ended with status {code}"
    report(JobFailed(task.name, task.name, f"its process {how}"))


def _work(task: Task, events: Queue[Event]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    threading.Thread(target=_end_with_parent, daemon=True).start()
    task(events.put)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
