"""Cells in which a trivial baseline beats the scorer under test."""

from __future__ import annotations

import json
import re
import textwrap

import numpy as np
import pytest

from harness.regression.runs import load_run
from harness.report.render.formats import render
from harness.results import Beaten, Cell
from harness.run.outcome import score_stored
from harness.run.prepare import plan_unopened
from harness.run.run import run
from harness.scoring.baselines import flag_beaten
from harness.suite import load_suite
from tests.made_results import made_result
from tests.places import settings_in
from tests.unit import stored


def result(scorer, auroc, *, se=0.01, shift=None, out="svhn", epoch=4, seed=0, n=40):
    """A result; with a `shift`, its scores are those of 40 groups a side, OOD so much higher."""
    cell = Cell("glow", "cifar10", out, scorer, epoch, 1, seed)
    ranks = np.arange(n, dtype=np.float64)
    scores = {} if shift is None else {"scores_in": ranks, "scores_out": ranks + shift}
    return made_result(cell, "ok", auroc=auroc, auroc_se=se, **scores)


def beaten(results, baselines=("dark", "png")):
    return {
        (item.cell.scorer, item.cell.out_dataset): item.beaten_by
        for item in flag_beaten(results, baselines)
    }


def test_only_a_higher_auroc_in_the_same_cell_beats():
    results = [
        result("a", 0.6),
        result("a", 0.7, out="noise"),
        result("dark", 0.9),
        result("dark", 0.7, out="noise"),
        result("dark", 0.99, epoch=5),
        result("dark", 0.99, seed=1),
        result("png", 0.5),
        result("b", 0.95),
    ]
    found = beaten(results)
    assert {key: [x.scorer for x in value] for key, value in found.items() if value} == {
        ("a", "svhn"): ["dark"]
    }
    assert found["a", "svhn"][0].difference == pytest.approx(0.3)
    assert found["a", "svhn"][0].beyond_error is True  # 0.3 > 1.96 (0.01 + 0.01)


def test_baselines_are_not_judged_and_a_failed_scorer_is_not_beaten():
    failed = made_result(Cell("glow", "cifar10", "svhn", "a", 4, 1, 0), "failed")
    results = [failed, result("png", 0.6), result("dark", 0.9)]
    assert not any(beaten(results).values())
    assert not any(beaten([result("a", 0.1), result("dark", 0.9)], baselines=()).values())


def test_beyond_error_is_that_of_the_paired_test():
    # the same order of the same groups but for a shift: the errors are paired and nearly cancel
    near, far = result("a", 0.60, se=0.06, shift=5), result("b", 0.55, se=0.06, shift=2)
    best = result("dark", 0.61, se=0.06, shift=6)
    found = beaten([near, far, best])
    assert found["b", "svhn"] == (Beaten("dark", pytest.approx(0.06), True),)
    noise = np.random.default_rng(0)
    blurred = made_result(
        near.cell, "ok", auroc=0.6, auroc_se=0.06,
        scores_in=noise.normal(size=40), scores_out=noise.normal(size=40) + 0.3,
    )  # fmt: skip
    assert beaten([blurred, best])["a", "svhn"] == (Beaten("dark", pytest.approx(0.01), False),)


@pytest.mark.parametrize(("shift", "n"), [(None, 40), (6, 39)])
def test_without_scores_of_the_same_groups_it_is_not_known(shift, n):
    found = beaten([result("a", 0.60, se=0.06, shift=5), result("dark", 0.61, shift=shift, n=n)])
    assert found["a", "svhn"] == (Beaten("dark", pytest.approx(0.01), None),)


def test_all_baselines_are_named_in_order():
    found = beaten([result("a", 0.1), result("png", 0.2), result("dark", 0.3)])
    assert [item.scorer for item in found["a", "svhn"]] == ["dark", "png"]


PLUGIN = """
from oodbench import Entry, hookimpl


@hookimpl
def bench_scorers():
    return [Entry("oracle", ":Oracle", "knows"), Entry("plain", ":Plain", "the same, no baseline")]


class Plain:
    inputs = ("log_prob",)

    def fit(self, statistics):
        self.mean = statistics["log_prob"].mean()
        return self

    def score(self, statistics):
        return abs(statistics["log_prob"].mean((1, 2)) - self.mean)


class Oracle(Plain):
    baseline = True
"""


def test_a_plugin_declares_a_baseline_and_the_report_flags_what_it_beats(made, tmp_path):
    stored.copy(made, tmp_path)
    (tmp_path / "oracle.py").write_text(textwrap.dedent(PLUGIN))
    path = tmp_path / "small.toml"
    text = path.read_text().replace('"typicality"', '"oracle", "plain"')
    path.write_text('plugins.paths = ["oracle.py"]\n' + text)
    settings, told = settings_in(tmp_path), []
    outcome = run(load_suite(path), settings, told.append)
    aurocs = {(item.cell.scorer, item.cell.epoch): item.metrics.auroc for item in outcome.results}
    flagged = {(x.cell.scorer, x.cell.epoch): x.beaten_by for x in outcome.results if x.beaten_by}
    assert flagged
    assert set(flagged) == {
        (scorer, epoch)
        for (scorer, epoch), auroc in aurocs.items()
        if scorer != "oracle" and aurocs["oracle", epoch] > auroc
    }
    for (scorer, epoch), (one,) in flagged.items():
        assert one.scorer == "oracle"
        assert one.difference == aurocs["oracle", epoch] - aurocs[scorer, epoch]
    rows = json.loads((settings.store / "results" / "small" / "results.json").read_text())
    kept = {(row["scorer"], row["epoch"]): row["beaten_by"] for row in rows["results"]}
    assert {key: [vars(x) for x in flagged.get(key, ())] for key in kept} == kept
    finished = [event.result for event in told if type(event).__name__ == "CellFinished"]
    assert finished == rows["results"]
    again = score_stored(plan_unopened(load_suite(path), settings), settings, lambda event: None)
    assert [item.to_json() for item in again.results] == rows["results"]
    shown = render(again.results, suite="s", title="t", format="table")
    assert len(re.findall(r"0\.\d{3}[*~]?!?#", shown)) == len(flagged)
    assert "# is beaten by a trivial baseline: " in shown
    assert load_run(str(settings.store / "results" / "small"), (), settings, ()).results


def test_marks_and_their_line_in_every_format():
    results = flag_beaten(
        [
            result("50%_x", 0.6),
            result("50%_x", 0.62, out="o", se=0.06),
            result("b", 0.95),
            result("dark", 0.9),
            result("dark", 0.63, out="o", se=0.06),
        ],
        ["dark"],
    )
    line = (
        "is beaten by a trivial baseline: 2 numbers, 1 beyond error (paired test, p <= "
        "0.05); worst: 50%_x at epoch 4 against svhn, 0.300 below dark."
    )
    table = render(results, suite="s", title="t", format="table")
    assert f"\n# {line}\n" in table
    assert "0.600#" in table
    assert "0.620#" in table
    markdown = render(results, suite="s", title="t", format="markdown")
    assert r"0.600\#" in markdown
    assert r"worst: 50%\_x at epoch 4 against svhn" in markdown
    latex = render(results, suite="s", title="t", format="latex")
    assert r"0.600{\#}" in latex
    assert r"worst: 50\%\_x at epoch 4 against svhn" in latex
    rows = render(results, suite="s", title="t", format="csv").splitlines()
    assert rows[0].endswith(",beaten_by")
    assert [row.rpartition(",")[2] for row in rows[1:]] == ["dark", "dark", "", "", ""]


def test_the_best_of_a_column_keeps_its_flag_in_bold_formats():
    cell = Cell("glow", "cifar10", "svhn", "a", 4, 1, 0)
    low = made_result(cell, "ok", auroc=0.1, auroc_se=0.01, auroc_low=0.08, auroc_high=0.12)
    assert "0.100*!" in render([low], suite="s", title="t", format="table")
    assert "**0.100**!" in render([low], suite="s", title="t", format="markdown")
    assert r"\bfseries 0.100{!}" in render([low], suite="s", title="t", format="latex")


def test_seeds_are_flagged_together():
    results = flag_beaten(
        [
            result("a", 0.6),
            result("a", 0.9, seed=1),
            result("dark", 0.7),
            result("dark", 0.95, seed=1, se=0.06),
        ],
        ["dark"],
    )
    text = render(results, suite="s", title="t", format="table")
    assert "0.750# ±0.212" in text
    assert "1 number, 1 beyond error" in text
    assert "0.100 below dark" in text
