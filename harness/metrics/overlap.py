"""OVL: overlap between two sample densities, by Gaussian kernel density estimates."""

from __future__ import annotations

import numpy as np

from harness.errors import ScoreError
from harness.metrics.placements import Floats

REACH = 9.0
"""Distance, in bandwidths, beyond which a density is negligible: below 1e-17 / h."""

NORMAL_IQR = 1.349
"""Interquartile range of a normal distribution in standard deviations."""

STEPS = 9
"""Points per bandwidth of the narrower density: enough for three correct decimals of the integral
with two examples per side, and four decimals with a thousand."""

ROUNDING = 1e-12
"""Maximum relative difference between values treated as equal."""

CHUNK = 2**22
"""Maximum number of kernel values in memory at once."""


def overlap(a: Floats, b: Floats) -> float:
    """Compute OVL = ∫ min(p(x), q(x)) dx for the kernel density estimates p of `a` and q of `b`.

    The integral runs over the union of the sample ranges, from the smallest to the largest value:
    the tails of the estimates outside are left out, so the OVL of a sample with itself is slightly
    below 1 (0.99 for a thousand normal values). Range, bandwidth and the trapezoidal rule are
    choices of ours: the paper does not state how its OVL was computed. The rule is applied where
    the narrower density matters; the lower of both is negligible elsewhere.

    A sample without spread (all values equal, or a single value) is a point mass: the overlap with
    a density is 0, and the overlap with a point mass at the same place is 1.

    Arguments:
        a: float64, (n,), for example bits per dimension of ID examples.
        b: float64, (m,), in the same unit; OVL does not depend on the unit.

    Returns:
        In [0, 1]; 0 if the densities never meet.

    Raises:
        ScoreError: A sample is empty, not one-dimensional, or has values that are not finite.
    """
    a, b = _checked(a), _checked(b)
    widths = bandwidth(a), bandwidth(b)
    if 0.0 in widths:
        alike = np.isclose(a.mean(), b.mean(), rtol=ROUNDING, atol=0.0)
        return float(widths == (0.0, 0.0) and alike)
    low, high = min(a.min(), b.min()), max(a.max(), b.max())
    intervals = np.ceil((high - low) / min(widths) * STEPS)
    step = (high - low) / intervals
    places = _places(a if widths[0] <= widths[1] else b, low, step, intervals)
    points = low + places * step
    lower = np.minimum(kernel_density(a, points), kernel_density(b, points))
    weights = np.where((places == 0) | (places == intervals), 0.5, 1.0)
    return min(1.0, float((weights * lower).sum() * step))


def bandwidth(sample: Floats) -> float:
    """Apply Scott's rule h = A n^(-1/5) to a spread A = min(s, IQR / 1.349) without outliers.

    s is the standard deviation with n - 1, IQR the interquartile range; for normal values
    IQR / 1.349 estimates s too. A few outliers would widen s, and with it the density of all other
    values, until that density overlaps with nothing (Silverman, 1986, p. 47). Where the quartiles
    are equal, A = s. A sample without spread has bandwidth 0.

    References:
        | Multivariate Density Estimation (Scott, 1992)
        | Density Estimation for Statistics and Data Analysis (Silverman, 1986)
    """
    if np.ptp(sample) <= ROUNDING * np.abs(sample).max():
        return 0.0
    low, high = np.quantile(sample, [0.25, 0.75])
    spread = float(np.std(sample, ddof=1))
    if high - low > ROUNDING * max(abs(low), abs(high)):
        spread = min(spread, float(high - low) / NORMAL_IQR)
    return spread * float(sample.size ** (-1 / 5))


def kernel_density(sample: Floats, points: Floats) -> Floats:
    """Evaluate the Gaussian kernel density estimate (1 / n h) Σ_i φ((x - x_i) / h) at each point.

    Arguments:
        sample: float64, (n,), with some spread.
        points: float64, (k,).

    Returns:
        float64, (k,), in the inverse unit of the sample.
    """
    width = bandwidth(sample)
    step = max(1, CHUNK // sample.size)
    sums = [
        np.exp(-0.5 * ((points[start : start + step, None] - sample) / width) ** 2).sum(axis=1)
        for start in range(0, points.size, step)
    ]
    density: Floats = np.concatenate(sums) / (sample.size * width * np.sqrt(2 * np.pi))
    return density


def _places(sample: Floats, low: float, step: float, intervals: float) -> Floats:
    """Return the places k of points low + k step, 0 <= k <= intervals, near values of a sample.

    These are all places of the range unless the sample has gaps. So outliers cost no time.
    """
    reach = np.arange(-REACH * STEPS - 1, REACH * STEPS + 2)
    near = np.unique(np.rint((sample - low) / step))
    places = np.unique(near[:, None] + reach)
    kept: Floats = places[(places >= 0) & (places <= intervals)]
    return kept


def _checked(sample: Floats) -> Floats:
    values = np.asarray(sample, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ScoreError(f"an overlap needs samples of shape (n,), not {values.shape}")
    if not np.isfinite(values).all():
        raise ScoreError("an overlap needs finite values")
    return values
