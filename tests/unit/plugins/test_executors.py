"""Executors: tasks that die, fail, or find another run at their work."""

from __future__ import annotations

import sys

import pytest

from harness.events import Message
from oodbench import JobFailed, Postponed
from plugins.executors import processes, waiting
from plugins.executors.processes import Processes
from plugins.executors.sequential import Sequential

TASKS = """
import os
import signal
import struct
from dataclasses import dataclass
from pathlib import Path

from oodbench import Postponed
from harness.events import Message


@dataclass(frozen=True)
class Task:
    name: str
    folder: Path

    def ready(self):
        return True

    def __call__(self, report):
        report(Message(self.name))


class DiesWithinAMessage(Task):
    def __call__(self, report):
        report(Message("whole"))
        pipe = report.__self__.fileno()
        os.write(pipe, struct.pack("!i", 1000) + b"a part")  # of a message of 1000 bytes
        os.kill(os.getpid(), signal.SIGKILL)


class Raises(Task):
    def __call__(self, report):
        raise ValueError("not like this")


class Busy(Task):
    # Held by another run until the first of the others has been done.

    def ready(self):
        tried = self.folder / "tried"
        return not tried.exists() or (self.folder / "over").exists()

    def __call__(self, report):
        if not self.ready() or not (self.folder / "tried").exists():
            (self.folder / "tried").touch()
            return report(Postponed(self.name))
        report(Message(self.name))


class Ends(Task):
    def __call__(self, report):
        report(Message(self.name))
        (self.folder / "over").touch()
"""


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """A module that child processes can import too."""
    (tmp_path / "executor_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(processes, "PRELOADED", [])
    monkeypatch.setattr(waiting, "PAUSE", 0.01)
    import executor_tasks

    yield executor_tasks
    del sys.modules["executor_tasks"]


def test_a_process_that_dies_within_a_message_costs_its_own_task_only(tasks, tmp_path):
    names = ["a", "b", "c"]
    work = [tasks.Task(name, tmp_path) for name in names]
    work.insert(1, tasks.DiesWithinAMessage("dying", tmp_path))
    seen = []
    Processes(workers=2).run(work, seen.append)
    (failed,) = [event for event in seen if isinstance(event, JobFailed)]
    assert (failed.task, failed.job) == ("dying", "dying")
    assert failed.message == (
        "its process was ended by signal 9 (probably out of memory: try fewer --workers)"
    )
    texts = [event.text for event in seen if isinstance(event, Message)]
    assert sorted(texts) == ["a", "b", "c", "whole"]
    assert len(seen) == 5


@pytest.mark.parametrize("executor", [Sequential(), Processes(workers=1)])
def test_a_task_that_raises_is_named_and_the_others_go_on(tasks, tmp_path, executor):
    seen = []
    executor.run([tasks.Raises("bad", tmp_path), tasks.Task("good", tmp_path)], seen.append)
    assert seen == [JobFailed("bad", "bad", "ValueError: not like this"), Message("good")]


@pytest.mark.parametrize("executor", [Sequential(), Processes(workers=1)])
def test_a_task_that_another_run_is_at_is_run_again_when_that_has_ended(tasks, tmp_path, executor):
    work = [
        tasks.Busy("busy", tmp_path),
        tasks.Task("other", tmp_path),
        tasks.Ends("end", tmp_path),
    ]
    seen = []
    executor.run(work, seen.append)
    assert seen == [Postponed("busy"), Message("other"), Message("end"), Message("busy")]
