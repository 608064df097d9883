"""Score distributions in compact form for the page: histogram and ROC curve."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.metrics.placements import Floats
from harness.report.figures.scale import choose_scale
from harness.report.page.rows import rounded

BINS = 40
MOST_POINTS = 64

Counts = NDArray[np.int64]


def details(scores_in: Floats, scores_out: Floats) -> dict[str, Any]:
    """Compute histogram and ROC curve for a cell.

    Arguments:
        scores_in: float64, (n,), scores for the ID groups, higher is more OOD.
        scores_out: float64, (m,), scores for the OOD groups.
    """
    return {"bins": histogram(scores_in, scores_out), "roc": roc(scores_in, scores_out)}


def histogram(scores_in: Floats, scores_out: Floats) -> dict[str, Any]:
    """Count the groups in 40 bins shared by both sides, evenly spaced on the axis.

    Returns:
        `in` and `out`: counts; `low` and `high`: axis positions at both ends; `ticks`: position
        and label; `asinh`: whether the axis compresses scores far from the ID scores.
    """
    scale = choose_scale(scores_in, [scores_out])
    places = scale.forward(scores_in), scale.forward(scores_out)
    low, high = (float(f([f(side) for side in places])) for f in (np.min, np.max))
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = [np.histogram(side, BINS, (low, high))[0].tolist() for side in places]
    ticks = [[rounded(at), label] for at, label in scale.ticks(low, high).items()]
    return {
        "in": counts[0],
        "out": counts[1],
        "low": low,
        "high": high,
        "ticks": ticks,
        "asinh": scale.width is not None,
    }


def roc(scores_in: Floats, scores_out: Floats) -> dict[str, Any]:
    """Compute points on the ROC curve; a group is flagged if the score reaches the threshold.

    About 64 thresholds are kept: some spaced evenly, and some spaced evenly on a logarithmic scale
    for more detail at few flagged ID groups.

    Returns:
        `in` and `out`: number of flagged ID and OOD groups, ascending; `at95`: index of the first
        point with at least 95 % of the OOD groups, where the share of ID groups is FPR95.
    """
    flagged_in, flagged_out = roc_points(scores_in, scores_out)
    caught = -(-95 * scores_out.size // 100)
    at95 = int(np.searchsorted(flagged_out, caught))
    kept = _kept(flagged_in, at95)
    return {
        "in": flagged_in[kept].tolist(),
        "out": flagged_out[kept].tolist(),
        "at95": int(np.searchsorted(kept, at95)),
    }


def roc_points(scores_in: Floats, scores_out: Floats) -> tuple[Counts, Counts]:
    """Count the ID and OOD groups flagged at each threshold, int64, (K,), starting from none."""
    thresholds = np.unique(np.concatenate([scores_in, scores_out]))[::-1]
    sides = []
    for scores in (scores_in, scores_out):
        below = np.searchsorted(np.sort(scores), thresholds, side="left")
        sides.append(np.concatenate([[0], scores.size - below]))
    return sides[0], sides[1]


def _kept(flagged_in: Counts, at95: int) -> Counts:
    """Choose the indices of the points to keep, ascending, including both ends and `at95`."""
    last = len(flagged_in) - 1
    if last < MOST_POINTS:
        return np.arange(last + 1)
    most = int(flagged_in[-1])
    half = MOST_POINTS // 2
    grid = np.concatenate([np.linspace(0, most, half), np.geomspace(1, most, half)])
    # the last point at each ID count: the best threshold on a vertical part of the curve
    along = np.searchsorted(flagged_in, np.unique(grid.round()), side="right") - 1
    evenly = np.linspace(0, last, half // 2).round().astype(np.int64)
    return np.unique(np.concatenate([along, evenly, [0, at95, last]]))
