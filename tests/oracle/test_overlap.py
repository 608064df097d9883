"""OVL against scipy's kernel density estimates, a fine integral and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.errors import ScoreError
from harness.metrics import overlap as module
from harness.metrics.overlap import bandwidth, kernel_density, overlap


def estimate(sample):
    """The kernel density estimate of scipy, with the smaller of two spreads."""
    spread = min(sample.std(ddof=1), stats.iqr(sample, scale="normal") or np.inf)
    return stats.gaussian_kde(sample, spread / sample.std(ddof=1) * len(sample) ** -0.2)


def by_scipy(a, b):
    """The integral of the lower estimate, on a grid much finer than any bandwidth."""
    p, q = estimate(a), estimate(b)
    low, high = min(a.min(), b.min()), max(a.max(), b.max())
    x = np.linspace(low, high, 100_001)
    return np.trapezoid(np.minimum(p(x), q(x)), x)


SAMPLES = {
    "alike": lambda r: (r.normal(size=60), r.normal(size=50)),
    "shifted": lambda r: (r.normal(size=80), r.normal(1.5, size=40)),
    "one within the other": lambda r: (r.normal(0, 5, size=100), r.normal(1, 0.05, size=90)),
    "skewed": lambda r: (r.gamma(2, size=70), r.lognormal(size=70)),
    "two humps": lambda r: (r.normal(size=20) + 4 * np.resize([-1, 1], 20), r.normal(size=9)),
    "an outlier": lambda r: (np.append(r.normal(size=60), 50.0), r.normal(2, size=60)),
    "few": lambda r: (r.normal(size=2), r.normal(size=3)),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("seed", range(3))
def test_scipy_and_a_fine_integral(name, seed):
    a, b = SAMPLES[name](np.random.default_rng(seed))
    tolerance = 2e-3 if name == "few" else 2e-4
    assert overlap(a, b) == pytest.approx(by_scipy(a, b), abs=tolerance)
    assert overlap(b, a) == overlap(a, b)


def test_the_density_is_that_of_scipy(monkeypatch):
    sample, points = np.random.default_rng(0).normal(size=50), np.linspace(-5, 5, 101)
    expected = estimate(sample)
    assert bandwidth(sample) == pytest.approx(np.sqrt(expected.covariance[0, 0]), rel=1e-12)
    assert kernel_density(sample, points) == pytest.approx(expected(points), rel=1e-12)
    monkeypatch.setattr(module, "CHUNK", 170)  # three points at a time, the last chunk smaller
    assert kernel_density(sample, points) == pytest.approx(expected(points), rel=1e-12)


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_two_normals_at_large_n(shift):
    """OVL of N(0, 1) and N(d, 1) is 2 Φ(-d / 2); a kernel of width h widens both to 1 + h²."""
    n = 4000
    quantiles = stats.norm.ppf((np.arange(n) + 0.5) / n)
    wide = np.sqrt(1 + bandwidth(quantiles) ** 2)
    expected = 2 * stats.norm.cdf(-shift / 2 / wide)
    assert overlap(quantiles, quantiles + shift) == pytest.approx(expected, abs=1e-3)
    assert overlap(quantiles, quantiles + shift) == pytest.approx(
        2 * stats.norm.cdf(-shift / 2), abs=0.02
    )


@pytest.mark.parametrize("far", [50.0, 1e6, -1e9, 1e30])
def test_outliers_do_not_decide(far):
    """OVL of N(0, 1) and N(1.5, 1), 2 Φ(-.75) = .453, with 3 % of one sample far away."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=500), np.append(rng.normal(1.5, size=485), np.full(15, far))
    assert overlap(a, b) == overlap(b, a) == pytest.approx(0.453, abs=0.04)
    assert overlap(a, a[:485]) > 0.95


def test_the_spread_of_a_sample_with_outliers_is_that_of_its_middle_half():
    sample = np.append(np.random.default_rng(0).normal(size=99), 500.0)
    expected = stats.iqr(sample, scale="normal") * 100**-0.2
    assert bandwidth(sample) == pytest.approx(expected, rel=1e-4)
    assert bandwidth(sample) < 0.1 * sample.std(ddof=1) * 100**-0.2


def test_equal_quartiles_leave_the_standard_deviation():
    sample = np.repeat([0.0, 1.0, 5.0], [80, 10, 10])
    assert bandwidth(sample) == pytest.approx(sample.std(ddof=1) * 100**-0.2, rel=1e-12)


def test_a_sample_overlaps_with_itself_but_for_its_tails():
    sample = np.random.default_rng(0).normal(size=1000)
    assert 0.99 < overlap(sample, sample) < 1.0


def test_unit_and_origin_do_not_matter():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=100), rng.normal(1, size=100)
    assert overlap(-3e3 * a + 7, -3e3 * b + 7) == pytest.approx(overlap(a, b), rel=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([2.0, 2.0], [2.0, 2.0, 2.0], 1.0),
        ([2.0], [2.0], 1.0),
        ([0.0], [0.0], 1.0),
        ([2.0, 2.0], [3.0, 3.0], 0.0),
        ([2.0, 2.0], [1.0, 2.0, 3.0], 0.0),
        ([2.0, 2.0 + 1e-15], [2.0, 2.0], 1.0),
        ([0.0, 1.0], [1e6, 1e6 + 1], 0.0),
    ],
)
def test_samples_without_spread_are_point_masses_and_far_ones_never_meet(a, b, expected):
    assert overlap(np.array(a), np.array(b)) == expected
    assert overlap(np.array(b), np.array(a)) == expected


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ([], "an overlap needs samples of shape (n,), not (0,)"),
        ([[1.0]], "an overlap needs samples of shape (n,), not (1, 1)"),
        ([1.0, np.nan], "an overlap needs finite values"),
    ],
)
def test_what_has_no_density_is_refused(sample, message):
    with pytest.raises(ScoreError) as raised:
        overlap(np.array([1.0, 2.0]), np.array(sample))
    assert str(raised.value) == message
