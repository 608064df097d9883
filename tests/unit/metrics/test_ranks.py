"""Ranks, and tests on them, against their definitions, SciPy and the table of the paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.metrics.ranks import critical_difference, friedman, ranks

DEMSAR_5A = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102}
"""Demšar (2006), Table 5(a): critical values of the two-tailed Nemenyi test at 0.05."""


def studentized_range(k):
    """P(range <= q) = k ∫ φ(z) [Φ(z) - Φ(z - q)]^(k-1) dz = 0.95, solved for q by bisection."""
    z = np.linspace(-8, 8, 4001)
    low, high = 0.0, 16.0
    for _ in range(50):
        q = (low + high) / 2
        inside = (stats.norm.cdf(z) - stats.norm.cdf(z - q)) ** (k - 1)
        share = k * (stats.norm.pdf(z) * inside).sum() * (z[1] - z[0])
        low, high = (q, high) if share < 0.95 else (low, q)
    return (low + high) / 2


@pytest.mark.parametrize("k", [2, 3, 6, 20])
def test_critical_differences_are_of_the_studentized_range(k):
    expected = studentized_range(k) / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * 14))
    assert critical_difference(k, 14) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("k", DEMSAR_5A)
def test_critical_differences_are_those_of_the_table(k):
    found = critical_difference(k, 14) / (k * (k + 1) / (6 * 14)) ** 0.5
    assert found == pytest.approx(DEMSAR_5A[k], abs=1e-3)  # it was made of a rounded q


def test_the_example_of_the_paper():
    # section 3.2.2: four classifiers, 14 data sets, CD = 2.569 √(4·5 / (6·14)) = 1.25
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)


def test_ranks_share_ties_and_the_highest_is_first():
    values = np.random.default_rng(0).integers(0, 4, (30, 6)).astype(float)
    above = (values[:, np.newaxis, :] > values[:, :, np.newaxis]).sum(axis=2)
    equal = (values[:, np.newaxis, :] == values[:, :, np.newaxis]).sum(axis=2)
    assert np.array_equal(ranks(values), above + (equal + 1) / 2)
    assert ranks(np.array([[0.5, 0.9, 0.5]])).tolist() == [[2.5, 1.0, 2.5]]


@pytest.mark.parametrize("k", [3, 4, 7])
def test_friedman_is_that_of_scipy(k):
    values = np.random.default_rng(k).normal(size=(12, k)) + np.arange(k) / 3
    statistic, p_value = friedman(ranks(values))
    expected = stats.friedmanchisquare(*values.T)
    assert (statistic, p_value) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)


def chi_square_tail(x, degrees):
    """Q_n = Q_(n-2) + (x/2)^(n/2 - 1) e^(-x/2) / Γ(n/2); Q_1 = erfc √(x/2), Q_2 = e^(-x/2)."""
    if degrees <= 2:
        return math.erfc(math.sqrt(x / 2)) if degrees == 1 else math.exp(-x / 2)
    term = (x / 2) ** (degrees / 2 - 1) * math.exp(-x / 2) / math.gamma(degrees / 2)
    return chi_square_tail(x, degrees - 2) + term


@pytest.mark.parametrize("degrees", [1, 2, 3, 8, 15])
@pytest.mark.parametrize("x", [0.0, 0.3, 4.0, 60.0])
def test_the_p_value_is_the_chi_square_tail(x, degrees):
    n, k = 12, degrees + 1
    ranked = np.full((n, k), (k + 1) / 2)  # and two methods off the mean, so that χ² is x
    ranked[:, :2] += np.array([1, -1]) * math.sqrt(x * k * (k + 1) / (24 * n))
    statistic, p_value = friedman(ranked)
    assert statistic == pytest.approx(x, rel=1e-9, abs=1e-9)
    assert p_value == pytest.approx(chi_square_tail(x, degrees), rel=1e-9, abs=1e-9 * (x == 0))
    assert p_value == pytest.approx(stats.chi2.sf(x, degrees), rel=1e-9, abs=1e-9 * (x == 0))
