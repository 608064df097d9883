"""Empirical p-values by fit groups."""

from __future__ import annotations

import numpy as np

from plugins.scorers._base import Array


def upper_tail(calibration: Array, scores: Array) -> Array:
    """How unusually large a score is: p = (1 + #{calibration >= score}) / (n + 1).

    Never 0; valid if the calibration scores and the score are exchangeable, as they are where
    nothing else was fitted on the calibration groups, and a ranking in any case.

    Arguments:
        calibration: float64, (n,), of in-distribution groups.
        scores: float64, (M,).

    Returns:
        float64, (M,), in (0, 1].
    """
    below = np.searchsorted(np.sort(calibration), scores, side="left")
    p: Array = (1 + len(calibration) - below) / (len(calibration) + 1)
    return p
