"""The scores of a cell, small enough for a page: a histogram and the ROC curve."""

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
    """Histogram and ROC of one cell.

    Arguments:
        scores_in: float64, (n,), scores of the ID groups, higher is more OOD.
        scores_out: float64, (m,), scores of the OOD groups.
    """
    return {"bins": histogram(scores_in, scores_out), "roc": roc(scores_in, scores_out)}


def histogram(scores_in: Floats, scores_out: Floats) -> dict[str, Any]:
    """Groups in each of 40 bins that both sides share, evenly spaced on the axis.

    Returns:
        `in` and `out`: counts; `low` and `high`: the ends of the axis as places; `ticks`: place
        and label; `asinh`: whether the axis compresses what is far from the ID scores.
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
    """Points of the ROC curve: flagged are the groups that score at least a threshold.

    At most 64 or so of the thresholds are kept, spread evenly and, towards few flagged ID groups,
    evenly in their logarithm.

    Returns:
        `in` and `out`: how many ID and OOD groups are flagged, ascending; `at95`: the first point
        with at least 95 % of the OOD groups, whose share of ID groups is FPR95.
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
    """The whole curve: int64, (K,), ID and OOD groups flagged at each threshold, from none."""
    thresholds = np.unique(np.concatenate([scores_in, scores_out]))[::-1]
    sides = []
    for scores in (scores_in, scores_out):
        below = np.searchsorted(np.sort(scores), thresholds, side="left")
        sides.append(np.concatenate([[0], scores.size - below]))
    return sides[0], sides[1]


def _kept(flagged_in: Counts, at95: int) -> Counts:
    """The places of the points that are kept, ascending: the ends and `at95` are among them."""
    last = len(flagged_in) - 1
    if last < MOST_POINTS:
        return np.arange(last + 1)
    most = int(flagged_in[-1])
    half = MOST_POINTS // 2
    grid = np.concatenate([np.linspace(0, most, half), np.geomspace(1, most, half)])
    # the last point with so many ID groups: straight up is the best that a threshold does there
    along = np.searchsorted(flagged_in, np.unique(grid.round()), side="right") - 1
    evenly = np.linspace(0, last, half // 2).round().astype(np.int64)
    return np.unique(np.concatenate([along, evenly, [0, at95, last]]))
