"""Events of other processes, read from their logs while the logs grow."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from harness import events
from harness.run.event_log import NAME, EventLog
from harness.run.following import FollowedLogs

TAKEN = events.WorkTaken("flow on digits, epoch 2", chain="flow on digits", worker="worker 1")
DONE = events.JobFinished("flow on digits, epoch 2", "log_prob")
STARTED = events.StepStarted("flow on digits", "training", 3, "examples")
FAILED = events.JobFailed("flow on digits", "epoch 4", "the loss is not finite", "traceback")


@pytest.fixture
def log_in():
    """Begin the event log of a run in a folder."""
    with ExitStack() as stack:

        def begin(folder):
            log = stack.enter_context(EventLog(lambda text: None))
            log(events.RunStarted("tiny", 1, 2, folder=str(folder)))
            return log

        yield begin


def test_events_are_read_as_they_were_written_and_once(tmp_path, log_in):
    own, other = log_in(tmp_path / "own"), log_in(tmp_path / "a")
    other(DONE)
    logs = FollowedLogs(tmp_path / "own")
    assert list(logs.news()) == []  # what was there before is not news
    own(DONE)
    other(TAKEN)
    later = log_in(tmp_path / "b")
    later(events.StepStarted("data", "opening data sets", 3, "sets"))
    for event in (STARTED, FAILED):
        later(event)
    assert list(logs.news()) == [TAKEN, STARTED, FAILED]  # neither starts, nor data, nor our own
    assert list(logs.news()) == []
    for each in (other, later):
        each(events.Message("a damaged checkpoint was set aside"))
    other(events.RunFinished("tiny", {}))
    assert list(logs.news()) == [events.Message("a damaged checkpoint was set aside")]


def test_torn_and_foreign_lines(tmp_path, log_in):
    logs = FollowedLogs(tmp_path / "own")
    log_in(tmp_path / "a")(DONE)
    path = tmp_path / "a" / NAME
    whole = path.read_bytes().splitlines(keepends=True)[1]
    path.write_bytes(whole + b'nothing\n{"v": 1}\n[]\n{"event": "Later", "x": 1}\n' + whole[:20])
    assert list(logs.news()) == [DONE]
    with path.open("ab") as file:
        file.write(whole[20:])
    assert list(logs.news()) == [DONE]
    path.unlink()
    assert list(logs.news()) == []
