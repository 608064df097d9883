"""Quantiles of Student's t, as a function of the normal quantile at the same level.

Exact for whole degrees of freedom, and without SciPy, whose import takes longer than a report.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from harness.metrics.placements import Floats

LARGEST_Z = 6.0
"""Largest normal quantile in the table, p = 2e-9: the smallest p-value with Student's t."""

STEPS = 2048
"""Points of the table; linear interpolation is then correct to a relative error of 4e-5."""


def t_quantile(z: Floats | float, df: float) -> Floats:
    """Return the quantile of Student's t at the level that `z` has in the normal distribution.

    Arguments:
        z: Normal quantile, from 0 to `LARGEST_Z`, any shape; 1.96 stands for a two-sided 5 %.
        df: Degrees of freedom, at least 1; rounded down, which widens an interval. Infinity gives
            `z` itself.

    Returns:
        float64, same shape.
    """
    if math.isinf(df):
        return np.asarray(z, np.float64)
    found: Floats = np.asarray(np.interp(z, *_table(int(df))))
    return found


@lru_cache(maxsize=256)
def _table(df: int) -> tuple[Floats, Floats]:
    """Invert `two_sided_tail` at normal quantiles up to `LARGEST_Z`, by bisection of the angle."""
    grid = np.linspace(0.0, LARGEST_Z, STEPS)
    tails = np.array([math.erfc(z / math.sqrt(2)) for z in grid])
    low, high = np.zeros(STEPS), np.full(STEPS, math.pi / 2)
    for _ in range(60):
        middle = (low + high) / 2
        is_short = two_sided_tail(middle, df) > tails
        low, high = np.where(is_short, middle, low), np.where(is_short, high, middle)
    quantiles = np.tan((low + high) / 2) * math.sqrt(df)
    quantiles[0] = 0.0
    return grid, quantiles


def two_sided_tail(angle: Floats, df: int) -> Floats:
    """Compute P(|T| > t) for Student's t with `df` degrees of freedom.

    1 - sin θ (1 + 1/2 cos² θ + ... )                 for even ν, θ = atan(t / √ν),
    1 - 2/π (θ + sin θ (cos θ + 2/3 cos³ θ + ...))    for odd ν, the last power being ν - 2:
    Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 26.7.4.

    Arguments:
        angle: θ, from 0 to π / 2.
        df: ν, at least 1.
    """
    sine, cosine = np.sin(angle), np.cos(angle)
    is_odd = df % 2
    term = cosine if is_odd else np.ones_like(angle)
    total = np.zeros_like(angle)
    for power in range(1 + is_odd, df, 2):
        total += term
        term = term * cosine**2 * power / (power + 1)
    inside = 2 / math.pi * (angle + sine * total) if is_odd else sine * total
    return 1 - inside
