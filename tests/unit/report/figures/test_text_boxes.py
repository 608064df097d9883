"""Figures of the shipped suites: their texts are apart, and no two scorers look the same."""

from __future__ import annotations

import itertools

import pytest

from harness.report.figures.curves import curves_figure
from harness.report.figures.epochs import losses_figure
from harness.report.figures.gallery import scores_figure, suite_figures
from harness.report.figures.series import by_seeds, training_results
from harness.report.figures.style import Drawing, model_look, scorer_look, style
from harness.report.looks import looks
from tests.made_suites import SUITES, made_plan, made_results
from tests.text_boxes import assert_texts_are_whole_and_apart

SHIPPED = sorted(str(path.relative_to(SUITES))[: -len(".toml")] for path in SUITES.rglob("*.toml"))
PARTS = {name for name in SHIPPED if name.startswith("common/")}
QUICK = {("families", "two"), ("rivals", "one"), ("paper", "one")}


@pytest.mark.parametrize(
    ("name", "width"),
    [
        pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow)
        for case in itertools.product(sorted({*SHIPPED} - PARTS), ("one", "two"))
    ],
)
def test_texts_are_whole_and_apart(name, width):
    plan = made_plan(name)
    results = made_results(plan)
    drawing = Drawing(looks(plan, results), width)
    trainings = training_results(plan, results, None)
    fullest = max(by_seeds(trainings)[::-1], key=lambda seeds: len(seeds[0].scorers))
    with style():
        all_losses = [losses_figure(seeds, drawing) for seeds in by_seeds(trainings)]
        figures = [
            *(figure for _, figure in suite_figures(results, drawing)),
            curves_figure(fullest, drawing, "auroc"),
            curves_figure(fullest, drawing, "ovl_scores"),
            *[figure for figure in all_losses if figure is not None][:1],
            scores_figure(fullest[0], fullest[0].scorers[0], drawing),
        ]
        for figure in figures:
            assert_texts_are_whole_and_apart(figure)


@pytest.mark.parametrize("name", sorted({*SHIPPED} - PARTS))
def test_no_two_scorers_and_no_two_models_look_the_same(name):
    found = looks(made_plan(name), [])
    for names, look in ((found.scorers, scorer_look), (found.families, model_look)):
        shown = {(_colour(x), repr(x["marker"])) for x in (look(found, name) for name in names)}
        assert len(shown) == len(names) > 0
    assert len(found.focus) <= 6
    landmarks = {"log-likelihood", "gradient-gaussian"} & set(found.scorers)
    assert landmarks <= set(found.focus)


def _colour(look):
    return look["color"]
