"""A process of its own for each task, several at a time."""

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
"""Slow imports that every task needs; torch's optimisers import `torch._dynamo`."""


MEMORY = " (the system does that when memory runs out: fewer --workers need less)"


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
        waiting = Waiting(tasks)
        running: list[_Running] = []
        try:
            while waiting or running:
                while len(running) < self.workers and (task := waiting.next_ready()):
                    running.append(_start(context, task))
                if not running:
                    waiting.pause()
                    continue
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
        ended = not each.process.is_alive()  # asked first: what it sent is then there
        _pass_on(each, report)
        if ended:
            each.events.close()
            _report_death(each, report)
        return ended


@dataclass(eq=False)
class _Running:
    """A task in its process, and the end of the pipe that its events come from.

    Each task has a pipe of its own: one that dies while it sends cannot block the others.
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
    """Processes forked from a clean one that has imported torch, or spawned where none fork."""
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
    """The next event that was sent; None if there is none, or not the whole of it any more."""
    try:
        return events.recv() if events.poll() else None
    except (EOFError, OSError):
        return None  # its end is closed


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
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
