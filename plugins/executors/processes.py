"""A separate process for each task, several at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from oodbench import Event, JobFailed, Postponed, Task
from oodbench.workers import Portable
from plugins.executors.waiting import PAUSE, Waiting

PRELOADED = ["torch._dynamo", "safetensors.torch"]
"""Slow imports needed by every task; torch's optimisers import `torch._dynamo`."""


MEMORY = " (probably out of memory: try fewer --workers)"


class Processes:
    """Runs each task in a fresh process, at most `workers` at a time.

    If a process dies (killed, out of memory), the task is reported as failed; other tasks
    continue. All processes end together with the parent process, even if the parent is killed.

    Arguments:
        workers: Maximum number of processes at a time.
    """

    def __init__(self, *, workers: int = 2) -> None:
        self.workers = workers

    def run(self, tasks: Sequence[Task], report: Callable[[Event], None]) -> None:
        """Run every task and report all events."""
        context = _context()
        waiting = Waiting(tasks)
        running: list[_Running] = []
        try:
            while waiting or running:
                while len(running) < self.workers and (task := waiting.next_ready()):
                    running.append(_start(context, task))
                if not running:
                    waiting.pause()
                    continue
                # With a free worker, wake up now and then: a waiting task may become ready without
                # any event here, when another run finishes.
                idle = bool(waiting) and len(running) < self.workers
                sources = [(each.events, each.process.sentinel) for each in running]
                wait([item for pair in sources for item in pair], PAUSE if idle else None)
                for each in list(running):
                    if self._has_ended(each, report):
                        running.remove(each)
                        if each.postponed:
                            waiting.put_back(each.task)
        finally:
            for each in running:
                each.process.kill()
            for each in running:
                each.process.join()

    def _has_ended(self, each: _Running, report: Callable[[Event], None]) -> bool:
        ended = not each.process.is_alive()  # asked first, so that no event is missed
        _pass_on(each, report)
        if ended:
            each.events.close()
            _report_death(each, report)
        return ended


@dataclass(eq=False)
class _Running:
    """A running task: the process, and the receiving end of the pipe for events.

    Each task has a separate pipe, so that a task dying while sending cannot block other tasks.
    """

    task: Task
    process: BaseProcess
    events: Connection
    postponed: bool = False


def _start(context: Any, task: Task) -> _Running:
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=Portable(partial(_work, task)), args=(writer,), daemon=True)
    process.start()
    writer.close()
    return _Running(task, process, reader)


def _context() -> Any:
    """Fork processes from a clean server with torch imported; spawn where fork is unavailable."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _pass_on(running: _Running, report: Callable[[Event], None]) -> None:
    while (event := _received(running.events)) is not None:
        running.postponed |= isinstance(event, Postponed)
        report(event)


def _received(events: Connection) -> Event | None:
    """Return the next event; None if no event is waiting, or the event is incomplete."""
    try:
        return events.recv() if events.poll() else None
    except (EOFError, OSError):
        return None  # the sending end is closed


def _report_death(ended: _Running, report: Callable[[Event], None]) -> None:
    ended.process.join()
    code, name = ended.process.exitcode, ended.task.name
    if code != 0:
        how = f"was ended by signal {-code}" if code and code < 0 else f"ended with status {code}"
        hint = MEMORY if code == -signal.SIGKILL else ""
        report(JobFailed(name, name, f"its process {how}{hint}"))


def _work(task: Task, events: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        task(events.send)
    except Exception as error:
        events.send(JobFailed(task.name, task.name, f"{type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    """Exit once the parent process has ended, even if the parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # sys.exit would end this thread only
