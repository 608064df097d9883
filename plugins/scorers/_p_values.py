"""Empirical p-values based on fit groups."""

from __future__ import annotations

import numpy as np

from plugins.scorers._base import Array


def upper_tail(calibration: Array, scores: Array) -> Array:
    """Return upper-tail p-values, p = (1 + #{calibration >= score}) / (n + 1).

    A p-value is never 0. P-values are valid if the calibration scores and the score are
    exchangeable, which holds if nothing else was fitted to the calibration groups. In any case
    they rank the groups.

    Arguments:
        calibration: Scores of in-distribution groups, float64, (n,).
        scores: Scores to judge, float64, (M,).

    Returns:
        float64, (M,), in (0, 1]; lower for larger scores.
    """
    below = np.searchsorted(np.sort(calibration), scores, side="left")
    p: Array = (1 + len(calibration) - below) / (len(calibration) + 1)
    return p
