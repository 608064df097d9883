"""The rolling state: a training that is cut off within an epoch goes on from there."""

from __future__ import annotations

import pytest

from harness import events
from harness.cli.display.displays import NoDisplay
from harness.compute import rolling
from harness.run.run import run
from harness.store.hashing import digest
from harness.store.records import Store
from harness.suite import load_suite


class Cut(BaseException):
    """Ends a run as a kill would."""


class Steps:
    """Follows the training steps of a run in this process, and cuts it off at one of them."""

    def __init__(self, monkeypatch):
        from harness.compute.trainer import Training

        self.count, self.cut_at = 0, None
        original = Training._step

        def step(training, *arguments):
            self.count += 1
            if self.count == self.cut_at:
                raise Cut
            return original(training, *arguments)

        monkeypatch.setattr(Training, "_step", step)


@pytest.fixture
def steps(monkeypatch):
    return Steps(monkeypatch)


@pytest.fixture
def suite(tiny_suite):
    """Epochs 0 and 3 of 4 steps each."""
    text = tiny_suite.read_text().replace("[0, 2]", "[0, 3]").replace("[1, 5]", "[1]")
    text = text.replace('"typicality", "gradient-gaussian"', "")
    tiny_suite.write_text(text)
    return load_suite(tiny_suite)


@pytest.fixture
def undisturbed(suite, settings, tmp_path, steps):
    from dataclasses import replace

    apart = replace(settings, store=tmp_path / "apart")
    rows = rows_of(run(suite, apart, NoDisplay()))
    assert steps.count == 12
    assert not list(apart.store.glob("rolling/*/*"))
    steps.count = 0
    return rows


def rows_of(outcome):
    return [result.to_json() for result in outcome.results]


def at_every_step(monkeypatch):
    assert rolling.MINUTES == 5
    monkeypatch.setattr(rolling, "MINUTES", 0)


def kept(settings):
    return sorted(path.name for path in settings.store.glob("rolling/*/*"))


def test_a_training_cut_off_within_an_epoch_goes_on_there(
    suite, settings, undisturbed, steps, monkeypatch
):
    at_every_step(monkeypatch)
    steps.cut_at = 8
    with pytest.raises(Cut):
        run(suite, settings, NoDisplay())
    assert kept(settings) == ["step-000000007"]  # in the second epoch, which has no checkpoint
    steps.count, steps.cut_at = 0, None
    assert rows_of(run(suite, settings, NoDisplay())) == undisturbed
    assert steps.count == 12 - 7
    assert kept(settings) == []


def test_a_damaged_state_is_named_and_left_out(suite, settings, undisturbed, steps, monkeypatch):
    at_every_step(monkeypatch)
    steps.cut_at = 8
    with pytest.raises(Cut):
        run(suite, settings, NoDisplay())
    (path,) = settings.store.glob("rolling/*/*/model.safetensors")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))
    steps.count, steps.cut_at = 0, None
    seen = []
    assert rows_of(run(suite, settings, seen.append)) == undisturbed
    assert steps.count == 12  # from epoch 0
    (text,) = [event.text for event in seen if isinstance(event, events.Message)]
    assert text == (
        f"{path} is damaged: its checksum does not match; set aside, trained from an earlier state"
    )


def test_a_damaged_checkpoint_before_the_state_is_made_again_in_the_same_run(
    suite, settings, undisturbed, steps, monkeypatch
):
    at_every_step(monkeypatch)
    steps.cut_at = 8
    with pytest.raises(Cut):
        run(suite, settings, NoDisplay())
    (path,) = settings.store.glob("checkpoints/*/epoch-000000/optimizer.safetensors")
    path.unlink()
    steps.count, steps.cut_at = 0, None
    assert rows_of(run(suite, settings, NoDisplay())) == undisturbed
    assert steps.count == 12 - 7


def test_a_state_that_cannot_be_written_stops_nothing(
    suite, settings, undisturbed, steps, monkeypatch
):
    at_every_step(monkeypatch)
    settings.store.mkdir()
    (settings.store / "rolling").write_text("a file where the folder should be")
    seen = []
    assert rows_of(run(suite, settings, seen.append)) == undisturbed
    texts = {event.text for event in seen if isinstance(event, events.Message)}
    assert len(texts) == 1
    assert texts.pop().startswith("rolling state not written, training goes on: [Errno 20]")


def test_an_earlier_epoch_asked_for_later_leaves_the_state_to_the_later_one(
    suite, settings, undisturbed, steps, monkeypatch, tiny_suite
):
    at_every_step(monkeypatch)
    steps.cut_at = 11
    with pytest.raises(Cut):
        run(suite, settings, NoDisplay())
    assert kept(settings) == ["step-000000010"]
    tiny_suite.write_text(tiny_suite.read_text().replace("[0, 3]", "[0, 1, 3]"))
    steps.count, steps.cut_at = 0, None
    rows = rows_of(run(load_suite(tiny_suite), settings, NoDisplay()))
    assert [row for row in rows if row["epoch"] != 1] == undisturbed
    assert steps.count == 4 + 12 - 10  # epoch 1 anew, and the rest of epoch 3
    assert kept(settings) == []


def test_a_state_says_where_it_is(suite, settings, steps, monkeypatch):
    at_every_step(monkeypatch)
    steps.cut_at = 8
    with pytest.raises(Cut):
        run(suite, settings, NoDisplay())
    store = Store(settings.store)
    (key,) = store.keys(rolling.ROLLING)
    assert key.endswith("/step-000000007")
    manifest = store.manifest(rolling.ROLLING, key)
    assert manifest.facts == {"epoch": 1, "steps": 7}
    assert digest(manifest.inputs) == key.split("/")[0]


def test_five_minutes_of_work_are_lost_at_most(tmp_path):
    now = [100.0]
    kept = []
    state = rolling.Rolling(Store(tmp_path), "key", {}, kept.append, clock=lambda: now[0])
    state._keep = lambda training: kept.append(now[0])
    for now[0] in (399.9, 400.0, 699.0, 700.5, 800.0):
        state.keep_if_due(None)
    state.postpone()  # a checkpoint is stored at 800
    for now[0] in (1099.0, 1100.0):
        state.keep_if_due(None)
    assert kept == [400.0, 700.5, 1100.0]
