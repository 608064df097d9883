"""Which layers carry a score: each one's own AUROC, from what is stored."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from harness.console import NoDisplay
from harness.errors import NothingSelectedError
from harness.metrics import delong
from harness.plan import STATISTICS, select
from harness.report import render_layers
from harness.report.layers import CellLayers, by_out, layer_tables
from harness.report.layers_text import MOST_LAYERS
from harness.runner import find_plan, run, score
from harness.scoring import score_terms
from harness.store import Store
from harness.suite import load_suite
from plugins.scorers.gradient_gaussian import GradientGaussian
from tests.conftest import TINY_SUITE
from tests.places import settings_in

LAYERS = "layer_gradient_sq_norms"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layers")
    text = TINY_SUITE.replace('"typicality", "gradient-gaussian"', '"gradient-gaussian"')
    text = text.replace("[1, 5]", "[5]").replace('out = "others"', 'out = "noise"')
    (folder / "tiny.toml").write_text(text)
    run(load_suite(folder / "tiny.toml"), settings_in(folder), NoDisplay())
    return folder


@pytest.fixture
def found(folder):
    settings = settings_in(folder)
    outcome = score(find_plan(load_suite(folder / "tiny.toml"), settings), settings, NoDisplay())
    return outcome.plan, outcome.results, Store(settings.store)


def rendered(found, format, **options):
    plan, results, store = found
    options = {"plan": plan, "store": store, "suite": "tiny", "title": "Tiny"} | options
    return render_layers(results, format=format, **options)


def test_each_layer_has_the_auroc_of_its_own_gaussian(found):
    plan, results, store = found
    rows = json.loads(rendered(found, "json"))["layers"]
    for planned in plan.cells:
        if planned.cell.scorer != "gradient-gaussian":
            continue
        keys = [plan.statistic_key(store, job) for job in planned.reads[LAYERS]]
        names = store.manifest(STATISTICS, keys[0]).facts["features"]
        fit, in_, out = (store.read_array(STATISTICS, key, "values.npy") for key in keys)
        expected = {}
        for place, name in enumerate(names):
            one = slice(place, place + 1)
            if np.ptp(fit[:, place]):
                scorer = GradientGaussian().fit({LAYERS: fit[:, one]})
                sides = (scorer.score({LAYERS: values[:, one]}) for values in (in_, out))
                expected[name] = delong(*sides)
        about = (planned.cell.out_dataset, planned.cell.epoch)
        mine = {row["layer"]: row for row in rows if (row["out"], row["epoch"]) == about}
        assert 5 < len(expected) < len(names)
        assert mine.keys() == expected.keys()
        for name, estimate in expected.items():
            values = [mine[name][key] for key in ("auroc", "auroc_se", "auroc_low", "auroc_high")]
            wanted = [estimate.auroc, estimate.se, estimate.low, estimate.high]
            assert values == pytest.approx(wanted, abs=1e-12)
        (whole,) = {row["auroc_of_score"] for row in mine.values()}
        assert whole == next(r.auroc for r in results if r.cell == planned.cell)


def test_the_terms_of_a_cell_sum_to_its_scores(found):
    plan, results, store = found
    by_cell = {result.cell: result for result in results}
    terms = list(score_terms(plan, store, by_cell))
    assert [item.cell.scorer for item in terms] == ["gradient-gaussian"] * 2
    for item in terms:
        result = by_cell[item.cell]
        for side, scores in (
            (item.terms_in, result.scores_in),
            (item.terms_out, result.scores_out),
        ):
            np.testing.assert_allclose(sum(side.values()), scores, rtol=1e-12)


def test_the_best_layers_come_first_and_epochs_go_by_out_data_set(found):
    plan, results, store = found
    (table,) = layer_tables(plan, results, store)
    assert [cell.cell.epoch for cell in table.cells] == [0, 2]
    for cell in table.cells:
        aurocs = [layer.estimate.auroc for layer in cell.layers]
        assert aurocs == sorted(aurocs, reverse=True)
    assert table.seed is None

    def cell(out, epoch):
        about = replace(plan.cells[0].cell, out_dataset=out, epoch=epoch)
        return CellLayers(about, 0.5, (), 6, 6)

    mixed = [cell("b", 0), cell("a", 0), cell("b", 2), cell("a", 2)]
    assert by_out(mixed) == [mixed[0], mixed[2], mixed[1], mixed[3]]


def test_tables_have_the_best_and_csv_has_all(found):
    plan, results, store = found
    (table,) = layer_tables(plan, results, store)
    text = rendered(found, "table")
    title = "Layers of gradient-gaussian: flow, in-distribution digits, group size 5"
    assert title in text
    first = table.cells[0].layers
    lines = [line for line in text.splitlines() if line.startswith("noise") and " 0 " in line]
    assert len(lines) == MOST_LAYERS < len(first)
    for line, layer in zip(lines, first, strict=False):
        found_at = layer.estimate
        interval = f"{found_at.auroc:.3f} [{found_at.low:.3f}, {found_at.high:.3f}]"
        assert layer.name in line
        assert interval in line
    assert "Groups scored: 6 in, 6 out." in text
    rows = list(csv.DictReader(io.StringIO(rendered(found, "csv"))))
    assert len(rows) == sum(len(cell.layers) for cell in table.cells)
    assert rows[0]["layer"] == first[0].name
    assert float(rows[0]["auroc"]) == first[0].estimate.auroc
    assert rendered(found, "markdown").startswith("# Tiny\n\n## Layers of gradient-gaussian")


def test_scorers_without_terms_have_no_such_report(folder):
    settings = settings_in(folder)
    suite = select(load_suite(folder / "tiny.toml"), ["scorer=log-likelihood"])
    outcome = score(find_plan(suite, settings), settings, NoDisplay())
    with pytest.raises(NothingSelectedError, match=r"^no scorer among the results tells the ter"):
        rendered((outcome.plan, outcome.results, Store(settings.store)), "table")
