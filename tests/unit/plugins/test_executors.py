"""Executors: workers that die or fail."""

from __future__ import annotations

import sys

import pytest

from harness.events import Message
from oodbench import JobFailed, WorkTaken
from plugins.executors import processes
from plugins.executors.processes import Processes
from plugins.executors.sequential import Sequential

TASKS = """
import os
import signal
import struct
from dataclasses import dataclass
from pathlib import Path

from oodbench import WorkTaken
from harness.events import Message


@dataclass(frozen=True)
class Task:
    name: str
    folder: Path

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


class DiesOnceAtWork(Task):
    # The second time, the work is somebody else's.

    def __call__(self, report):
        tried = self.folder / "tried"
        if tried.exists():
            return report(Message("again"))
        tried.touch()
        report(WorkTaken("flow on digits, epoch 2", "flow on digits", self.name))
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """A module that child processes can import too."""
    (tmp_path / "executor_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(processes, "PRELOADED", [])
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


def test_a_worker_that_dies_at_work_is_started_again_and_its_work_is_named(tasks, tmp_path):
    seen = []
    work = [tasks.DiesOnceAtWork("worker 1", tmp_path), tasks.Task("worker 2", tmp_path)]
    Processes(workers=1).run(work, seen.append)
    work = "flow on digits, epoch 2"
    death = "its process was ended by signal 9 (probably out of memory: try fewer --workers)"
    assert seen == [
        WorkTaken(work, "flow on digits", "worker 1"),
        JobFailed(work, work, death),
        Message("worker 2"),
        Message("again"),
    ]
