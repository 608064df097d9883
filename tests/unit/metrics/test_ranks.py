"""Ranks and critical differences against SciPy and the table of the paper."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.metrics.ranks import (
    chi_square_tail,
    critical_difference,
    friedman,
    ranks,
    studentized_range,
)

DEMSAR_5A = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102}
"""Demšar (2006), Table 5(a): critical values of the two-tailed Nemenyi test at 0.05."""


@pytest.mark.parametrize("k", [2, 3, 6, 20])
def test_the_studentized_range_is_that_of_scipy(k):
    expected = stats.studentized_range.ppf(0.95, k, np.inf)
    assert studentized_range(k) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("k", DEMSAR_5A)
def test_critical_differences_are_those_of_the_table(k):
    found = critical_difference(k, 14) / (k * (k + 1) / (6 * 14)) ** 0.5
    assert found == pytest.approx(DEMSAR_5A[k], abs=1e-3)  # it was made of a rounded q


def test_the_example_of_the_paper():
    # section 3.2.2: four classifiers, 14 data sets, CD = 2.569 √(4·5 / (6·14)) = 1.25
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)


def test_ranks_share_ties_and_the_highest_is_first():
    values = np.random.default_rng(0).integers(0, 4, (30, 6)).astype(float)
    assert np.array_equal(ranks(values), stats.rankdata(-values, axis=1))
    assert ranks(np.array([[0.5, 0.9, 0.5]])).tolist() == [[2.5, 1.0, 2.5]]


@pytest.mark.parametrize("k", [3, 4, 7])
def test_friedman_is_that_of_scipy(k):
    values = np.random.default_rng(k).normal(size=(12, k)) + np.arange(k) / 3
    statistic, p_value = friedman(ranks(values))
    expected = stats.friedmanchisquare(*values.T)
    assert (statistic, p_value) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)


@pytest.mark.parametrize("degrees", [1, 2, 3, 8, 15])
@pytest.mark.parametrize("x", [0.0, 0.3, 4.0, 60.0])
def test_the_chi_square_tail_is_that_of_scipy(x, degrees):
    assert chi_square_tail(x, degrees) == pytest.approx(stats.chi2.sf(x, degrees), rel=1e-9)
