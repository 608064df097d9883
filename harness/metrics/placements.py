"""DeLong's placement counts: wins of each OOD group over ID groups, and losses of ID groups.

Scores are higher for more OOD. The functions use only the order of the scores and never rescale
the scores first: scores in nats (around -1e4, differing in the last digits) would lose the order.
Scores are float64, without unit, one per group.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.errors import ScoreError

Floats: TypeAlias = NDArray[np.float64]

Wins: TypeAlias = tuple[Floats, Floats]
"""Number of wins for each OOD group, and number of losses for each ID group; see `win_counts`."""


def win_counts(scores_in: Floats, scores_out: Floats) -> Wins:
    """Compute DeLong's structural components for a scorer, for example for `paired` tests.

    Whole numbers make equal components exactly equal, so a variance of 0 is exact, not rounded.

    Arguments:
        scores_in: float64, (n,), scores of the ID groups, higher is more OOD; n >= 2.
        scores_out: float64, (m,), scores of the OOD groups; m >= 2.

    Returns:
        2n V, (m,), and 2m W, (n,), whole numbers: see `delong`.

    Raises:
        ScoreError: See `delong`.
    """
    scores_in, scores_out = checked_sides(scores_in, scores_out, at_least=2)
    wins_out = doubled_counts_below(scores_out, scores_in)
    wins_in = 2 * scores_out.size - doubled_counts_below(scores_in, scores_out)
    return wins_out, wins_in


def checked_sides(
    scores_in: Floats, scores_out: Floats, at_least: int = 1
) -> tuple[Floats, Floats]:
    """Return both sides in float64, (n,) and (m,), finite, with `at_least` scores each."""
    checked_in = np.asarray(scores_in, dtype=np.float64)
    checked_out = np.asarray(scores_out, dtype=np.float64)
    sides = (("ID", checked_in), ("OOD", checked_out))
    problems = [text for side, scores in sides if (text := _problem(side, scores, at_least))]
    if problems:
        raise ScoreError("; ".join(problems))
    return checked_in, checked_out


def _problem(side: str, scores: Floats, at_least: int) -> str:
    """Describe the problem with the scores of a side; empty if valid."""
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


def doubled_counts_below(scores: Floats, others: Floats) -> Floats:
    """Return 2 × the number of `others` below each score, ties counted half: exact integers."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, scores, side="left")
    not_above = np.searchsorted(ordered, scores, side="right")
    return (below + not_above).astype(np.float64)


def win_counts_by_row(scores_in: Floats, scores_out: Floats) -> Wins:
    """Compute `win_counts` for each row, (k, n) and (k, m); ten times faster for short rows."""
    n, m = scores_in.shape[1], scores_out.shape[1]
    pooled = np.concatenate([scores_in, scores_out], axis=1)
    if min(n, m) < 2 or not np.isfinite(pooled).all():
        for row in zip(scores_in, scores_out, strict=True):
            checked_sides(*row, at_least=2)
    order = pooled.argsort(axis=1)
    ranked = np.take_along_axis(pooled, order, axis=1)
    differs = ranked[:, 1:] != ranked[:, :-1]
    edge, place = np.ones((len(pooled), 1), bool), np.arange(n + m)
    # for each score, the number of scores in the row below, and the number not above
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


def variance(wins_out: Floats, wins_in: Floats) -> Floats:
    """Compute DeLong's variance of an AUROC, var(V) / m + var(W) / n; divisors m - 1 and n - 1.

    Arguments:
        wins_out: 2n V, (..., m), or differences of two scorers.
        wins_in: 2m W, (..., n), or differences of two scorers.

    Returns:
        float64, (...).
    """
    m, n = wins_out.shape[-1], wins_in.shape[-1]
    of_out = _squares(wins_out) / (2 * n) ** 2 / (m - 1)
    of_in = _squares(wins_in) / (2 * m) ** 2 / (n - 1)
    found: Floats = of_out / m + of_in / n
    return found


def variance_by_image(wins_out: Floats, wins_in: Floats) -> Floats:
    """Compute the variance of an AUROC whose OOD group i has copies of the images in ID group i.

    q / (q - 1) Σ_i ((V_i - A) / m + (W_i - A) / n)², q = max(m, n): a group without a partner has
    one of the two terms. For independent sides this is DeLong's variance in expectation.

    Arguments:
        wins_out: 2n V, (..., m), or differences of two scorers.
        wins_in: 2m W, (..., n).
    """
    m, n = wins_out.shape[-1], wins_in.shape[-1]
    q = max(m, n)
    total = np.zeros((*wins_out.shape[:-1], q))
    total[..., :m] += _apart(wins_out) / (2 * n * m)
    total[..., :n] += _apart(wins_in) / (2 * m * n)
    found: Floats = q / (q - 1) * (total * total).sum(-1)
    return found


def _squares(values: Floats) -> Floats:
    """Compute the sum of squares about the mean, four times faster than `np.var`."""
    apart = _apart(values)
    total: Floats = (apart * apart).sum(-1)
    return total


def _apart(values: Floats) -> Floats:
    apart: Floats = values - values.sum(-1, keepdims=True) / values.shape[-1]
    return apart
