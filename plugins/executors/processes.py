"""A separate process for each worker, several at a time."""

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

from oodbench import Event, JobFailed, Task, WorkTaken
from oodbench.workers import Portable

PRELOADED = ["torch._dynamo", "safetensors.torch"]
"""Slow imports needed by every worker; torch's optimisers import `torch._dynamo`."""


MEMORY = " (probably out of memory: try fewer --workers)"


class Processes:
    """Runs each worker in a process of its own, at most `workers` at a time.

    If a process dies (killed, out of memory) after it has taken up work, its death is reported and
    the worker is started again. All processes end together with the parent process, even if the
    parent is killed.

    Arguments:
        workers: Maximum number of processes at a time.
    """

    def __init__(self, *, workers: int = 2) -> None:
        self.workers = workers

    def run(self, tasks: Sequence[Task], report: Callable[[Event], None]) -> None:
        """Run every worker and report all events."""
        context = _context()
        waiting = list(tasks)
        running: list[_Running] = []
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    running.append(_start(context, waiting.pop(0)))
                sources = [(each.events, each.process.sentinel) for each in running]
                wait([item for pair in sources for item in pair])
                for each in [each for each in running if _has_ended(each, report)]:
                    running.remove(each)
                    if each.died and each.work is not None:
                        waiting.append(each.task)
        finally:
            for each in running:
                each.process.kill()
            for each in running:
                each.process.join()


@dataclass(eq=False)
class _Running:
    """A running worker: the process, and the receiving end of the pipe for events.

    Each worker has a separate pipe, so that a worker dying while sending cannot block others.

    Attributes:
        work: Name of the work last taken up.
    """

    task: Task
    process: BaseProcess
    events: Connection
    work: str | None = None

    @property
    def died(self) -> bool:
        """Whether the process, which has ended, did not end in order."""
        return self.process.exitcode != 0


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


def _has_ended(each: _Running, report: Callable[[Event], None]) -> bool:
    """Pass on the events of a worker; return True, with its death reported, if it has ended."""
    ended = not each.process.is_alive()  # asked first, so that no event is missed
    while (event := _received(each.events)) is not None:
        if isinstance(event, WorkTaken):
            each.work = event.task
        report(event)
    if ended:
        each.events.close()
        each.process.join()
        if each.died:
            _report_death(each, report)
    return ended


def _received(events: Connection) -> Event | None:
    """Return the next event; None if no event is waiting, or the event is incomplete."""
    try:
        return events.recv() if events.poll() else None
    except (EOFError, OSError):
        return None  # the sending end is closed


def _report_death(ended: _Running, report: Callable[[Event], None]) -> None:
    code, name = ended.process.exitcode, ended.work or ended.task.name
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
