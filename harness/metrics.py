"""How well scores tell OOD from ID: ranks only, with standard errors and paired tests.

Scores are higher for more OOD, and OOD is the positive class. Nothing here looks at more than the
order of the scores, and nothing rescales them first: nats-scale scores (around -1e4, differing in
the last digits) would lose their order. A score is float64, without unit, one per group.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.errors import ScoreError

Floats: TypeAlias = NDArray[np.float64]

Sides: TypeAlias = tuple[Floats, Floats]
"""The scores of the ID groups, (n,), and of the OOD groups, (m,), by one scorer."""

Wins: TypeAlias = tuple[Floats, Floats]
"""How often each OOD group beats an ID group, and each ID group is beaten: see `win_counts`."""

AT_ONCE = 200_000
"""So many scores are compared at a time where many scorers are."""

LEVEL = 0.05
"""Level of the tests; every interval has confidence 1 - LEVEL."""

Z_95 = 1.959963984540054
"""The normal quantile at 1 - LEVEL / 2."""


@dataclass(frozen=True)
class AurocEstimate:
    """An AUROC with its DeLong standard error and its 95 % interval, all in [0, 1]."""

    auroc: float
    se: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """AUROC of a minus AUROC of b on the same groups, and the two-sided test that it is 0.

    Attributes:
        se: Standard error of the difference; covariance included.
        z: difference / se; 0 if both are 0, infinite if only `se` is.
        p_value: 2 (1 - Φ(|z|)); 1 if there is no difference, 0 if `z` is infinite.
    """

    difference: float
    se: float
    z: float
    p_value: float


def auroc(scores_in: Floats, scores_out: Floats) -> float:
    """Probability that an OOD group scores higher than an ID group, ties counted half.

    A = (1 / mn) Σ_ij [out_i > in_j] + ½ [out_i = in_j], the Mann-Whitney statistic, by sorting.

    Arguments:
        scores_in: float64, (n,), scores of the ID groups, higher is more OOD.
        scores_out: float64, (m,), scores of the OOD groups.

    Raises:
        ScoreError: A side is empty, not one-dimensional, or has scores that are not finite.
    """
    scores_in, scores_out = _checked(scores_in, scores_out)
    wins = _doubled_counts_below(scores_out, scores_in)
    return float(wins.sum() / (2 * scores_in.size * scores_out.size))


def delong(scores_in: Floats, scores_out: Floats) -> AurocEstimate:
    """AUROC with its DeLong standard error and 95 % interval.

    se² = var(V_i) / m + var(W_j) / n, where V_i is the share of ID groups that OOD group i beats,
    W_j the share of OOD groups that beat ID group j (ties half), and var divides by size - 1. The
    shares come from sorting (midranks), so in O((m + n) log(m + n)). The interval is
    expit(logit A ± 1.96 se / (A (1 - A))), which stays inside (0, 1).

    `se` is 0 in two cases only, and DeLong says nothing about either:
     - All scores are equal: A = ½, and the interval is [½, ½].
     - A perfect separation, A = 1 or 0. The interval is then the exact one of k = min(m, n)
       disjoint pairs that are all in order, [0.025^(1/k), 1] (Clopper and Pearson, 1934), or its
       mirror image; `se` stays 0.

    Arguments:
        scores_in: float64, (n,), scores of the ID groups, higher is more OOD; n >= 2.
        scores_out: float64, (m,), scores of the OOD groups; m >= 2.

    Raises:
        ScoreError: As for `auroc`, or a side has a single score, which has no variance.

    References:
        | Comparing the areas under two or more correlated ROC curves (DeLong et al., 1988)
        | https://doi.org/10.2307/2531595
        | Fast implementation of DeLong's algorithm (Sun and Xu, 2014)
        | https://doi.org/10.1109/LSP.2014.2337313
    """
    scores_in, scores_out = _checked(scores_in, scores_out, at_least=2)
    wins_out, wins_in = _wins(scores_in, scores_out)
    n, m = scores_in.size, scores_out.size
    area = float(wins_out.sum() / (2 * n * m))
    se = float(_standard_error(wins_out, wins_in))
    if area in (0.0, 1.0):
        bound = (LEVEL / 2) ** (1 / min(n, m))
        low, high = (bound, 1.0) if area == 1.0 else (0.0, 1.0 - bound)
    else:
        half = Z_95 * se / (area * (1.0 - area))
        logit = math.log(area) - math.log1p(-area)
        # rounding may put a bound an ulp on the wrong side of a collapsed interval
        low, high = min(area, _expit(logit - half)), max(area, _expit(logit + half))
    return AurocEstimate(auroc=area, se=se, low=low, high=high)


def delong_difference(a_in: Floats, a_out: Floats, b_in: Floats, b_out: Floats) -> Difference:
    """Paired DeLong test for two scorers, or two epochs, on the same groups.

    The variance is that of `delong` for the differences V_i(a) - V_i(b) and W_j(a) - W_j(b), equal
    to var(A_a) + var(A_b) - 2 cov(A_a, A_b).

    Arguments:
        a_in: float64, (n,), scores of the ID groups by a, higher is more OOD; n >= 2.
        a_out: float64, (m,), scores of the OOD groups by a; m >= 2.
        b_in: float64, (n,), scores by b of the groups of `a_in`, in the same order.
        b_out: float64, (m,), scores by b of the groups of `a_out`, in the same order.

    Raises:
        ScoreError: As for `delong`, or the two have not scored equally many groups.
    """
    return paired(win_counts(a_in, a_out), win_counts(b_in, b_out))


def win_counts(scores_in: Floats, scores_out: Floats) -> Wins:
    """DeLong's structural components of a scorer, for `paired` tests with others.

    Arguments:
        scores_in: float64, (n,), scores of the ID groups, higher is more OOD; n >= 2.
        scores_out: float64, (m,), scores of the OOD groups; m >= 2.

    Returns:
        2n V, (m,), and 2m W, (n,), whole numbers: see `delong`.

    Raises:
        ScoreError: As for `delong`.
    """
    return _wins(*_checked(scores_in, scores_out, at_least=2))


def paired(a: Wins, b: Wins) -> Difference:
    """The test of `delong_difference` from the components of both scorers.

    Raises:
        ScoreError: The two have not scored equally many groups.
    """
    (a_out, a_in), (b_out, b_in) = a, b
    if a_in.size != b_in.size or a_out.size != b_out.size:
        raise ScoreError(
            f"a paired test needs the same groups: a has {a_in.size} ID and {a_out.size} OOD "
            f"scores, b has {b_in.size} and {b_out.size}"
        )
    wins_out, wins_in = a_out - b_out, a_in - b_in
    difference = float(wins_out.sum() / (2 * a_in.size * a_out.size))
    se = float(_standard_error(wins_out, wins_in))
    z = z_ratio(difference, se)
    return Difference(difference=difference, se=se, z=z, p_value=p_value(z))


def paired_each(pairs: Sequence[tuple[Sides, Sides]]) -> list[tuple[float, float]]:
    """The difference and standard error of `paired` for each of many pairs of scorers.

    Arguments:
        pairs: The scores of a and b on the same groups, as `win_counts` takes them. Those that are
            the same arrays in pairs near each other are ranked once.

    Returns:
        Bit for bit what `paired` has, in the order of the pairs.

    Raises:
        ScoreError: As for `delong_difference`.
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
    """`paired_each` at one go, for pairs of the same sizes."""
    sides = {tuple(map(id, side)): side for pair in pairs for side in pair}
    rows = {key: row for row, key in enumerate(sides)}
    ins, outs = (np.array(scores, np.float64) for scores in zip(*sides.values(), strict=True))
    a, b = np.array([[rows[tuple(map(id, side))] for side in pair] for pair in pairs]).T
    wins_out, wins_in = _wins_by_rank(ins, outs)
    apart_out, apart_in = wins_out[a] - wins_out[b], wins_in[a] - wins_in[b]
    differences = apart_out.sum(-1) / (2 * ins.shape[1] * outs.shape[1])
    errors = _standard_error(apart_out, apart_in)
    return zip(differences.tolist(), errors.tolist(), strict=True)


def hanley_mcneil(area: float, n_in: int, n_out: int) -> float:
    """Standard error of an AUROC of which only the value and the numbers of groups are known.

    se² = [A (1 - A) + (m - 1) (Q1 - A²) + (n - 1) (Q2 - A²)] / (n m),   n = n_in, m = n_out,
    Q1 = A / (2 - A),   Q2 = 2 A² / (1 + A):                  (Hanley and McNeil, 1982, Eq. 1)

    the probabilities that two OOD groups score above one ID group, and one OOD group above two,
    for scores that are exponentially distributed on both sides. It is 0 at A = 0 and A = 1.

    Arguments:
        area: A, in [0, 1].
        n_in: Number of ID groups.
        n_out: Number of OOD groups.

    References:
        | The meaning and use of the area under a receiver operating characteristic (ROC) curve
        | https://doi.org/10.1148/radiology.143.1.7063747
    """
    square = area * area
    two_out = (n_out - 1) * (area / (2 - area) - square)
    two_in = (n_in - 1) * (2 * square / (1 + area) - square)
    return math.sqrt(max(0.0, area * (1 - area) + two_out + two_in) / (n_in * n_out))


def aupr(scores_in: Floats, scores_out: Floats) -> float:
    """Average precision, OOD positive: Σ_t (recall_t - recall_{t-1}) precision_t.

    The sum runs over the distinct scores as thresholds, so ties share one precision, as in
    scikit-learn's `average_precision_score`. Chance is m / (m + n).

    Arguments:
        scores_in: float64, (n,), scores of the ID groups, higher is more OOD.
        scores_out: float64, (m,), scores of the OOD groups.

    Raises:
        ScoreError: As for `auroc`.
    """
    scores_in, scores_out = _checked(scores_in, scores_out)
    thresholds, counts = np.unique(scores_out, return_counts=True)
    caught = counts[::-1].cumsum()[::-1]
    flagged_in = scores_in.size - np.searchsorted(np.sort(scores_in), thresholds, side="left")
    return float(np.sum(counts * (caught / (caught + flagged_in))) / scores_out.size)


def fpr95(scores_in: Floats, scores_out: Floats) -> float:
    """Share of ID groups flagged when at least 95 % of the OOD groups are caught.

    A group is flagged if its score is at least the threshold, and the threshold is the highest OOD
    score that catches 95 % of the OOD groups: no interpolation between thresholds.

    Arguments:
        scores_in: float64, (n,), scores of the ID groups, higher is more OOD.
        scores_out: float64, (m,), scores of the OOD groups.

    Raises:
        ScoreError: As for `auroc`.
    """
    scores_in, scores_out = _checked(scores_in, scores_out)
    caught = -(-95 * scores_out.size // 100)  # the ceiling, in integers: 0.95 is not exact
    threshold = np.sort(scores_out)[scores_out.size - caught]
    return float(np.count_nonzero(scores_in >= threshold) / scores_in.size)


def z_ratio(difference: float, se: float) -> float:
    """The statistic difference / se; 0 if the difference is 0, infinite if only `se` is."""
    if difference == 0.0:
        return 0.0
    return difference / se if se > 0.0 else math.copysign(math.inf, difference)


def p_value(z: float) -> float:
    """Two-sided p-value of a standard normal `z`: 2 (1 - Φ(|z|))."""
    return math.erfc(abs(z) / math.sqrt(2.0))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: those at most α reject, with a family-wise error of at most α.

    p̃_(i) = max_{j <= i} min(1, (k - j + 1) p_(j)), the p-values in ascending order.

    Reference: A simple sequentially rejective multiple test procedure (Holm, 1979).
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def _checked(scores_in: Floats, scores_out: Floats, at_least: int = 1) -> tuple[Floats, Floats]:
    """Both sides as float64, (n,) and (m,), finite, with `at_least` scores each."""
    checked_in = np.asarray(scores_in, dtype=np.float64)
    checked_out = np.asarray(scores_out, dtype=np.float64)
    sides = (("ID", checked_in), ("OOD", checked_out))
    problems = [text for side, scores in sides if (text := _problem(side, scores, at_least))]
    if problems:
        raise ScoreError("; ".join(problems))
    return checked_in, checked_out


def _problem(side: str, scores: Floats, at_least: int) -> str:
    """What is wrong with the scores of one side; empty if nothing is."""
    if scores.ndim != 1:
        return f"{side} scores have shape {scores.shape}, not one number per group"
    if not scores.size:
        return f"there are no {side} scores"
    finite = np.isfinite(scores)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        verb = "is" if bad.size == 1 else "are"
        first = f"the first is {scores[bad[0]]} at index {bad[0]}"
        return f"{bad.size} of {scores.size} {side} scores {verb} not finite: {first}"
    if scores.size < at_least:
        return f"{scores.size} {side} score has no standard error: at least {at_least} are needed"
    return ""


def _doubled_counts_below(scores: Floats, others: Floats) -> Floats:
    """2 × how many of `others` are below each score, ties counted half: whole numbers, exact."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, scores, side="left")
    not_above = np.searchsorted(ordered, scores, side="right")
    return (below + not_above).astype(np.float64)


def _wins(scores_in: Floats, scores_out: Floats) -> Wins:
    """2n V, (m,), and 2m W, (n,): DeLong's structural components as whole numbers.

    Whole numbers make equal components exactly equal, so a variance of 0 is 0 and not a rounding.
    """
    wins_out = _doubled_counts_below(scores_out, scores_in)
    wins_in = 2 * scores_out.size - _doubled_counts_below(scores_in, scores_out)
    return wins_out, wins_in


def _wins_by_rank(scores_in: Floats, scores_out: Floats) -> Wins:
    """The same as `_wins` for each row, (k, n) and (k, m): many short ones take a tenth."""
    n, m = scores_in.shape[1], scores_out.shape[1]
    pooled = np.concatenate([scores_in, scores_out], axis=1)
    if min(n, m) < 2 or not np.isfinite(pooled).all():
        for row in zip(scores_in, scores_out, strict=True):
            _checked(*row, at_least=2)
    order = pooled.argsort(axis=1)
    ranked = np.take_along_axis(pooled, order, axis=1)
    differs = ranked[:, 1:] != ranked[:, :-1]
    edge, place = np.ones((len(pooled), 1), bool), np.arange(n + m)
    # of each score, how many of the row are below it, and how many are not above it
    below = np.maximum.accumulate(np.where(np.hstack([edge, differs]), place, 0), axis=1)
    ends = np.where(np.hstack([differs, edge]), place + 1, n + m)
    not_above = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    ins = np.zeros((len(pooled), n + m + 1), np.int64)
    np.cumsum(order < n, axis=1, out=ins[:, 1:])
    beaten = np.take_along_axis(ins, below, axis=1) + np.take_along_axis(ins, not_above, axis=1)
    wins = np.empty(pooled.shape)
    by_out = np.where(order < n, 2 * m - (below + not_above - beaten), beaten)
    np.put_along_axis(wins, order, by_out, axis=1)
    return wins[:, n:], wins[:, :n]


def _standard_error(wins_out: Floats, wins_in: Floats) -> Floats:
    """sqrt(var(V) / m + var(W) / n) from 2n V, (..., m), and 2m W, (..., n), or differences."""
    m, n = wins_out.shape[-1], wins_in.shape[-1]
    variance_out = _variance(wins_out) / (2 * n) ** 2
    variance_in = _variance(wins_in) / (2 * m) ** 2
    error: Floats = np.sqrt(variance_out / m + variance_in / n)
    return error


def _variance(values: Floats) -> Floats:
    """`np.var(values, axis=-1, ddof=1)`, which takes four times as long for a few hundred."""
    apart = values - values.sum(-1, keepdims=True) / values.shape[-1]
    variance: Floats = (apart * apart).sum(-1) / (values.shape[-1] - 1)
    return variance


def _expit(x: float) -> float:
    """1 / (1 + exp(-x)) without overflow."""
    return 0.5 * (1.0 + math.tanh(0.5 * x))
