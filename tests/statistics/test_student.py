"""Student's t as a function of the normal quantile: against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.metrics.intervals import Z_95
from harness.metrics.student import LARGEST_Z, t_quantile, two_sided_tail
from harness.report.enough import Z_ONE_SIDED


@pytest.mark.parametrize("df", [*range(1, 13), 19, 28, 29, 60, 999])
def test_quantiles_are_those_of_scipy(df):
    z = np.array([0.0, 1e-3, 0.1, 0.7, Z_ONE_SIDED, Z_95, 2.6, 3.3, 4.8, LARGEST_Z])
    expected = stats.t.isf(stats.norm.sf(z), df)
    assert t_quantile(z, df) == pytest.approx(expected, rel=5e-5, abs=1e-12)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 9, 28, 99])
def test_tails_are_those_of_scipy(df):
    t = np.array([0.0, 0.3, 1.0, 2.262, 12.7, 60.0])
    assert two_sided_tail(np.arctan(t / math.sqrt(df)), df) == pytest.approx(
        2 * stats.t.sf(t, df), rel=1e-9, abs=1e-14
    )


def test_known_quantiles():
    assert t_quantile(Z_95, 9) == pytest.approx(2.262157, abs=1e-4)
    assert t_quantile(Z_ONE_SIDED, 9) == pytest.approx(1.833113, abs=1e-4)
    assert t_quantile(Z_95, 1) == pytest.approx(12.7062, abs=1e-3)
    assert t_quantile(Z_95, math.inf) == Z_95


def test_degrees_of_freedom_are_rounded_down_and_the_table_ends():
    assert t_quantile(Z_95, 2.9) == t_quantile(Z_95, 2)
    assert t_quantile(9.0, 4) == t_quantile(LARGEST_Z, 4)
