"""OVL: how much the densities of two samples overlap, by Gaussian kernel density estimates."""

from __future__ import annotations

import numpy as np

from harness.errors import ScoreError
from harness.metrics.placements import Floats

REACH = 9.0
"""Bandwidths beyond which a sample's density counts as nothing: there it is below 1e-17 / h."""

STEPS = 9
"""Points per bandwidth of the narrower density: the integral is then good to three decimals even
for two examples a side, and to four for a thousand."""

ROUNDING = 1e-12
"""Relative differences up to this are no spread."""

CHUNK = 2**22
"""Kernel values held in memory at once."""


def overlap(a: Floats, b: Floats) -> float:
    """OVL = ∫ min(p(x), q(x)) dx of the kernel density estimates p of `a` and q of `b`.

    As in the paper the integral runs over the union of the ranges of the samples, from the least
    to the greatest of all values: the tails of the estimates beyond are left out, so that the OVL
    of a sample with itself is a little below 1 (0.99 for a thousand normal ones). Trapezoids.

    A sample without spread (all values equal, or a single one) is a point mass. It overlaps with
    a density by 0, and with the point mass at the same place by 1.

    Arguments:
        a: float64, (n,), such as bits per dimension of ID examples.
        b: float64, (m,), in the same unit; OVL does not depend on it.

    Returns:
        In [0, 1]; 0 where the two never meet.

    Raises:
        ScoreError: A sample is empty, not one-dimensional, or has values that are not finite.
    """
    a, b = _checked(a), _checked(b)
    widths = bandwidth(a), bandwidth(b)
    if 0.0 in widths:
        alike = np.isclose(a.mean(), b.mean(), rtol=ROUNDING, atol=0.0)
        return float(widths == (0.0, 0.0) and alike)
    low, high = _common_range(a, b)
    if low >= high:
        return 0.0
    intervals = int(np.ceil((high - low) / min(widths) * STEPS))
    points = np.linspace(low, high, intervals + 1)
    lower = np.minimum(kernel_density(a, points), kernel_density(b, points))
    trapezoids = (lower[1:] + lower[:-1]) / 2
    return min(1.0, float(trapezoids.sum() * (high - low) / intervals))


def bandwidth(sample: Floats) -> float:
    """Scott's rule h = s n^(-1/5), s with n - 1, as scipy's `gaussian_kde`; 0 without spread.

    Reference: Multivariate Density Estimation (Scott, 1992).
    """
    if np.ptp(sample) <= ROUNDING * np.abs(sample).max():
        return 0.0
    return float(np.std(sample, ddof=1) * sample.size ** (-1 / 5))


def kernel_density(sample: Floats, points: Floats) -> Floats:
    """The Gaussian kernel density estimate (1 / n h) Σ_i φ((x - x_i) / h) at each point.

    Arguments:
        sample: float64, (n,), with some spread.
        points: float64, (k,).

    Returns:
        float64, (k,), in one over the unit of the sample.
    """
    width = bandwidth(sample)
    step = max(1, CHUNK // sample.size)
    sums = [
        np.exp(-0.5 * ((points[start : start + step, None] - sample) / width) ** 2).sum(axis=1)
        for start in range(0, points.size, step)
    ]
    density: Floats = np.concatenate(sums) / (sample.size * width * np.sqrt(2 * np.pi))
    return density


def _common_range(a: Floats, b: Floats) -> tuple[float, float]:
    """The part of the union of the ranges where neither density counts as nothing."""
    reach_a, reach_b = REACH * bandwidth(a), REACH * bandwidth(b)
    low = max(min(a.min(), b.min()), a.min() - reach_a, b.min() - reach_b)
    high = min(max(a.max(), b.max()), a.max() + reach_a, b.max() + reach_b)
    return float(low), float(high)


def _checked(sample: Floats) -> Floats:
    values = np.asarray(sample, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ScoreError(f"an overlap needs samples of shape (n,), not {values.shape}")
    if not np.isfinite(values).all():
        raise ScoreError("an overlap needs finite values")
    return values
