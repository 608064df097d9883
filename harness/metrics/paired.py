"""Tests of two scorers, or two epochs, on the same groups; corrections for many tests.

Scores are float64, without unit, one per group, higher for more OOD; OOD is the positive class.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import ScoreError
from harness.metrics.placements import (
    Floats,
    Sides,
    Wins,
    standard_error,
    win_counts,
    win_counts_by_row,
)
from harness.results import Result

AT_ONCE = 200_000
"""Maximum number of scores compared at a time."""


@dataclass(frozen=True)
class Difference:
    """AUROC of a minus AUROC of b on the same groups, with a two-sided test for zero difference.

    Attributes:
        se: Standard error of the difference; covariance included.
        z: difference / se; 0 if both are 0, infinite if only `se` is.
        p_value: 2 (1 - Φ(|z|)); 1 if the difference is 0, 0 if `z` is infinite.
    """

    difference: float
    se: float
    z: float
    p_value: float


def delong_difference(a_in: Floats, a_out: Floats, b_in: Floats, b_out: Floats) -> Difference:
    """Apply the paired DeLong test to two scorers, or two epochs, on the same groups.

    The variance formula from `delong`, applied to the differences V_i(a) - V_i(b) and
    W_j(a) - W_j(b), equals var(A_a) + var(A_b) - 2 cov(A_a, A_b).

    Arguments:
        a_in: float64, (n,), scores of the ID groups by a, higher is more OOD; n >= 2.
        a_out: float64, (m,), scores of the OOD groups by a; m >= 2.
        b_in: float64, (n,), scores by b for the groups in `a_in`, in the same order.
        b_out: float64, (m,), scores by b for the groups in `a_out`, in the same order.

    Raises:
        ScoreError: See `delong`; also if the group counts of a and b differ.
    """
    return paired(win_counts(a_in, a_out), win_counts(b_in, b_out))


def paired_test(a: Result, b: Result) -> Difference | None:
    """Apply `delong_difference` to two results; None if scores are missing or groups differ."""
    if a.scores is None or b.scores is None:
        return None
    if any(x.shape != y.shape for x, y in zip(a.scores, b.scores, strict=True)):
        return None
    return delong_difference(*a.scores, *b.scores)


def paired(a: Wins, b: Wins) -> Difference:
    """Compute `delong_difference` from the structural components of both scorers.

    Raises:
        ScoreError: The group counts of a and b differ.
    """
    (a_out, a_in), (b_out, b_in) = a, b
    if a_in.size != b_in.size or a_out.size != b_out.size:
        raise ScoreError(
            f"a paired test needs the same groups: a has {a_in.size} ID and {a_out.size} OOD "
            f"scores, b has {b_in.size} and {b_out.size}"
        )
    wins_out, wins_in = a_out - b_out, a_in - b_in
    difference = float(wins_out.sum() / (2 * a_in.size * a_out.size))
    se = float(standard_error(wins_out, wins_in))
    z = z_ratio(difference, se)
    return Difference(difference=difference, se=se, z=z, p_value=p_value(z))


def paired_each(pairs: Sequence[tuple[Sides, Sides]]) -> list[tuple[float, float]]:
    """Compute difference and standard error, like `paired`, for many pairs of scorers.

    Arguments:
        pairs: The scores of a and b on the same groups, in the format of `win_counts`. An array
            that occurs in several neighbouring pairs is ranked once.

    Returns:
        Bit for bit the numbers from `paired`, in the order of the pairs.

    Raises:
        ScoreError: See `delong_difference`.
    """
    by_sizes: dict[tuple[int, ...], list[int]] = {}
    for place, sides in enumerate(pairs):
        sizes = tuple(len(scores) for side in sides for scores in side)
        by_sizes.setdefault(sizes, []).append(place)
    found = [(0.0, 0.0)] * len(pairs)
    for (n, m, *others), places in by_sizes.items():
        if others != [n, m]:
            paired(*(win_counts(*side) for side in pairs[places[0]]))
        count = max(1, AT_ONCE // (2 * (n + m)))
        for start in range(0, len(places), count):
            some = places[start : start + count]
            tests = _differences([pairs[place] for place in some])
            for place, test in zip(some, tests, strict=True):
                found[place] = test
    return found


def _differences(pairs: Sequence[tuple[Sides, Sides]]) -> Iterator[tuple[float, float]]:
    """Compute `paired_each` in a single step, for pairs with equal sizes."""
    sides = {tuple(map(id, side)): side for pair in pairs for side in pair}
    rows = {key: row for row, key in enumerate(sides)}
    ins, outs = (np.array(scores, np.float64) for scores in zip(*sides.values(), strict=True))
    a, b = np.array([[rows[tuple(map(id, side))] for side in pair] for pair in pairs]).T
    wins_out, wins_in = win_counts_by_row(ins, outs)
    apart_out, apart_in = wins_out[a] - wins_out[b], wins_in[a] - wins_in[b]
    differences = apart_out.sum(-1) / (2 * ins.shape[1] * outs.shape[1])
    errors = standard_error(apart_out, apart_in)
    return zip(differences.tolist(), errors.tolist(), strict=True)


def z_ratio(difference: float, se: float) -> float:
    """Return the statistic difference / se; 0 if the difference is 0, infinite if only `se` is."""
    if difference == 0.0:
        return 0.0
    return difference / se if se > 0.0 else math.copysign(math.inf, difference)


def p_value(z: float) -> float:
    """Return the two-sided p-value of a standard normal `z`: 2 (1 - Φ(|z|))."""
    return math.erfc(abs(z) / math.sqrt(2.0))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values by Holm's method: rejection at α keeps the family-wise error at most α.

    p̃_(i) = max_{j <= i} min(1, (k - j + 1) p_(j)), with the p-values in ascending order.

    Reference: A simple sequentially rejective multiple test procedure (Holm, 1979).
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
