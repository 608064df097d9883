"""The events of a run on disk."""

from __future__ import annotations

import json
import re

import pytest

from harness import events
from harness.errors import StoreError
from harness.run.event_log import EventLog, event_json, new_run_folder, read_events
from harness.run.run import run, run_started
from harness.suite import load_suite
from tests.places import settings_in
from tests.unit import stored

STORY = [
    events.StepStarted("data", "opening data sets", 2, "sets"),
    events.RunStarted("suite", 1, 1),
    events.StepAdvanced("flow", 320),
    events.EpochFinished("flow", "flow", "digits [x]\n", 0, 1, 7.25, 2.0),
    events.CellFinished({"auroc": 0.5, "provenance": {"long": "story"}}),
    events.RunFinished("suite", {"ok": 1}),
    events.Message("afterwards"),
]


def told(folder, story):
    warnings = []
    with EventLog(warnings.append) as log:
        for event in story:
            if isinstance(event, events.RunStarted):
                event = events.RunStarted("suite", 1, 1, folder=str(folder))
            log(event)
    return warnings


def test_events_of_a_run_are_kept_from_before_its_start_to_its_end(tmp_path):
    assert told(tmp_path / "run", STORY) == []
    found = list(read_events(tmp_path / "run" / "events.jsonl"))
    assert [item["event"] for item in found] == [
        *("StepStarted", "RunStarted", "EpochFinished", "CellFinished", "RunFinished"),
    ]
    assert {item["v"] for item in found} == {1}
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:]{8}\.\d{3}Z", item["time"]) for item in found)
    assert (found[2]["dataset"], found[2]["train_bits_per_dim"]) == ("digits [x]\n", 7.25)
    assert found[3]["result"] == {"auroc": 0.5}
    assert STORY[4].result["provenance"] == {"long": "story"}  # that of the event stays


def test_without_a_run_nothing_is_written(tmp_path):
    told(tmp_path, [event for event in STORY if not isinstance(event, events.RunStarted)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_last_line_that_a_kill_has_torn_is_left_out(tmp_path, cut):
    told(tmp_path, STORY)
    path = tmp_path / "events.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    assert [item["event"] for item in read_events(path)][-1] == "CellFinished"


def test_damage_elsewhere_is_named(tmp_path):
    path = tmp_path / "events.jsonl"
    told(tmp_path, STORY)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], "{\n", *lines[2:]]))
    with pytest.raises(StoreError, match="events.jsonl:3: not an event"):
        list(read_events(path))
    path.write_text('{"v": 2}\n')
    with pytest.raises(StoreError, match="events.jsonl:1: not an event with version 1"):
        list(read_events(path))
    with pytest.raises(StoreError, match="cannot be read"):
        list(read_events(tmp_path / "other"))


def test_a_folder_that_cannot_be_written_is_said_once_and_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    (warning,) = told(tmp_path / "file" / "run", STORY)
    assert warning.startswith("the events of this run are no longer kept: ")


def test_two_runs_have_folders_of_their_own(tmp_path):
    folder = new_run_folder(tmp_path, "suite")
    assert folder.parent == tmp_path / "runs" / "suite"
    assert re.fullmatch(r"\d{8}T\d{6}Z-\d+-[0-9a-f]{6}", folder.name)
    assert new_run_folder(tmp_path, "suite") != folder
    assert not folder.exists()


def test_a_run_announces_its_trainings_and_tables_in_plain_data(made, tmp_path):
    stored.copy(made, tmp_path)
    plan, _ = stored.plan_of(tmp_path)
    event = run_started(plan, 3, tmp_path / "run")
    assert json.loads(json.dumps(event_json(event))) == event_json(event)
    (training,) = event.trainings
    assert (training["model"], training["in"], training["seed"]) == ("flow", "digits", 0)
    assert training["options"]["levels"] == 1
    assert training["recipe"]["minibatch"] == 64
    assert training["epochs"] == [0, 2]
    assert training["plugin"]["plugin"] == "glow"
    assert event.tables == [
        {
            "model": "flow",
            "in": "digits",
            "group_size": 1,
            "unit": "epoch",
            "out": ["noise"],
            "scorers": ["log-likelihood", "typicality"],
            "epochs": [0, 2],
            "seeds": [0],
        }
    ]
    assert (event.suite, event.jobs, event.cells, event.only) == ("small", 3, 4, [])


def test_a_run_tells_of_its_folder_and_leaves_it_to_those_who_write(made, tmp_path):
    stored.copy(made, tmp_path)
    seen = []
    run(load_suite(tmp_path / "small.toml"), settings_in(tmp_path), seen.append)
    (started,) = [event for event in seen if isinstance(event, events.RunStarted)]
    assert started.folder.startswith(str(tmp_path / "store" / "runs" / "small"))
    assert not (tmp_path / "store" / "runs").exists()
