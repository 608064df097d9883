"""The results in words."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from harness.metrics.intervals import Z_95
from harness.report.summary import summary
from harness.report.wrong_way import below_chance
from harness.results import Cell
from tests.made_results import made_result


def result(scorer, out="svhn", auroc=None, high=None, *, status="failed", epoch=20):
    cell = Cell("glow", "cifar10", out, scorer, epoch, 1, 0)
    status = "ok" if auroc is not None else status
    return made_result(cell, status, auroc=auroc, auroc_high=high)


def test_all_four_sentences():
    results = [
        result("log-likelihood", "svhn", 0.071, 0.08),
        result("log-likelihood", "celeba", 0.45, 0.49),
        result("log-likelihood", "noise", 0.49, 0.51),
        result("log-likelihood", "textures", 0.9, 0.95),
        result("log-likelihood", "flipped", status="missing_data"),
        result("[fisher]", "svhn", 0.9),
        result("[fisher]", "celeba", 0.8),
        result("[fisher]", "noise", 0.4, 0.45),
        result("[fisher]", "textures", 0.9),
        result("lucky", "svhn", 1.0),
        result("lucky", "celeba"),
        result("lucky", "noise"),
        result("lucky", "textures", status="unsupported"),
    ]
    assert summary(results) == [
        "9 of 13 cells have a number: 1 missing_data, 2 failed; 1 does not apply (n/a).",
        "[fisher] has the highest mean AUROC: 0.750 over 4 cells, 0.272 above "
        "log-likelihood; the significance of the lead could not be tested.",
        "Not compared, for want of common cells: lucky.",
        "Scorers shown to be the wrong way round (AUROC below 0.5, Holm-corrected over 9 cells): "
        "log-likelihood in 1 of 4 cells, [fisher] in 1 of 4 cells; without the correction there "
        "would be 3; lowest: 0.071 by log-likelihood, glow at epoch 20, cifar10 against svhn, "
        "group size 1.",
        "[fisher] itself is the wrong way round with 0.400 for glow at epoch 20, cifar10 against "
        "noise, group size 1.",
        "Look next at 2 cells without a number (failed).",
    ]


def test_a_scorer_that_is_the_right_way_round():
    assert summary([result("log-likelihood", auroc=0.4, high=0.6)]) == [
        "The only cell has a number.",
        "No scorer is shown to be the wrong way round (AUROC below 0.5, Holm-corrected over 1 "
        "cell) in any cell.",
        "Look next at glow, cifar10 against svhn, group size 1: the only scorer there is not "
        "above chance beyond error at any epoch; the closest is log-likelihood at epoch 20 with "
        "0.400.",
    ]


def test_an_interval_that_reaches_one_half_is_not_beyond_it():
    (_, text, _) = summary([result("a", auroc=0.1, high=0.5)])
    assert text.startswith("No scorer is shown to be the wrong way round")


def test_of_many_cells_some_lie_below_one_half_by_chance():
    """An interval below 0.5 that is enough in one cell is not enough in one of many."""
    results = [result("a", "svhn", 0.4, 0.49)]
    assert "a in 1 of 1 cell" in summary(results)[1]
    results += [result("a", f"o{i}", 0.45, 0.55) for i in range(19)]
    assert summary(results)[1] == (
        "No scorer is shown to be the wrong way round (AUROC below 0.5, Holm-corrected over 20 "
        "cells) in any cell; without the correction there would be 1."
    )


@pytest.mark.parametrize("area", [0.0, 0.01, 0.3, 0.49, 0.5, 0.7])
@pytest.mark.parametrize("trials", [3, 40, 1000])
def test_the_p_value_is_that_of_the_interval(area, trials):
    """Wilson's interval has exactly the areas that the score test does not reject."""
    square = Z_95**2 / trials
    half = Z_95 * math.sqrt(area * (1 - area) / trials + square / trials / 4)
    high = (area + square / 2 + half) / (1 + square)
    found = below_chance(result("a", auroc=area, high=high).metrics)
    z = (area - 0.5) / math.sqrt(0.25 / trials)
    assert found == pytest.approx(1.0 if area >= 0.5 else stats.norm.cdf(z), rel=1e-9)
    assert (found < 0.025) == (high < 0.5)


def test_the_cells_of_the_best_scorer_are_named():
    results = [result("a", f"o{i}", i / 100, 0.1) for i in range(5)]
    results += [result("a", "far", 0.9), *(result("b", f"o{i}", 0.0, 0.1) for i in range(5))]
    results.append(result("b", "far", 0.5))
    where = "for glow at epoch 20, cifar10 against"
    assert summary(results)[3] == (
        f"a itself is the wrong way round with 0.000 {where} o0, group size 1; 0.010 {where} o1, "
        f"group size 1; 0.020 {where} o2, group size 1; and 2 more cells."
    )


def test_cells_without_numbers_are_not_judged():
    results = [result("typicality", auroc=0.1, high=0.2), result("log-likelihood")]
    assert summary(results) == [
        "1 of 2 cells has a number: 1 failed.",
        "Scorers shown to be the wrong way round (AUROC below 0.5, Holm-corrected over 1 cell): "
        "typicality in 1 of 1 cell; lowest: 0.100 by typicality, glow at epoch 20, cifar10 "
        "against svhn, group size 1.",
        "Look next at 1 cell without a number (failed).",
    ]
    results = [result("a", auroc=0.25), result("b", auroc=0.5)]
    assert summary(results) == [
        "All 2 cells have a number.",
        "b has the highest mean AUROC: 0.500 over 1 cell, 0.250 above a; the "
        "significance of the lead could not be tested.",
        "Scorers shown to be the wrong way round (AUROC below 0.5, Holm-corrected over 2 cells): "
        "a in 1 of 1 cell; lowest: 0.250 by a, glow at epoch 20, cifar10 against svhn, group "
        "size 1.",
        "Look next at glow, cifar10 against svhn, group size 1: none of the 2 scorers there is "
        "above chance beyond error at any epoch; the closest is b at epoch 20 with 0.500.",
    ]


def test_nothing_and_nothing_with_a_number():
    assert summary([]) == ["There are no results."]
    assert summary([], pending=3) == ["0 of 3 cells have a number: 3 not computed yet."]
    assert summary([result("a"), result("b")]) == [
        "0 of 2 cells have a number: 2 failed.",
        "Look next at 2 cells without a number (failed).",
    ]


def test_cells_that_do_not_apply_are_counted_apart_and_nothing_to_look_at():
    lacking = [result("a", status="unsupported"), result("b", status="unsupported")]
    assert summary(lacking) == ["0 of 2 cells have a number; 2 do not apply (n/a)."]
    first, *others = summary([*lacking, result("c", auroc=0.9, high=0.95)])
    assert first == "1 of 3 cells has a number; 2 do not apply (n/a)."
    assert not any("without a number" in sentence for sentence in others)


def test_of_two_results_for_a_cell_the_later_counts():
    assert summary([result("a"), result("a", auroc=0.9)])[0] == "The only cell has a number."


def test_names_stay_on_their_line():
    results = [result("a\nb\x1b[31m", auroc=0.75), result("c", auroc=0.5)]
    assert summary(results)[1].startswith(
        "a b\\x1b[31m has the highest mean AUROC: 0.750 over 1 cell, 0.250 above c"
    )
