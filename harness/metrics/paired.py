"""Differences between AUROCs on the same groups: tests, and intervals.

A difference has the same parts of error as an AUROC: examples, fit and training (see `evidence`).
Scorers, or epochs, of the same trainings differ training by training; models that were trained
separately differ by their means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np

from harness.metrics.evidence import (
    LEAST_FIT,
    Evidence,
    Variances,
    evidence_of,
    of_separate_trainings,
    refit_count,
    shape_of,
    variances,
)
from harness.metrics.intervals import LEAST_GROUPS, LEVEL, Z_95, Limits, examples_interval, joined
from harness.metrics.placements import Floats
from harness.metrics.student import LARGEST_Z, t_quantile
from harness.results import Result

Trainings: TypeAlias = Sequence[Result]
"""The results of a scorer in one place, one per training."""

Kind: TypeAlias = Literal["same", "separate"]
"""Whether a and b read the same trainings, in the same order, or models trained separately."""

LEAST_TESTED = 10
"""Minimum number of groups on each side for a test: 2 against 2 would give p <= .001 by chance."""

FEW = 30
"""Number of groups below which tests use Student's t and p-values are at least `SMALLEST`."""

SMALLEST = 0.001

AT_ONCE = 200_000
"""Maximum number of scores compared at a time."""


@dataclass(frozen=True)
class Difference:
    """Mean AUROC of a minus mean AUROC of b on the same groups.

    Attributes:
        low: Lower end of the 95 % interval; None with fewer than five groups on a side.
        high: Upper end of this interval.
        p_value: Two-sided p-value for a difference of 0; None with fewer than ten groups on a
            side.
        covers_training: Whether the error includes differences between trainings: a and b then
            have several trainings each.
    """

    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    covers_training: bool


def compared(a: Trainings, b: Trainings, kind: Kind = "same") -> Difference | None:
    """Compare a with b; None if the groups differ, or scores or refits are missing."""
    if not are_comparable(a, b):
        return None
    of_a, of_b = evidence_of([a]), evidence_of([b])
    low, high = difference_limits(of_a, of_b, kind)
    groups = _groups(of_a)
    parts = _variances(of_a, of_b, kind)
    return Difference(
        difference=float(_means(of_a, of_b)[0]),
        low=float(low[0]) if groups >= LEAST_GROUPS else None,
        high=float(high[0]) if groups >= LEAST_GROUPS else None,
        p_value=p_values(of_a, of_b, kind)[0],
        covers_training=bool(np.isfinite(parts.df[0])),
    )


def are_comparable(a: Trainings, b: Trainings) -> bool:
    """Check that all results have scores for equally many groups, and equally many refits."""
    shapes = {shape_of(result) for result in (*a, *b)}
    fits = {refit_count(result) for result in (*a, *b)} - {0}
    return len(shapes) == 1 and None not in shapes and len(fits) <= 1


def is_surely_different(a: Result, b: Result, tests: int = 1) -> bool:
    """Check, without the scores, that p <= LEVEL / tests in the test of two results; saves tests.

    The standard error of a difference is at most the sum of both errors (Cauchy and Schwarz), for
    each part. False with few groups.
    """
    if a.metrics is None or b.metrics is None or None in (a.metrics.auroc_se, b.metrics.auroc_se):
        return False
    x, y = a.metrics, b.metrics
    if min(x.n_in, x.n_out, y.n_in, y.n_out) < FEW:
        return False
    z, t = _strict_quantiles(tests)
    examples = z * (x.auroc_se_examples + y.auroc_se_examples)
    of_fit = t * ((x.auroc_se_fit or 0.0) + (y.auroc_se_fit or 0.0))
    return (x.auroc - y.auroc) ** 2 > examples**2 + of_fit**2


@lru_cache(maxsize=1024)
def _strict_quantiles(tests: int) -> tuple[float, float]:
    """Return the normal quantile at LEVEL / tests, and Student's t for the fewest refits."""
    z = NormalDist().inv_cdf(1 - LEVEL / tests / 2)
    return z, float(t_quantile(min(z, LARGEST_Z), LEAST_FIT - 1))


def p_values_each(pairs: Sequence[tuple[Trainings, Trainings]]) -> list[float | None]:
    """Test many pairs of scorers, or epochs, of the same trainings.

    Arguments:
        pairs: a and b, comparable; a result that occurs in several neighbouring pairs is ranked
            once.

    Returns:
        The p-value from `compared` for each pair.
    """
    alike: dict[tuple[object, ...], list[int]] = {}
    for place, (a, b) in enumerate(pairs):
        fits = max(map(refit_count, (*a, *b)))
        alike.setdefault((shape_of(a[0]), len(a), fits), []).append(place)
    found: list[float | None] = [None] * len(pairs)
    for (shape, trainings, _), places in alike.items():
        assert isinstance(shape, tuple), "comparable results have a shape"
        assert isinstance(trainings, int), "a number of results"
        count = max(1, AT_ONCE // (2 * sum(shape[:2]) * trainings))
        for start in range(0, len(places), count):
            some = places[start : start + count]
            of_a, of_b = (evidence_of([pairs[place][side] for place in some]) for side in (0, 1))
            for place, p in zip(some, p_values(of_a, of_b, "same"), strict=True):
                found[place] = p
    return found


def p_values(a: Evidence, b: Evidence, kind: Kind) -> list[float | None]:
    """Compute the two-sided p-values of K differences; None with fewer than ten groups on a side.

    p solves d² = max(q² c_examples + t² c_fit + t² c_training, q² v_examples + t² v_fit), with the
    variances from `Variances`, the normal quantile q at p, and Student's t at p for few refits or
    trainings. The p-value is 1 for a difference of exactly 0.
    """
    groups = _groups(a)
    differences = np.abs(_means(a, b))
    if groups < LEAST_TESTED:
        return [None] * len(differences)
    parts = _variances(a, b, kind)
    df = float(groups - 1) if groups < FEW else math.inf
    z = _z_at(differences, parts, df, _fit_df(a, b))
    found = [math.erfc(value / math.sqrt(2)) for value in z.tolist()]
    return [max(SMALLEST, p) for p in found] if groups < FEW else list(found)


def _z_at(differences: Floats, parts: Variances, df: float, df_fit: float) -> Floats:
    """Solve the equation of `p_values` for the normal quantile at p, by bisection."""
    is_normal = math.isinf(df) and not (parts.fit.any() or parts.training.any())
    if is_normal:
        se = np.sqrt(parts.all_examples)
        found = np.divide(differences, se, out=np.full_like(se, math.inf), where=se > 0)
        return np.where(differences > 0, found, 0.0)
    low, high = np.zeros_like(differences), np.full_like(differences, LARGEST_Z)
    for _ in range(40):
        z = (low + high) / 2
        is_beyond = differences > _half_width(z, parts, df, df_fit)
        low, high = np.where(is_beyond, z, low), np.where(is_beyond, high, z)
    return np.where(differences > 0, (low + high) / 2, 0.0)


def _half_width(z: Floats, parts: Variances, df: float, df_fit: float) -> Floats:
    """Return the largest difference that is not significant at the level of `z`."""
    of_examples, of_fit = t_quantile(z, df) ** 2, t_quantile(z, df_fit) ** 2
    of_training = np.empty_like(z)
    for each in np.unique(parts.df):
        of_training[parts.df == each] = t_quantile(z[parts.df == each], each) ** 2
    shared = of_examples * parts.examples + of_fit * parts.fit + of_training * parts.training
    given = of_examples * parts.all_examples + of_fit * parts.all_fit
    found: Floats = np.sqrt(np.maximum(shared, given))
    return found


def difference_limits(a: Evidence, b: Evidence, kind: Kind, z: float = Z_95) -> Limits:
    """Compute intervals for K differences of mean AUROCs, a - b.

    The examples' part is the wider of d ± z sqrt(v) and the MOVER interval (Zou, 2007), which is
    right near 1, where differences are skewed:

        low  = d - sqrt((A_a - l_a)² + (u_b - A_b)² - 2 r (A_a - l_a) (u_b - A_b)),
        high = d + sqrt((u_a - A_a)² + (A_b - l_b)² - 2 r (u_a - A_a) (A_b - l_b)),

    from the two intervals (l, u) and the correlation r of the two AUROCs. The parts for fit and
    training, t times a standard error, are added by squares. As in `p_values`, trainings that
    differ little do not make an interval shorter than sqrt(z² v_examples + t² v_fit) on each side.
    So with 30 groups on each side, p <= .05 wherever a 95 % interval excludes 0; the reverse holds
    where the MOVER interval is not the wider one.

    Arguments:
        a: Evidence of K AUROCs.
        b: Evidence of K AUROCs on the same groups.
        kind: See `Kind`.
        z: Normal quantile of the intervals; 1.645 gives one-sided 95 % limits.

    Reference: Toward using confidence intervals to compare correlations (Zou, 2007),
    https://doi.org/10.1037/1082-989X.12.4.399
    """
    parts = _variances(a, b, kind)
    difference = _means(a, b)
    t_fit = t_quantile(z, _fit_df(a, b))
    t_training = np.array([float(t_quantile(z, df)) for df in parts.df])
    wald = z * np.sqrt(parts.examples)
    lower, upper = _mover(a, b, parts.examples, z)
    found = [
        (difference - np.maximum(wald, lower), difference + np.maximum(wald, upper)),
        _around(difference, t_fit * np.sqrt(parts.fit)),
        _around(difference, t_training * np.sqrt(parts.training)),
    ]
    low, high = joined(difference, found)
    least = _around(difference, np.sqrt(z**2 * parts.all_examples + t_fit**2 * parts.all_fit))
    low, high = np.minimum(low, least[0]), np.maximum(high, least[1])
    return np.maximum(-1.0, low), np.minimum(1.0, high)


def _mover(a: Evidence, b: Evidence, variance: Floats, z: float) -> Limits:
    """Return the distances of the MOVER limits below and above the difference."""
    (area_a, of_a, (low_a, high_a)), (area_b, of_b, (low_b, high_b)) = (
        _examples_alone(side, z) for side in (a, b)
    )
    product = 2 * np.sqrt(of_a * of_b)
    r = np.divide(of_a + of_b - variance, product, out=np.zeros_like(product), where=product > 0)
    r = np.clip(r, -1.0, 1.0)

    def distance(x: Floats, y: Floats) -> Floats:
        found: Floats = np.sqrt(np.maximum(0.0, x * x + y * y - 2 * r * x * y))
        return found

    return distance(area_a - low_a, high_b - area_b), distance(high_a - area_a, area_b - low_b)


def _examples_alone(evidence: Evidence, z: float) -> tuple[Floats, Floats, Limits]:
    """Return mean AUROCs with the variance and the interval of the examples' part."""
    area: Floats = evidence.aurocs.mean(1)
    variance, mean = variances(evidence).examples, evidence.mean()
    wins = mean.wins_out[:, 0], mean.wins_in[:, 0]
    return area, variance, examples_interval(area, variance, *wins, z)


def _around(value: Floats, half: Floats) -> Limits:
    return value - half, value + half


def _variances(a: Evidence, b: Evidence, kind: Kind) -> Variances:
    return variances(a - b) if kind == "same" else of_separate_trainings(a, b)


def _means(a: Evidence, b: Evidence) -> Floats:
    found: Floats = (a.mean() - b.mean()).aurocs[:, 0]
    return found


def _fit_df(a: Evidence, b: Evidence) -> float:
    """Return the degrees of freedom of the fit's variance; 1 if nothing is fitted."""
    refits = max(int(side.refits.shape[-1]) for side in (a, b))
    return max(1.0, refits - 1.0)


def _groups(evidence: Evidence) -> int:
    """Return the number of groups on the smaller side."""
    return min(int(wins.shape[-1]) for wins in (evidence.wins_in, evidence.wins_out))
