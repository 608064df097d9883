"""Marks, "better" and "early enough" in simulations with a fixed seed: how often they are wrong.

Limits have two standard errors of the simulation: at .06 that is .015 with 1,000 runs, .027 with
300 and .048 with 100.
"""

from __future__ import annotations

import math
from itertools import cycle

import numpy as np
import pytest

from benchmarks import measured
from benchmarks.simulated import ONE_SIDED, TWO_SIDED, fitted_columns
from harness.metrics.multiple import holm


def is_at_most(share, limit, runs):
    return share <= limit + 2 * math.sqrt(limit * (1 - limit) / runs)


@pytest.fixture
def rng():
    return np.random.default_rng(12)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(("scorers", "runs"), [(2, 600), (4, 400), (12, 300), (30, 120)])
def test_few_columns_have_a_false_mark(rng, scorers, correlation, runs):
    for area, sizes in ((0.8, (150, 100)), (0.95, (30, 20))):
        found = measured.of_marks(rng, [area] * scorers, sizes, correlation, runs)
        assert is_at_most(found.false, 0.06, runs)


@pytest.mark.parametrize("kind", [ONE_SIDED, TWO_SIDED])
@pytest.mark.parametrize(("scorers", "runs"), [(4, 200), (12, 100)])
def test_few_columns_of_scorers_with_a_fit_have_a_false_mark(rng, scorers, runs, kind):
    for area, correlation in ((0.8, 0.5), (0.95, 0.9)):
        areas = [area] * scorers
        found = measured.of_fitted_marks(rng, kind, areas, 75, (75, 75), correlation, runs)
        assert is_at_most(found.false, 0.06, runs)


def test_without_the_variance_of_the_fit_too_many_would_have_one(rng, monkeypatch):
    """The simulation sees what it is for."""

    def without_refits(*arguments):
        ins, outs, _ = fitted_columns(*arguments)
        return ins, outs

    monkeypatch.setattr("benchmarks.measured.fitted_columns", without_refits)
    found = measured.of_fitted_marks(rng, ONE_SIDED, [0.8] * 12, 75, (75, 75), 0.0, 100)
    assert not is_at_most(found.false, 0.06, 100)


def test_several_equal_bests_keep_their_marks_and_worse_scorers_lose_them(rng):
    found = measured.of_marks(rng, [0.9] * 4 + [0.8] * 4, (150, 100), 0.9, 200)
    assert is_at_most(found.false, 0.06, 200)
    assert found.found > 0.95


def test_holm_against_the_best_would_mark_too_many(rng, monkeypatch):
    """The simulation sees what it is for."""
    monkeypatch.setattr("harness.report.significance.against_best", holm)
    found = measured.of_marks(rng, [0.8] * 12, (150, 100), 0.5, 400)
    assert found.false > 0.1


@pytest.mark.parametrize("kind", ["same", "separate"])
@pytest.mark.parametrize("spread", [0.001, 0.05])
def test_equal_models_are_rarely_better(rng, kind, spread):
    for sizes in ((30, 20), (150, 100)):
        share = measured.significant_trainings(
            rng, kind, (0.8, 0.8), (spread, spread), (3, 3), sizes, 1000
        )
        assert is_at_most(share, 0.06, 1000)
    large = measured.significant_trainings(
        rng, kind, (0.8, 0.8), (spread, spread), (3, 3), (1000, 1000), 300
    )
    assert is_at_most(large, 0.06, 300)


def test_models_of_unequal_spread_are_rarely_better(rng):
    share = measured.significant_trainings(
        rng, "separate", (0.8, 0.8), (0.1, 0.01), (3, 3), (150, 100), 2000
    )
    assert is_at_most(share, 0.06, 2000)


@pytest.mark.parametrize("kind", ["same", "separate"])
def test_models_that_differ_are_better(rng, kind):
    share = measured.significant_trainings(
        rng, kind, (0.95, 0.8), (0.01, 0.01), (3, 3), (150, 100), 300
    )
    assert share > 0.9


@pytest.mark.parametrize(
    ("sizes", "runs"), [((30, 20), 100), ((150, 100), 60), ((1000, 1000), 10)]
)
@pytest.mark.parametrize("epochs", [2, 4, 9, 26])
def test_an_epoch_worse_than_the_margin_is_rarely_enough(rng, sizes, epochs, runs):
    """Rising, flat, stepped and peaked curves, with epochs placed at the margin."""
    shares, kinds = [], cycle(((0.8, 0.5), (0.99, 0.9), (0.9999, 0.5)))
    for name in measured.curves(epochs, 0.9, 0.01):
        top, correlation = next(kinds)
        areas = measured.curves(epochs, top, 0.01)[name]
        found = measured.of_epochs(rng, areas, sizes, correlation, 0.01, runs)
        shares += [found.wrong, found.wrong_last]
        assert is_at_most(max(shares[-2:]), 0.06, runs)
    assert np.mean(shares) <= 0.06


def test_equal_epochs_are_found_early_with_enough_examples(rng):
    found = measured.of_epochs(rng, [0.99] * 5, (1000, 1000), 0.9, 0.01, 20)
    assert found.early > 0.9
    assert found.early_last > 0.9
