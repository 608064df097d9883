"""Scores that are kept: what is read back is what scoring gives, and nothing stale is."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import harness
from harness.errors import StoreError
from harness.plan.expand import select
from harness.plan.keys import checkpoint_key
from harness.report.render.formats import render
from harness.results import Cell, Result
from harness.run.outcome import cached_outcome, score_stored
from harness.run.prepare import plan_unopened
from harness.run.run import run
from harness.scoring import cache as kept
from harness.scoring import score as scoring
from harness.scoring.cache import NUMBERS, ScoreCacheWriter, read_score_cache
from harness.store.layout import CHECKPOINTS, STATISTICS
from harness.suite import load_suite
from tests.places import settings_in
from tests.unit import stored


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy of the store of a small suite, all of whose scores are kept."""
    monkeypatch.setattr(kept, "KEPT_FROM", 1)
    return stored.copy(made, tmp_path)


def looked_up(folder, only=()):
    settings = settings_in(folder)
    return cached_outcome(
        plan_unopened(select(load_suite(folder / "small.toml"), only), settings), settings
    )


def scored(folder):
    settings = settings_in(folder)
    plan = plan_unopened(load_suite(folder / "small.toml"), settings)
    return score_stored(plan, settings, lambda event: None)


def file_of(folder):
    return folder / "store" / "results" / "small" / "scored.npz"


def fresh(folder, monkeypatch, **changes):
    """How many cells are scored when the results are looked up."""
    count = []
    whole = scoring._Scoring.result

    def counted(self, planned):
        count.append(planned)
        return whole(self, planned)

    with monkeypatch.context() as patch:
        patch.setattr(scoring._Scoring, "result", counted)
        outcome = looked_up(folder, **changes)
    return len(count), outcome


def assert_same(found, expected):
    assert [item.to_json() for item in found.results] == [
        item.to_json() for item in expected.results
    ]
    for a, b in zip(found.results, expected.results, strict=True):
        assert list(a.provenance) == list(b.provenance)
        assert a.scores_in.tolist() == b.scores_in.tolist()
        assert a.scores_out.tolist() == b.scores_out.tolist()
    texts = [
        render(x.results, suite="small", title="", format="json", console=None)
        for x in (found, expected)
    ]
    assert texts[0] == texts[1]


def test_what_is_read_back_is_what_scoring_gives(folder, monkeypatch):
    expected = scored(folder)
    assert fresh(folder, monkeypatch)[0] == 4
    count, found = fresh(folder, monkeypatch)
    assert count == 0
    assert_same(found, expected)
    count, part = fresh(folder, monkeypatch, only=("epoch=2",))
    whole = [item.to_json() for item in expected.results if item.cell.epoch == 2]
    assert (count, [item.to_json() for item in part.results]) == (0, whole)


def test_a_number_that_is_not_known_is_read_back_as_such(tmp_path):
    sides = {"scores_in": np.arange(3.0), "scores_out": np.arange(4.0)}
    numbers = dict(zip(NUMBERS, np.linspace(0.1, 0.9, len(NUMBERS)).tolist(), strict=True))
    facts = {"statistics": {"log_prob": {"key": "k"}}, "fit": {"mean": 1.0}}
    whole = Result(Cell("m", "i", "o", "s", 1, 1, 0), "ok", **numbers, **sides, provenance=facts)
    results = [whole, replace(whole, bits_per_dim_out=None, ovl=None), whole]
    writer = ScoreCacheWriter()
    for number, result in enumerate(results, start=5):
        writer.add(number, result, ["a note"])
    path = tmp_path / "scored.npz"
    path.write_bytes(writer.content({}))
    read = read_score_cache(path, lambda head: True)
    assert read.find(4) is None
    for number, result in enumerate(results, start=5):
        found = read.find(number)
        assert found.numbers == [getattr(result, name) for name in NUMBERS]
        assert (found.statistics, found.fit, found.notes) == (*facts.values(), ["a note"])
        assert (len(found.scores_in), len(found.scores_out)) == (3, 4)


def test_a_run_keeps_its_scores(folder, monkeypatch):
    file_of(folder).unlink(missing_ok=True)
    run(load_suite(folder / "small.toml"), settings_in(folder), lambda event: None)
    assert fresh(folder, monkeypatch)[0] == 0


def test_a_selection_keeps_nothing(folder):
    looked_up(folder, only=("epoch=2",))
    assert not file_of(folder).exists()


def test_few_cells_are_not_kept(made, tmp_path):
    folder = stored.copy(made, tmp_path)
    looked_up(folder)
    assert not file_of(folder).exists()


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_damaged_file_is_no_matter(folder, monkeypatch, place):
    looked_up(folder)
    content = bytearray(file_of(folder).read_bytes())
    content[int(place * len(content))] ^= 1
    file_of(folder).write_bytes(content)
    assert_same(looked_up(folder), scored(folder))
    file_of(folder).write_bytes(b"PK")
    assert fresh(folder, monkeypatch)[0] == 4


def test_other_code_scores_anew(folder, monkeypatch):
    looked_up(folder)
    monkeypatch.setattr(kept, "_code", lambda packages: "other")
    assert fresh(folder, monkeypatch)[0] == 4
    assert fresh(folder, monkeypatch)[0] == 0


def test_a_source_file_that_changes_is_other_code(folder, tmp_path, monkeypatch):
    packages = load_suite(folder / "small.toml").fingerprint().packages
    assert packages == {"plugins"}
    copied = tmp_path / "sources"
    shutil.copytree(
        Path(harness.__file__).parent,
        copied,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    monkeypatch.setattr(kept, "_sources", lambda package: copied.rglob("*.py"))
    before = kept._code(packages)
    assert before == kept._code(packages)
    (copied / "metrics" / "roc.py").write_text((copied / "metrics" / "roc.py").read_text() + "\n")
    assert kept._code(packages) != before


def test_the_sources_are_those_of_the_harness_and_the_plugins():
    assert {"roc.py", "score.py"} <= {path.name for path in kept._sources("harness")}
    assert "typicality.py" in {path.name for path in kept._sources("plugins")}
    assert [path.name for path in kept._sources("this")] == ["this.py"]
    assert list(kept._sources("no_such_package")) == []


def test_another_scorer_of_the_same_name_scores_anew(folder, monkeypatch):
    looked_up(folder)
    path = folder / "small.toml"
    text = path.read_text()
    path.write_text(
        text.replace(
            "[[comparisons]]", '[scorers.typicality]\nplugin = "log-likelihood"\n\n[[comparisons]]'
        )
    )
    count, found = fresh(folder, monkeypatch)
    assert count == 4
    assert_same(found, scored(folder))


def test_a_plugin_file_that_changes_scores_anew(folder, monkeypatch):
    plugin = folder / "mine.py"
    plugin.write_text(textwrap.dedent(PLUGIN))
    path = folder / "small.toml"
    text = 'plugins.paths = ["mine.py"]\n' + textwrap.dedent(path.read_text())
    path.write_text(text.replace('"typicality"', '"mine"'))
    first = looked_up(folder)
    assert fresh(folder, monkeypatch)[0] == 0
    plugin.write_text(textwrap.dedent(PLUGIN).replace("SIGN = 1", "SIGN = -1"))
    count, second = fresh(folder, monkeypatch)
    assert count == 4
    for a, b in zip(first.results, second.results, strict=True):
        other = 1 - b.auroc if b.cell.scorer == "mine" else b.auroc
        assert a.auroc == pytest.approx(other)


PLUGIN = """
    from oodbench import Entry, hookimpl

    SIGN = 1


    class Mine:
        inputs = ("log_prob",)

        def fit(self, statistics):
            pass

        def score(self, statistics):
            return SIGN * statistics["log_prob"].mean((1, 2))


    @hookimpl
    def bench_scorers():
        return [Entry("mine", ":Mine", "A mean.", "1")]
"""


def test_a_cell_whose_statistic_is_gone_is_pending(folder):
    expected = len(looked_up(folder).results)
    store = stored.store(folder)
    plan, _ = stored.plan_of(folder)
    job = next(iter(plan.cells[0].reads.values()))[2]
    store.quarantine(STATISTICS, plan.statistic_key(store, job))
    found = looked_up(folder)
    assert found.pending
    assert len(found.results) + len(found.pending) == expected


def test_what_has_come_since_is_scored_and_the_rest_read_back(folder, monkeypatch):
    store = stored.store(folder)
    plan, _ = stored.plan_of(folder)
    job = next(iter(plan.cells[0].reads.values()))[2]
    key = plan.statistic_key(store, job)
    aside = store.quarantine(STATISTICS, key)
    late = len(looked_up(folder).pending)
    assert 0 < late < len(plan.cells)
    aside.rename(store.path(STATISTICS, key))
    count, found = fresh(folder, monkeypatch)
    assert count == late
    assert_same(found, scored(folder))


def test_other_weights_leave_nothing_of_the_old(folder):
    looked_up(folder)
    store = stored.store(folder)
    plan, _ = stored.plan_of(folder)
    (chain,) = plan.chains
    key = checkpoint_key(plan.train_key(chain), 2)
    old = store.manifest(CHECKPOINTS, key)
    store.quarantine(CHECKPOINTS, key)
    assert {cell.epoch for cell in looked_up(folder).pending} == {2}
    content = {"model.safetensors": b"others"}
    store.write(CHECKPOINTS, key, content, inputs=old.inputs, facts=old.facts)
    assert {cell.epoch for cell in looked_up(folder).pending} == {2}


def test_other_examples_leave_nothing_of_the_old(folder):
    looked_up(folder)
    store = stored.store(folder)
    plan, _ = stored.plan_of(folder)
    assert all(map(kept.ScoreCache(plan, store).find, plan.cells))
    name = plan.cells[0].cell.out_dataset
    others = dict.fromkeys(plan.prepared[name].fingerprints, "0" * 64)
    changed = replace(plan.prepared[name], fingerprints=others)
    for prepared in ({**plan.prepared, name: changed}, {}):
        again = replace(plan, prepared=prepared)
        assert not any(map(kept.ScoreCache(again, store).find, plan.cells))


def test_a_title_changes_no_score_but_an_order_of_data_sets_does(folder):
    path = folder / "small.toml"
    before, text = load_suite(path).fingerprint(), path.read_text()
    path.write_text(text.replace('title = "Tiny"', 'title = "Other"'))
    assert load_suite(path).fingerprint() == before
    first, second = text.index("[datasets.noise]"), text.index("[datasets.photos]")
    end = text.index("[[comparisons]]")
    path.write_text(text[:first] + text[second:end] + text[first:second] + text[end:])
    assert load_suite(path).fingerprint() != before


def test_where_nothing_can_be_written_all_is_scored(folder, monkeypatch):
    def refuse(path, content):
        raise PermissionError(13, "no", str(path))

    monkeypatch.setattr(kept, "replace_file", refuse)
    assert_same(looked_up(folder), scored(folder))
    assert not file_of(folder).exists()


def test_a_failure_is_not_kept(folder, monkeypatch):
    def fail(self, planned):
        raise StoreError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(scoring._Scoring, "_score", fail)
        assert {result.status for result in looked_up(folder).results} == {"failed"}
    assert fresh(folder, monkeypatch)[0] == 4
