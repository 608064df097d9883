"""Intervals of an AUROC for each part of its error, and the interval for all parts together.

Every function works on arrays of AUROCs, element by element.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from harness.metrics.placements import Floats

Limits: TypeAlias = tuple[Floats, Floats]
"""Lower and upper end of an interval."""

LEVEL = 0.05
"""Level of the tests; every interval has confidence 1 - LEVEL."""

Z_95 = 1.959963984540054
"""The normal quantile at 1 - LEVEL / 2."""

LEAST_GROUPS = 5
"""Minimum number of groups on each side for an interval: 3 against 3 cover .91 at A = .5."""

PRIOR_ERRORS = 10.0
"""Weight of the variance expected from A alone, in groups with an error. With few such groups the
DeLong variance rests on few of them."""


def examples_interval(
    area: Floats, variance: Floats, wins_out: Floats, wins_in: Floats, z: float = Z_95
) -> Limits:
    """Compute Wilson's interval for an AUROC with an effective number N of trials.

        low, high = (A + z²/2N ∓ z sqrt(A (1 - A) / N + z²/4N²)) / (1 + z²/N)
        1/N = 1/D                            if D = A (1 - A) / v <= H,
              (k/D + 10/H) / (k + 10)        otherwise

    H is the number of trials by the variance that A alone leads to expect (Newcombe, method 5);
    k is the number of groups with an error, on the side with fewer of them. The interval includes
    the bound for a perfect separation, so that a score with an inversion does not have a narrower
    interval than a perfect score (beyond 1e-4). At A = 1 the interval ends at 1, at A = 0 at 0.

    In simulations (normal scores, 30/20 to 1000/1000 groups, A = .5 to .998) the interval covers
    the AUROC in .93 to .99 of runs; `benchmarks/coverage.py` prints the table.

    Arguments:
        area: A, in [0, 1], (...).
        variance: DeLong's variance v of A, (...).
        wins_out: 2n V, (..., m), see `placements.win_counts`.
        wins_in: 2m W, (..., n).
        z: Normal quantile of the interval, 1.96 for 95 %.

    References:
        | Confidence intervals for an effect size measure based on the Mann-Whitney statistic,
          part 2: asymptotic methods and evaluation (Newcombe, 2006)
        | https://doi.org/10.1002/sim.2324
        | Probable inference, the law of succession, and statistical inference (Wilson, 1927)
        | https://doi.org/10.1080/01621459.1927.10502953
    """
    m, n = wins_out.shape[-1], wins_in.shape[-1]
    expected = 1 / expected_trials(area, n, m)
    spread = area * (1 - area)
    delong = np.divide(variance, spread, out=np.zeros_like(expected), where=spread > 0)
    k = _groups_with_errors(area, wins_out, wins_in)
    blended = (k * delong + PRIOR_ERRORS * expected) / (k + PRIOR_ERRORS)
    return wilson(area, np.where(delong >= expected, delong, blended), n, m, z)


def wilson(area: Floats, inverse: Floats, n_in: int, n_out: int, z: float = Z_95) -> Limits:
    """Compute Wilson's interval for 1 / `inverse` trials, including the bound at A = 1 or 0."""
    square = z * z * inverse
    middle = area + square / 2
    half = np.sqrt(square * (area * (1 - area) + square / 4))
    perfect = 1 / (1 + z * z / expected_trials(np.float64(1), n_in, n_out))
    low = np.minimum((middle - half) / (1 + square), perfect)
    high = np.maximum((middle + half) / (1 + square), 1 - perfect)
    return np.where(area <= 0, 0.0, low), np.where(area >= 1, 1.0, high)


def logit_interval(area: Floats, half: Floats) -> Limits:
    """Compute expit(logit A ∓ h / (A (1 - A))); at A = 0 or 1, A ∓ h, clipped to [0, 1].

    Arguments:
        area: A, in [0, 1].
        half: h, a quantile times a standard error of A.
    """
    spread = area * (1 - area)
    is_inside = spread > 0
    safe = np.where(is_inside, area, 0.5)
    with np.errstate(over="ignore"):
        odds = np.exp(np.divide(half, spread, out=np.zeros_like(spread), where=is_inside))
    low = np.where(is_inside, safe / (safe + (1 - safe) * odds), np.maximum(0.0, area - half))
    high = np.where(
        is_inside, 1 - (1 - safe) / (1 - safe + safe * odds), np.minimum(1.0, area + half)
    )
    return low, high


def joined(value: Floats, parts: Sequence[Limits]) -> Limits:
    """Join the intervals of the parts of an error, by the squares of the distances on each side.

    low = A - sqrt(Σ_parts (A - low_part)²),   high = A + sqrt(Σ_parts (high_part - A)²)
    """
    below = np.sum([(value - low) ** 2 for low, _ in parts], axis=0)
    above = np.sum([(high - value) ** 2 for _, high in parts], axis=0)
    return value - np.sqrt(below), value + np.sqrt(above)


def expected_trials(area: Floats | float, n_in: int, n_out: int) -> Floats:
    """Compute H(A) = n m / (1 + N* ((1 - A) / (2 - A) + A / (1 + A))),  N* = (n + m) / 2 - 1.

    A (1 - A) / H is Hanley and McNeil's variance with one N* for both sides, by which the interval
    is symmetric in ID and OOD (Newcombe, 2006, method 5).

    Arguments:
        area: A, in [0, 1].
        n_in: Number of ID groups, n.
        n_out: Number of OOD groups, m.
    """
    common = (n_in + n_out) / 2 - 1
    found: Floats = np.asarray(
        n_in * n_out / (1 + common * ((1 - area) / (2 - area) + area / (1 + area)))
    )
    return found


def _groups_with_errors(area: Floats, wins_out: Floats, wins_in: Floats) -> Floats:
    """Count the groups that lose (win, for A < .5) a comparison; the smaller side counts."""
    most = 2 * wins_in.shape[-1], 2 * wins_out.shape[-1]
    errors = [
        np.where(area >= 0.5, (wins < top).sum(-1), (wins > 0).sum(-1))
        for wins, top in zip((wins_out, wins_in), most, strict=True)
    ]
    found: Floats = np.minimum(*errors)
    return found
