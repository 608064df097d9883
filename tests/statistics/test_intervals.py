"""Intervals of an AUROC: a literal computation, known values, and coverage in simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.metrics.intervals import Z_95, auroc_interval, expected_trials
from harness.metrics.placements import standard_error, win_counts_by_row
from harness.metrics.roc import delong


def literal(scores_in, scores_out):
    """The formulas of `auroc_interval`, pair by pair."""
    n, m = len(scores_in), len(scores_out)
    v = [np.mean([(o > i) + 0.5 * (o == i) for i in scores_in]) for o in scores_out]
    w = [np.mean([(o > i) + 0.5 * (o == i) for o in scores_out]) for i in scores_in]
    area = float(np.mean(v))
    variance = np.var(v, ddof=1) / m + np.var(w, ddof=1) / n

    def trials(a):
        return n * m / (1 + ((n + m) / 2 - 1) * ((1 - a) / (2 - a) + a / (1 + a)))

    d = area * (1 - area) / variance if variance else math.inf
    h = trials(area)
    if area >= 0.5:
        k = min(sum(x < 1 for x in v), sum(x < 1 for x in w))
    else:
        k = min(sum(x > 0 for x in v), sum(x > 0 for x in w))
    number = d if d <= h else (k + 10) / (k / d + 10 / h)
    z = stats.norm.ppf(0.975)
    half = z * math.sqrt(area * (1 - area) / number + z * z / (4 * number**2))
    low = (area + z * z / (2 * number) - half) / (1 + z * z / number)
    high = (area + z * z / (2 * number) + half) / (1 + z * z / number)
    bound = 1 / (1 + z * z / trials(1.0))
    low, high = min(low, bound), max(high, 1 - bound)
    return (0.0 if area == 0 else low), (1.0 if area == 1 else high)


@pytest.mark.parametrize("shift", [-4.0, -1.0, 0.0, 0.7, 2.0, 4.0, 9.0])
@pytest.mark.parametrize("sizes", [(5, 9), (30, 20), (40, 41)])
@pytest.mark.parametrize("step", [0.0, 0.5])
def test_the_interval_is_the_literal_one(shift, sizes, step):
    rng = np.random.default_rng(4)
    scores_in, scores_out = rng.normal(size=sizes[0]), rng.normal(shift, 2.0, sizes[1])
    if step:  # ties
        scores_in, scores_out = np.round(scores_in / step), np.round(scores_out / step)
    found = delong(scores_in, scores_out)
    assert (found.low, found.high) == pytest.approx(literal(scores_in, scores_out), abs=1e-12)
    assert 0 <= found.low <= found.auroc <= found.high <= 1


def test_the_normal_quantile():
    assert stats.norm.ppf(0.975) == Z_95


def test_a_perfect_separation_is_never_less_certain_than_one_with_an_inversion():
    scores_in, scores_out = np.arange(30.0), np.arange(100.0, 120.0)
    perfect = delong(scores_in, scores_out)
    assert (perfect.low, perfect.high) == (pytest.approx(0.923, abs=5e-4), 1.0)
    scores_out[0] = 28.5  # below one ID group
    inverted = delong(scores_in, scores_out)
    assert inverted.auroc == pytest.approx(1 - 1 / 600)
    assert inverted.low == pytest.approx(0.923, abs=5e-4)
    assert inverted.high >= 0.9995
    assert inverted.high - inverted.low >= perfect.high - perfect.low - 1e-4
    mirrored = delong(-scores_in, -scores_out)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - inverted.high, 1 - inverted.low))


def test_equal_scores_are_chance_with_doubt():
    found = delong(np.full(70, -1e4), np.full(50, -1e4))
    assert (found.auroc, found.se) == (0.5, 0.0)
    assert found.low == pytest.approx(1 - found.high)
    assert 0.4 < found.low < 0.48


def test_expected_trials_make_the_variance_of_hanley_and_mcneil_with_one_size():
    area, n, m = 0.8, 30, 20
    q1, q2 = area / (2 - area), 2 * area * area / (1 + area)
    common = (n + m) / 2 - 1
    variance = (area * (1 - area) + common * (q1 + q2 - 2 * area * area)) / (n * m)
    assert area * (1 - area) / expected_trials(area, n, m) == pytest.approx(variance, rel=1e-12)


@pytest.mark.parametrize(
    ("sizes", "runs", "spread", "area"),
    [
        ((30, 20), 3000, 1.0, 0.8),
        ((30, 20), 3000, 1.0, 0.95),
        ((30, 20), 3000, 1.0, 0.998),
        ((75, 50), 2000, 2.0, 0.95),
        ((75, 50), 2000, 2.0, 0.99),
        ((150, 100), 1000, 1.0, 0.5),
        ((150, 100), 1000, 1.0, 0.99),
        ((150, 100), 1000, 2.0, 0.998),
    ],
)
def test_the_interval_covers_the_auroc_of_other_examples(sizes, runs, spread, area):
    rng = np.random.default_rng(5)
    shift = stats.norm.ppf(area) * math.sqrt(1 + spread**2)
    scores_in = rng.normal(size=(runs, sizes[0]))
    scores_out = rng.normal(shift, spread, (runs, sizes[1]))
    wins_out, wins_in = win_counts_by_row(scores_in, scores_out)
    areas = wins_out.mean(axis=1) / (2 * sizes[0])
    errors = standard_error(wins_out, wins_in)
    rows = zip(areas, errors, wins_out, wins_in, strict=True)
    found = np.array([auroc_interval(float(a), float(se), o, i) for a, se, o, i in rows])
    coverage = np.mean((found[:, 0] <= area) & (area <= found[:, 1]))
    error = math.sqrt(0.93 * 0.07 / runs)
    assert coverage >= 0.93 - 2 * error
    # An interval that always covers says nothing.
    length = np.mean(found[:, 1] - found[:, 0])
    assert length <= 1.6 * max(2 * Z_95 * np.mean(errors), 1 - 1 / (1 + Z_95**2 / sizes[1]))
