"""Displays and listeners."""

from __future__ import annotations

import io
import json

import pytest

from harness import events
from harness.cli.display.displays import (
    JsonDisplay,
    NoDisplay,
    PlainDisplay,
    make_display,
)
from harness.cli.display.live import RichDisplay
from harness.cli.display.progress import duration
from harness.registry.registry import Registry, tell_listeners


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


STORY = [
    events.RunStarted("suite", 3, 12),
    events.StepStarted("flow [x]", "training to epoch 2", 640, "examples"),
    events.StepAdvanced("flow [x]", 320),
    events.JobFailed("other", "flow [/y]", "no luck"),
    events.Message("waiting"),
]


def test_plain_lines_come_every_few_seconds_with_rate_and_time_left():
    stream, clock = io.StringIO(), Clock()
    display = PlainDisplay(stream, clock)
    for event in STORY:
        clock.now += 1
        display(event)
    assert stream.getvalue().splitlines() == [
        "suite: 3 jobs to do, 12 cells",
        "failed: flow [/y]: no luck",
        "waiting",
        "1 of 3 jobs · flow [x] · training to epoch 2: 320 of 640 examples, 107 a second, "
        "3.0 s left",
    ]
    display(events.StepAdvanced("flow [x]", 160))
    clock.now += 5
    display(events.StepFinished("flow [x]"))
    assert len(stream.getvalue().splitlines()) == 4


def test_json_lines_are_events_and_progress_is_added_up():
    stream, clock = io.StringIO(), Clock()
    display = JsonDisplay(stream, clock)
    display(events.StepStarted("t", "s", 100, "examples"))
    for _ in range(10):
        display(events.StepAdvanced("t", 10))
    display(events.StepFinished("t"))
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert found[0]["event"] == "StepStarted"
    assert sum(item["amount"] for item in found if item["event"] == "StepAdvanced") == 100
    assert found[-1] == {"event": "StepFinished", "task": "t"}


def test_rich_bars_show_names_as_they_are():
    stream = io.StringIO()
    with RichDisplay(stream) as display:
        for event in STORY:
            display(event)
        display(events.StepFinished("flow [x]"))
    assert "failed: flow [/y]: no luck" in stream.getvalue()


def test_off_a_terminal_the_display_is_plain():
    assert isinstance(make_display("auto", io.StringIO()), PlainDisplay)
    assert isinstance(make_display("none", io.StringIO()), NoDisplay)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (61.2, "0:01:01"), (7322, "2:02:02")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


LISTENER = """
from oodbench import hookimpl

seen = []

@hookimpl
def bench_epoch_finished(event):
    seen.append(event.epoch)

@hookimpl
def bench_run_finished(event):
    raise ValueError("by design")
"""


def test_listeners_are_told_and_their_failures_are_logged(tmp_path):
    import sys

    path = tmp_path / "listener.py"
    path.write_text(LISTENER)
    registry = Registry([str(path)])
    log = []
    tell_listeners(registry, events.EpochFinished("t", "m", "d", 0, 7, 1.0, 2.0), log.append)
    tell_listeners(registry, events.RunFinished("suite", {}), log.append)
    tell_listeners(registry, events.Message("nobody listens"), log.append)
    (module,) = [sys.modules[name] for name in sys.modules if name.startswith("bench_plugin_list")]
    assert module.seen == [7]
    assert len(log) == 1
    assert log[0].startswith("bench_run_finished of plugin listener (file ")
    assert log[0].endswith("failed: ValueError: by design")
