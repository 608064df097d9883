"""AUROCs while a run goes on: the same as at its end, soon, cheap, and never harmful."""

from __future__ import annotations

import shutil

import pytest

from harness import events
from harness.events import CellKnown, JobFinished
from harness.run.outcome import score_stored
from harness.scoring import preview
from harness.scoring.preview import Preview
from tests.places import settings_in
from tests.unit import stored


class Clock:
    """Time that passes only when it is told to."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def folder(made, tmp_path):
    return stored.copy(made, tmp_path)


def preview_of(folder, seen, clock):
    plan, _ = stored.plan_of(folder)
    clock.now += 1
    return plan, Preview(plan, stored.store(folder), seen.append, clock, clock)


def aside(folder, plan, jobs):
    """Take statistics away, as if they were not computed yet; how to put each back."""
    store = stored.store(folder)
    keys = {job: plan.keys(store).statistic_key(job) for job in jobs}
    for key in keys.values():
        store.path("statistics", key).rename(folder / key)
    return lambda job: (folder / keys[job]).rename(store.path("statistics", keys[job]))


def known(seen):
    return {
        (event.scorer, event.out_dataset, event.epoch): event.auroc
        for event in seen
        if isinstance(event, CellKnown)
    }


def at_end(folder, plan):
    results = score_stored(plan, settings_in(folder), lambda event: None).results
    return {(x.cell.scorer, x.cell.out_dataset, x.cell.epoch): x.metrics.auroc for x in results}


def test_cells_are_known_as_soon_as_their_last_statistic_is_stored(folder):
    plan, _ = stored.plan_of(folder)
    last = next(job for job in plan.cells[0].jobs() if job.draw.role == "out")
    fit = next(job for job in plan.cells[0].jobs() if job.draw.role == "fit")
    put_back = aside(folder, plan, [last, fit])
    seen, clock = [], Clock()
    plan, follow = preview_of(folder, seen, clock)
    clock.now += 1
    follow(events.Message("the other epoch is stored already"))
    assert {epoch for _, _, epoch in known(seen)} == {2}
    follow(JobFinished("flow on digits", str(last)))  # it lies: nothing is there
    put_back(last)
    follow(JobFinished("flow on digits", str(last)))
    assert len(known(seen)) == 2
    put_back(fit)
    follow(JobFinished("flow on digits", str(fit)))
    assert known(seen) == at_end(folder, plan)
    follow(JobFinished("flow on digits", str(fit)))
    assert len(seen) == 4  # each once


def test_it_takes_no_more_than_its_share_of_the_time(folder, monkeypatch):
    monkeypatch.setattr(preview, "AT_ONCE", 1)
    seen, clock = [], Clock()
    plan, _ = stored.plan_of(folder)

    def slow(event):
        seen.append(event)
        clock.now += 10  # each takes ten seconds

    follow = Preview(plan, stored.store(folder), slow, clock, clock)
    for _ in range(100):
        follow(events.Message("nothing"))
    assert len(seen) == 1
    clock.now = 1000 + 10 / preview.SHARE - 1
    follow(events.Message("nothing"))
    assert len(seen) == 1
    clock.now += 1
    follow(events.Message("nothing"))
    assert len(seen) == 2


def test_damage_is_left_for_the_run_to_find(folder):
    seen, clock = [], Clock()
    _, follow = preview_of(folder, seen, clock)
    files = list((folder / "store" / "statistics").glob("*/values.npy"))
    for path in files:
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    follow(events.Message("score"))
    assert seen == []
    assert all(path.exists() for path in files)
    assert not (folder / "store" / "quarantine").exists()


def test_whatever_goes_wrong_ends_the_preview_only(folder):
    clock = Clock()
    plan, _ = stored.plan_of(folder)

    def broken(event):
        raise ValueError("by design")

    follow = Preview(plan, stored.store(folder), broken, clock)
    follow(events.Message("score"))
    shutil.rmtree(folder / "store")
    follow(JobFinished("flow on digits", "x"))


def test_a_run_of_very_many_cells_has_none(folder, monkeypatch):
    monkeypatch.setattr(preview, "MOST_CELLS", 3)
    seen, clock = [], Clock()
    _, follow = preview_of(folder, seen, clock)
    follow(events.Message("score"))
    assert seen == []
