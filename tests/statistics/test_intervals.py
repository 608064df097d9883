"""The interval of an AUROC for other examples: a literal computation, and known values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.metrics.estimates import estimate_of
from harness.metrics.evidence import evidence_of_scores
from harness.metrics.intervals import Z_95, examples_interval, expected_trials
from harness.metrics.placements import variance, win_counts
from tests.statistics import literal


def estimated(scores_in, scores_out):
    """The estimate of an AUROC without a fit, with a single training."""
    return estimate_of(evidence_of_scores(scores_in, scores_out))


@pytest.mark.parametrize("shift", [-4.0, -1.0, 0.0, 0.7, 2.0, 4.0, 9.0])
@pytest.mark.parametrize("sizes", [(5, 9), (30, 20), (40, 41)])
@pytest.mark.parametrize("step", [0.0, 0.5])
def test_the_interval_is_the_literal_one(shift, sizes, step):
    rng = np.random.default_rng(4)
    scores_in, scores_out = rng.normal(size=sizes[0]), rng.normal(shift, 2.0, sizes[1])
    if step:  # ties
        scores_in, scores_out = np.round(scores_in / step), np.round(scores_out / step)
    parts = literal.parts_of(scores_in, scores_out)
    expected = literal.examples_interval(parts, literal.of_examples(parts, parts))
    wins = win_counts(scores_in, scores_out)
    area, of_delong = np.float64(parts.auroc), variance(*wins)
    assert examples_interval(area, of_delong, *wins) == pytest.approx(expected, abs=1e-12)
    found = estimated(scores_in, scores_out)
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    assert 0 <= found.low <= found.auroc <= found.high <= 1


def test_the_normal_quantile():
    assert stats.norm.ppf(0.975) == Z_95


def test_a_perfect_separation_is_never_less_certain_than_one_with_an_inversion():
    scores_in, scores_out = np.arange(30.0), np.arange(100.0, 120.0)
    perfect = estimated(scores_in, scores_out)
    assert (perfect.low, perfect.high) == (pytest.approx(0.923, abs=5e-4), 1.0)
    scores_out[0] = 28.5  # below one ID group
    inverted = estimated(scores_in, scores_out)
    assert inverted.auroc == pytest.approx(1 - 1 / 600)
    assert inverted.low == pytest.approx(0.923, abs=5e-4)
    assert inverted.high >= 0.9995
    assert inverted.high - inverted.low >= perfect.high - perfect.low - 1e-4
    mirrored = estimated(-scores_in, -scores_out)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - inverted.high, 1 - inverted.low))


def test_equal_scores_are_chance_with_doubt():
    found = estimated(np.full(70, -1e4), np.full(50, -1e4))
    assert (found.auroc, found.se) == (0.5, 0.0)
    assert found.low == pytest.approx(1 - found.high)
    assert 0.4 < found.low < 0.48


def test_expected_trials_make_the_variance_of_hanley_and_mcneil_with_one_size():
    area, n, m = 0.8, 30, 20
    q1, q2 = area / (2 - area), 2 * area * area / (1 + area)
    common = (n + m) / 2 - 1
    variance = (area * (1 - area) + common * (q1 + q2 - 2 * area * area)) / (n * m)
    assert area * (1 - area) / expected_trials(area, n, m) == pytest.approx(variance, rel=1e-12)
