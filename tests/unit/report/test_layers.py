"""Which layers carry a score: each one's own AUROC, from what is stored."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from harness.cli.display.displays import NoDisplay
from harness.errors import NothingSelectedError
from harness.plan.expand import select
from harness.report.layers import CellLayers, by_out, layer_tables
from harness.report.render.layers import MOST_LAYERS, render_layers
from harness.run.outcome import score_stored
from harness.run.prepare import plan_unopened
from harness.run.run import run
from harness.scoring.score import score_terms
from harness.store.layout import STATISTICS
from harness.store.records import Store
from harness.suite import load_suite
from plugins.scorers.gradient_gaussian import GradientGaussian
from tests.made_results import estimated
from tests.places import settings_in

PLUGIN = """
import numpy as np
import torch
from oodbench import Entry, hookimpl


@hookimpl
def bench_models():
    return [Entry("plain", ":Plain", "test")]


@hookimpl
def bench_statistics():
    return [Entry("squares", ":Squares", "test")]


class Plain(torch.nn.Module):
    likelihood = "unnormalized"

    def __init__(self, domain):
        super().__init__()
        self.domain = domain
        self.weight = torch.nn.Parameter(torch.zeros(domain.dims))

    def log_prob(self, x):
        return x.flatten(1).to(self.weight.dtype) @ self.weight


class Squares:
    # Cheap, in place of squared gradient norms: of the pixels of the group's first row.
    per = "group"

    def features(self, model):
        return ["constant", *(f"layer.{place}" for place in range(8))]

    def __call__(self, model, groups):
        squares = groups.double().mean(1)[:, 0, 0].numpy() ** 2
        return np.hstack([np.ones((len(groups), 1)), squares])
"""

SUITE = """
plugins.paths = ["plugin.py"]

[training.brief]
minibatch = 8

[models.flow]
plugin = "plain"
training = "brief"

[datasets.noise]
plugin = "noise"
options = { n_train = 16, n_test = 80 }

[datasets.dark]
plugin = "constant"
options = { n_train = 10, n_test = 40 }

[scorers.layered]
plugin = "gradient-gaussian"
options = { statistic = "squares" }

[[comparisons]]
models = "flow"
in = "noise"
out = "others"
epochs = [0, 1]
group_sizes = 5
scorers = ["log-likelihood", "layered"]
n_in = 30
n_fit = 50
n_out = 30
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layers")
    (folder / "plugin.py").write_text(PLUGIN)
    (folder / "tiny.toml").write_text(SUITE)
    run(load_suite(folder / "tiny.toml"), settings_in(folder), NoDisplay())
    return folder


@pytest.fixture
def found(folder):
    settings = settings_in(folder)
    outcome = score_stored(
        plan_unopened(load_suite(folder / "tiny.toml"), settings), settings, NoDisplay()
    )
    return outcome.plan, outcome.results, Store(settings.store)


def rendered(found, format, **options):
    plan, results, store = found
    options = {"plan": plan, "store": store, "suite": "tiny", "title": "Tiny"} | options
    return render_layers(results, format=format, **options)


def test_each_layer_has_the_auroc_of_its_own_gaussian(found):
    plan, results, store = found
    rows = json.loads(rendered(found, "json"))["layers"]
    for planned in plan.cells:
        if planned.cell.scorer != "layered":
            continue
        keys = [plan.keys(store).statistic_key(job) for job in planned.reads["squares"]]
        names = store.manifest(STATISTICS, keys[0]).facts["features"]
        fit, in_, out = (store.read_array(STATISTICS, key, "values.npy") for key in keys)
        expected = {}
        for place, name in enumerate(names):
            one = slice(place, place + 1)
            if np.ptp(fit[:, place]):
                scorer = GradientGaussian().fit({"layer_gradient_sq_norms": fit[:, one]})
                sides = (
                    scorer.score({"layer_gradient_sq_norms": values[:, one]})
                    for values in (in_, out)
                )
                expected[name] = estimated(*sides)
        about = (planned.cell.out_dataset, planned.cell.epoch)
        mine = {row["layer"]: row for row in rows if (row["out"], row["epoch"]) == about}
        assert len(expected) == len(names) - 1 == 8
        assert mine.keys() == expected.keys()
        for name, estimate in expected.items():
            values = [mine[name][key] for key in ("auroc", "auroc_se", "auroc_low", "auroc_high")]
            wanted = [estimate.auroc, estimate.se, estimate.low, estimate.high]
            assert values == pytest.approx(wanted, abs=1e-12)
        (whole,) = {row["auroc_of_score"] for row in mine.values()}
        assert whole == next(r.metrics.auroc for r in results if r.cell == planned.cell)


def test_the_terms_of_a_cell_sum_to_its_scores(found):
    plan, results, store = found
    by_cell = {result.cell: result for result in results}
    terms = list(score_terms(plan, store, by_cell))
    assert [item.cell.scorer for item in terms] == ["layered"] * 2
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
    assert [cell.cell.epoch for cell in table.cells] == [0, 1]
    for cell in table.cells:
        aurocs = [layer.estimate.auroc for layer in cell.layers]
        assert aurocs == sorted(aurocs, reverse=True)
    assert table.seed is None

    def cell(out, epoch):
        about = plan.cells[0].cell._replace(out_dataset=out, epoch=epoch)
        return CellLayers(about, 0.5, (), 6, 6)

    mixed = [cell("b", 0), cell("a", 0), cell("b", 2), cell("a", 2)]
    assert by_out(mixed) == [mixed[0], mixed[2], mixed[1], mixed[3]]


def test_tables_have_the_best_and_csv_has_all(found):
    plan, results, store = found
    (table,) = layer_tables(plan, results, store)
    text = rendered(found, "table")
    title = "Layers of layered: flow, in-distribution noise, group size 5"
    assert title in text
    first = table.cells[0].layers
    lines = [line for line in text.splitlines() if line.startswith("dark") and " 0 " in line]
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
    assert rendered(found, "markdown").startswith("# Tiny\n\n## Layers of layered")


def test_scorers_without_terms_have_no_such_report(folder):
    settings = settings_in(folder)
    suite = select(load_suite(folder / "tiny.toml"), ["scorer=log-likelihood"])
    outcome = score_stored(plan_unopened(suite, settings), settings, NoDisplay())
    with pytest.raises(NothingSelectedError, match=r"^no scorer among the results exposes "):
        rendered((outcome.plan, outcome.results, Store(settings.store)), "table")
