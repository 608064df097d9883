"""The gallery of a run: which figures there are, and that they show its results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.cli.display.displays import NoDisplay
from harness.compute.samples import SIDE, stored_samples
from harness.plan.jobs import ChainId
from harness.report.figures import Drawing, draw_figures, gallery, samples
from harness.report.figures.curves import curves_figure
from harness.report.figures.series import training_results
from harness.report.figures.style import style
from harness.report.looks import looks
from harness.results import Cell
from harness.run.prepare import plan_unopened
from harness.run.run import run
from harness.store.records import Store
from harness.suite import load_suite
from tests.made_results import made_result

ENERGY = """
import torch
from oodbench import Entry, hookimpl


@hookimpl
def bench_models():
    return [Entry("energy", ":Energy", "test")]


class Energy(torch.nn.Module):
    likelihood = "unnormalized"

    def __init__(self, domain):
        super().__init__()
        self.domain = domain
        self.weight = torch.nn.Parameter(torch.zeros(domain.dims))

    def log_prob(self, x):
        return x.flatten(1).to(self.weight.dtype) @ self.weight
"""


@pytest.fixture
def told(tiny_suite, settings):
    """The stories of a run of the tiny suite, with its results."""
    suite = load_suite(tiny_suite)
    outcome = run(suite, settings, NoDisplay())
    return training_results(plan_unopened(suite, settings), outcome.results, Store(settings.store))


def test_every_figure_shows_the_results_of_the_run(told, tmp_path):
    (story,) = told
    check_auroc(story)
    check_overlap(story)
    check_layers(story)
    check_scores(story)
    check_samples(story)
    results = list(story.results.values())
    drawing = drawing_of(story, temperature=0.5)
    drawn = draw_figures(story.plan, results, story.store, tmp_path / "figures", drawing)
    names = sorted(path.name for path in drawn.files)
    assert names == sorted(path.name for path in (tmp_path / "figures").iterdir())
    stems = [
        *("bits@flow", "scores-log-likelihood@flow@digits", "scores-typicality@flow@digits"),
        *("scores-gradient-gaussian@flow@digits", "auroc@flow@digits", "overlap@flow@digits"),
        *("layers@flow@digits", "samples@flow@digits", "ovl-scores@flow@digits"),
        *("epochs@flow@digits", "heatmap-b1", "heatmap-b5", "ranking-scorers"),
    ]
    assert names == sorted(f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf"))
    assert drawn.notes == []


def drawing_of(story, **options):
    return Drawing(looks(story.plan, list(story.results.values())), **options)


def check_auroc(story):
    with style():
        figure = curves_figure([story], drawing_of(story), "auroc")
    left = [ax for ax in figure.axes if ax.get_ylim() == (0, 1)]
    assert [" ".join(ax.get_title().split()) for ax in left] == [
        *("OOD noise group size 1", "OOD noise group size 5"),
        *("OOD photos group size 1", "OOD photos group size 5"),
    ]
    results = story.by_epoch("photos", "typicality", 5)
    typicality = left[3].lines[1]
    assert list(typicality.get_xdata()) == [0, 2]
    assert list(typicality.get_ydata()) == [result.metrics.auroc for result in results.values()]
    right = next(ax for ax in figure.axes if ax not in left)
    assert list(right.lines[0].get_ydata()) == [
        r.metrics.bits_per_dim_in for r in results.values()
    ]


def check_overlap(story):
    with style():
        figure = gallery.overlap_figure(story, drawing_of(story))
    results = story.by_epoch("noise", "log-likelihood", 1)
    titles = [" ".join(ax.get_title().split()) for ax in figure.axes[:3]]
    assert titles[:2] == [
        f"epoch {epoch}: OVL {r.metrics.ovl:.3f}" for epoch, r in results.items()
    ]
    auroc, *_, ovl = figure.axes[2].lines[1:]
    assert list(auroc.get_ydata()) == [result.metrics.auroc for result in results.values()]
    assert list(ovl.get_ydata()) == [result.metrics.ovl for result in results.values()]


def check_layers(story):
    with style():
        figure = gallery.layers_figure(story, drawing_of(story))
    own, other = story.layers("photos", 2, 1)
    lines = [line for line in figure.axes[3].lines if len(line.get_ydata()) == 17]
    assert len(story.layer_names()) == own.shape[1] == 17
    for values, drawn in zip((own, other), lines, strict=True):
        layers = values.min(axis=0) > 0
        assert layers.sum() > 10
        expected = np.median(np.log(values[:, layers]), axis=0)
        assert drawn.get_ydata()[layers] == pytest.approx(expected)


def check_scores(story):
    with style():
        figure = gallery.scores_figure(story, "typicality", drawing_of(story))
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == [f"epoch {e}, group size {size}" for e in (0, 2) for size in (1, 5)]
    assert figure.get_suptitle() == "flow, in-distribution digits: scores of typicality"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["digits (in-distribution)", "noise (OOD)", "photos (OOD)"]
    for ax, groups in zip(figure.axes, (30, 6, 30, 6), strict=True):
        for outline in ax.patches[1:]:
            counts = np.nan_to_num(outline.get_data()[0]) * groups
            assert counts == pytest.approx(np.round(counts))
            assert counts.sum() == pytest.approx(groups)


def check_samples(story):
    chain = ChainId("flow", "digits", 0)
    first, again, other = (
        stored_samples(story.plan, story.store, chain, epoch, 1.0) for epoch in (2, 2, 0)
    )
    assert first.shape == (SIDE**2, 1, 8, 8)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    cold = stored_samples(story.plan, story.store, chain, 2, 0.0)
    assert (cold == cold[0]).all()


def test_a_ranking_says_what_its_means_are_over():
    def results(scorers, **coordinates):
        cell = {"model": "m", "in_dataset": "a", "out_dataset": "b", "epoch": 4, "group_size": 1}
        full = {**cell, "seed": 0, **coordinates}
        return [made_result(Cell(scorer=scorer, **full), auroc=0.75) for scorer in scorers]

    kept = results("xy") + results("xy", group_size=5) + results("xy", model="n", epoch=16)
    partial = results("x", epoch=64) + results("z", group_size=25)
    found = gallery.averaged(kept + partial, "scorer", ["x", "y"])
    assert found == "2 models, epochs 4, 16, group sizes 1, 5"
    seeds = results("x", seed=1) + results("x", model="n", seed=1) + results("x", model="n")
    found = gallery.averaged(results("x") + seeds, "model", ["m", "n"])
    assert found == "1 scorer, epoch 4, group size 1, 2 seeds"


def test_bits_per_dimension_have_the_sign_of_the_likelihood(told):
    (story,) = told
    for likelihood, shown in (("exact", ""), ("lower_bound", " (≤)"), ("estimate", " (≈)")):
        results = {
            cell: replace(result, provenance={"likelihood": likelihood})
            for cell, result in story.results.items()
        }
        changed = replace(story, results=results)
        drawing = drawing_of(changed)
        drawn = gallery.bits_figure([changed], drawing), gallery.overlap_figure(changed, drawing)
        for figure in (*drawn, curves_figure([changed], drawing, "auroc")):
            title = " ".join(figure.get_suptitle().split())
            assert f"bits per dimension{shown}" in title
            assert ("(≤)" in title, "(≈)" in title) == ("≤" in shown, "≈" in shown)


def test_a_model_without_samples_or_density_has_the_other_figures(tiny_suite, settings, tmp_path):
    (tiny_suite.parent / "plugin.py").write_text(ENERGY)
    text = tiny_suite.read_text().replace('plugin = "glow"\n', 'plugin = "energy"\n')
    text = text.replace("options = { levels = 1, steps = 1, width = 4 }\n", "")
    text = text.replace('"typicality", "gradient-gaussian"', "").replace("[0, 2]", "[0]")
    tiny_suite.write_text('plugins.paths = ["plugin.py"]\n' + text.replace("[1, 5]", "[1]"))
    suite = load_suite(tiny_suite)
    outcome = run(suite, settings, NoDisplay())
    drawing = Drawing(looks(outcome.plan, outcome.results))
    store = Store(settings.store)
    drawn = draw_figures(outcome.plan, outcome.results, store, tmp_path / "to", drawing)
    assert {path.stem for path in drawn.files} == {
        *("scores-log-likelihood@flow@digits", "auroc@flow@digits", "ovl-scores@flow@digits"),
        "heatmap-b1",
    }
    assert drawn.notes == ["no samples of flow on digits: the model cannot sample"]


def test_a_sampler_that_fails_costs_no_other_figure(told, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("singular")

    monkeypatch.setattr(samples, "stored_samples", fail)
    notes = []
    assert gallery.samples_figure(told[0], 1.0, notes) is None
    assert notes == [f"no samples of flow on digits at epoch {e}: singular" for e in (0, 2)]


def test_file_names_are_safe_and_differ():
    names = ["glow", "a b", "a%20b", "a/b", "a?", "é"]
    made = [gallery._file_name(name, seed) for name in names for seed in (0, 1)]
    assert len(set(made)) == len(made)
    assert not set("".join(made)) & set('/\\:*?"<>|')
    assert made[0] == "glow"
