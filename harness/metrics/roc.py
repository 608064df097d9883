"""Metrics for a single scorer: AUROC, AUPR and FPR95. OOD is positive.

Scores are float64, without unit, one per group, higher for more OOD. Only ranks matter.
"""

from __future__ import annotations

import math

import numpy as np

from harness.metrics.placements import (
    Floats,
    checked_sides,
    doubled_counts_below,
)


def auroc(scores_in: Floats, scores_out: Floats) -> float:
    """Compute the probability that an OOD group scores higher than an ID group, ties counted half.

    A = (1 / mn) Σ_ij [out_i > in_j] + ½ [out_i = in_j], the Mann-Whitney statistic, by sorting.

    Arguments:
        scores_in: float64, (n,), scores of the ID groups, higher is more OOD.
        scores_out: float64, (m,), scores of the OOD groups.

    Raises:
        ScoreError: A side is empty, not one-dimensional, or has scores that are not finite.
    """
    scores_in, scores_out = checked_sides(scores_in, scores_out)
    wins = doubled_counts_below(scores_out, scores_in)
    return float(wins.sum() / (2 * scores_in.size * scores_out.size))


def hanley_mcneil(area: float, n_in: int, n_out: int) -> float:
    """Compute the standard error of an AUROC from the value and the group counts alone.

    se² = [A (1 - A) + (m - 1) (Q1 - A²) + (n - 1) (Q2 - A²)] / (n m),   n = n_in, m = n_out,
    Q1 = A / (2 - A),   Q2 = 2 A² / (1 + A):                  (Hanley and McNeil, 1982, Eq. 1)

    Q1 and Q2 are the probabilities that two OOD groups score above an ID group, and an OOD group
    above two ID groups, for exponentially distributed scores on both sides. The standard error is
    0 at A = 0 and A = 1.

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
    """Compute the average precision, OOD positive: Σ_t (recall_t - recall_{t-1}) precision_t.

    The thresholds are the distinct scores, so ties share the same precision, like in
    scikit-learn's `average_precision_score`. Chance is m / (m + n).

    Arguments:
        scores_in: float64, (n,), scores of the ID groups, higher is more OOD.
        scores_out: float64, (m,), scores of the OOD groups.

    Raises:
        ScoreError: See `auroc`.
    """
    scores_in, scores_out = checked_sides(scores_in, scores_out)
    thresholds, counts = np.unique(scores_out, return_counts=True)
    caught = counts[::-1].cumsum()[::-1]
    flagged_in = scores_in.size - np.searchsorted(np.sort(scores_in), thresholds, side="left")
    return float(np.sum(counts * (caught / (caught + flagged_in))) / scores_out.size)


def fpr95(scores_in: Floats, scores_out: Floats) -> float:
    """Compute the share of ID groups flagged when at least 95 % of the OOD groups are caught.

    A group is flagged if the score reaches the threshold, and the threshold is the highest OOD
    score that catches 95 % of the OOD groups, without interpolation between thresholds.

    Arguments:
        scores_in: float64, (n,), scores of the ID groups, higher is more OOD.
        scores_out: float64, (m,), scores of the OOD groups.

    Raises:
        ScoreError: See `auroc`.
    """
    scores_in, scores_out = checked_sides(scores_in, scores_out)
    caught = -(-95 * scores_out.size // 100)  # the ceiling, in integers: 0.95 is not exact
    threshold = np.sort(scores_out)[scores_out.size - caught]
    return float(np.count_nonzero(scores_in >= threshold) / scores_in.size)
