"""Saved results: what is read back is what scoring gives, and nothing stale is."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import harness
from harness import events
from harness.errors import BenchError, StoreError
from harness.plan.expand import select
from harness.plan.keys import checkpoint_key
from harness.report.render.formats import render
from harness.results import Cell, Metrics, Result
from harness.run import basis, outcome, saved
from harness.run.basis import Basis
from harness.run.outcome import cached_outcome, score_stored
from harness.run.prepare import plan_unopened
from harness.run.run import run
from harness.run.saved import VERSION, read_results, results_folder, save_results, suite_folder
from harness.scoring import score as scoring
from harness.store.layout import CHECKPOINTS, STATISTICS
from harness.suite import load_suite
from tests.places import settings_in
from tests.unit import stored


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy of the store of a small suite, all of whose scores are kept."""
    monkeypatch.setattr(outcome, "SAVED_FROM", 1)
    folder = stored.copy(made, tmp_path)
    file_of(folder).unlink(missing_ok=True)
    return folder


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
    return folder / "store" / "results" / "small" / "results.npz"


def fresh(folder, monkeypatch, **changes):
    """How many cells are scored when the results are looked up."""
    count = []
    whole = scoring._CellScorer.result

    def counted(self, planned):
        count.append(planned)
        return whole(self, planned)

    with monkeypatch.context() as patch:
        patch.setattr(scoring._CellScorer, "result", counted)
        found = looked_up(folder, **changes)
    return len(count), found


def assert_same(found, expected):
    assert [item.to_json() for item in found.results] == [
        item.to_json() for item in expected.results
    ]
    for a, b in zip(found.results, expected.results, strict=True):
        assert list(a.provenance) == list(b.provenance)
        assert [type(value) for value in a.metrics] == [type(value) for value in b.metrics]
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


def by_hand(folder, *results):
    plan, _ = stored.plan_of(folder)
    save_results(plan, stored.store(folder), results, None)
    return results_folder(plan, stored.store(folder))


def test_suites_of_the_same_name_keep_their_results_apart(folder):
    def run_said(path):
        said = []
        run(load_suite(path), settings_in(folder), said.append)
        return [x.text for x in said if isinstance(x, events.Message)]

    first = folder / "small.toml"
    second = folder / "b" / "small.toml"
    second.parent.mkdir()
    second.write_text(first.read_text().replace("epochs = [0, 2]", "epochs = 0"))
    assert run_said(first) == []
    before = file_of(folder).read_bytes()
    (said,) = run_said(second)
    plan = plan_unopened(load_suite(second), settings_in(folder))
    place = suite_folder(plan, stored.store(folder))
    usual = file_of(folder).parent
    assert place.parent == usual
    assert said == f"{usual} has the results of {first}; those of this run: {place}"
    assert file_of(folder).read_bytes() == before
    assert {item.cell.epoch for item in read_results(place).results()} == {0}
    assert run_said(second) == [said]
    assert run_said(first) == []
    first.unlink()  # as when a suite moves to another folder
    assert run_said(second) == []
    assert {item.cell.epoch for item in read_results(usual).results()} == {0}


def test_a_copy_of_suite_and_store_belongs_together(folder, tmp_path):
    run(load_suite(folder / "small.toml"), settings_in(folder), lambda event: None)
    other = tmp_path / "copied"
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns("copied"))
    plan, _ = stored.plan_of(other)
    assert suite_folder(plan, stored.store(other)) == file_of(other).parent


def whole(name, **values):
    numbers = dict(
        zip(Metrics._fields, np.linspace(0.1, 0.9, len(Metrics._fields)).tolist(), strict=True)
    )
    metrics = Metrics(**{**numbers, "n_in": 3, "n_out": 4, "n_fit": 7, **values})
    facts = {"statistics": {"log_prob": {"key": "k"}}, "fit": {"mean": 1.0}, "notes": ["a note"]}
    sides = {"scores_in": np.arange(3.0), "scores_out": np.arange(4.0), "refits": np.ones(7)}
    return Result(Cell("m", "i", name, "s", 1, 2, 3), "ok", "", metrics, provenance=facts, **sides)


def test_numbers_failures_and_provenance_are_read_back(folder):
    lacking = whole("b", bits_per_dim_out=None, ovl=None)
    results = [whole("a"), lacking, Result(Cell("m", "i", "c", "s", 1, 2, 3), "failed", "why")]
    found = read_results(by_hand(folder, *results)).results()
    assert [item.to_json() for item in found] == [
        {**item.to_json(), "provenance": item.provenance} for item in results
    ]
    assert [item.cell for item in found] == [item.cell for item in results]
    assert found[0].scores_in.tolist() == [0.0, 1.0, 2.0]
    assert found[0].scores_out.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert found[0].refits.tolist() == [1.0] * 7
    assert found[2].scores is None


def test_a_file_from_before_errors_had_parts(folder):
    """Its standard error covers the examples; the fit is unknown."""
    path = by_hand(folder, whole("a"))
    new = ("auroc_se_examples", "auroc_se_fit", "n_fit", "refits")
    change(path / "results.npz", lambda arrays: [arrays.pop(name) for name in new])
    (found,) = read_results(path).results()
    old = whole("a").metrics.auroc_se
    assert (
        found.metrics == whole("a", auroc_se_examples=old, auroc_se_fit=None, n_fit=None).metrics
    )
    assert found.refits is None


def change(path, changes):
    with np.load(path) as file:
        arrays = dict(file)
    changes(arrays)
    np.savez(path, **arrays)


def test_columns_are_found_by_name(folder):
    """As of a version that has a metric more, and of one that has a metric less."""
    path = by_hand(folder, whole("a"), whole("b"))
    change(path / "results.npz", lambda arrays: arrays.update(later=np.zeros(2)))
    assert read_results(path).results()[0].metrics == whole("a").metrics
    change(path / "results.npz", lambda arrays: arrays.pop("ovl"))
    assert read_results(path).results()[1].metrics == whole("b", ovl=None).metrics


def test_bits_of_an_older_file_are_of_the_middle_of_the_bin(folder):
    """They are not shown as bits per dimension, which have noise now."""
    path, midpoints = by_hand(folder, whole("a")), ("midpoint_in", "midpoint_out")
    change(
        path / "results.npz",
        lambda arrays: [arrays.pop(f"bits_per_dim_{name}") for name in midpoints],
    )
    before, found = whole("a").metrics, read_results(path).results()[0].metrics
    assert (found.bits_per_dim_in, found.bits_per_dim_out, found.ovl) == (None, None, None)
    assert found.bits_per_dim_midpoint_in == before.bits_per_dim_in
    assert found.bits_per_dim_midpoint_out == before.bits_per_dim_out
    assert found.aupr_in == before.aupr_in


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("scores_in", np.array([99, 0], np.int32)),
        ("scores_out", np.array([-1, 1], np.int32)),
        ("n_in", np.array([np.inf, 3.0])),
        ("model", np.array([7, 0], np.int32)),
        ("ends", np.array([0, 3])),
        ("auroc", np.array([0.5])),
    ],
)
def test_a_file_whose_columns_do_not_fit_together_is_refused(folder, name, values):
    path = by_hand(folder, whole("a"), whole("b"))
    change(path / "results.npz", lambda arrays: arrays.update({name: values}))
    with pytest.raises(BenchError, match="its results cannot be read"):
        read_results(path)


@pytest.mark.parametrize(
    "damaged", [[], "code", {}, {"code": 1}, {"keys": 1}, {"keys": [[]]}, {"read": None}]
)
def test_a_damaged_basis_never_holds(folder, damaged):
    looked_up(folder)
    plan, _ = stored.plan_of(folder)
    sound = read_results(file_of(folder).parent).basis
    today = Basis(plan, stored.store(folder))
    assert today.holds(sound)
    assert not today.holds(sound | damaged if damaged and isinstance(damaged, dict) else damaged)


def test_another_version_is_refused_by_its_number(folder):
    path = by_hand(folder, whole("a"))

    def later(arrays):
        head = arrays["head"].tobytes().replace(b'"version": 1', b'"version": 7')
        arrays["head"] = np.frombuffer(head, np.uint8)

    change(path / "results.npz", later)
    with pytest.raises(BenchError) as error:
        read_results(path)
    assert str(error.value) == (
        f"{path / 'results.npz'}: saved results of version 7; this is version {VERSION}: bench "
        "run SUITE saves the results again from stored statistics"
    )
    (path / "results.npz").unlink()
    with pytest.raises(BenchError, match="saved results of version 0, without results.npz"):
        read_results(path)


def test_a_run_keeps_its_scores(folder, monkeypatch):
    file_of(folder).unlink(missing_ok=True)
    run(load_suite(folder / "small.toml"), settings_in(folder), lambda event: None)
    assert fresh(folder, monkeypatch)[0] == 0


def test_a_selection_keeps_nothing(folder):
    looked_up(folder, only=("epoch=2",))
    assert not file_of(folder).exists()


def test_a_report_of_few_cells_scores_them_and_saves_nothing(folder, monkeypatch):
    monkeypatch.setattr(outcome, "SAVED_FROM", 5)
    assert [fresh(folder, monkeypatch)[0] for _ in range(2)] == [4, 4]
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
    monkeypatch.setattr(basis, "_code", lambda packages: "other")
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
    monkeypatch.setattr(basis, "_sources", lambda package: copied.rglob("*.py"))
    before = basis._code(packages)
    assert before == basis._code(packages)
    (copied / "metrics" / "roc.py").write_text((copied / "metrics" / "roc.py").read_text() + "\n")
    assert basis._code(packages) != before


def test_the_sources_are_those_of_the_harness_and_the_plugins():
    assert {"roc.py", "score.py"} <= {path.name for path in basis._sources("harness")}
    assert "typicality.py" in {path.name for path in basis._sources("plugins")}
    assert [path.name for path in basis._sources("this")] == ["this.py"]
    assert list(basis._sources("no_such_package")) == []


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
        other = 1 - b.metrics.auroc if b.cell.scorer == "mine" else b.metrics.auroc
        assert a.metrics.auroc == pytest.approx(other)


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
    job = next(iter(plan.cells[0].reads.values())).out
    store.quarantine(STATISTICS, plan.keys(store).statistic_key(job))
    found = looked_up(folder)
    assert found.pending
    assert len(found.results) + len(found.pending) == expected


def test_what_has_come_since_is_scored_and_the_rest_read_back(folder, monkeypatch):
    store = stored.store(folder)
    plan, _ = stored.plan_of(folder)
    job = next(iter(plan.cells[0].reads.values())).out
    key = plan.keys(store).statistic_key(job)
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
    saved_basis = read_results(file_of(folder).parent).basis
    assert Basis(plan, store).holds(saved_basis)
    name = plan.cells[0].cell.out_dataset
    others = dict.fromkeys(plan.prepared[name].fingerprints, "0" * 64)
    changed = replace(plan.prepared[name], fingerprints=others)
    for prepared in ({**plan.prepared, name: changed}, {}):
        again = replace(plan, prepared=prepared)
        assert not Basis(again, store).holds(saved_basis)


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

    monkeypatch.setattr(saved, "replace_file", refuse)
    assert_same(looked_up(folder), scored(folder))
    assert not file_of(folder).exists()


def test_a_failure_is_not_kept(folder, monkeypatch):
    def fail(self, planned):
        raise StoreError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(scoring._CellScorer, "_score", fail)
        assert {result.status for result in looked_up(folder).results} == {"failed"}
    assert fresh(folder, monkeypatch)[0] == 4
