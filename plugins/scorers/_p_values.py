"""Empirical p-values by fit groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def upper_tail(
    calibration: NDArray[np.float64], scores: NDArray[np.float64]
) -> NDArray[np.float64]:
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
    p: NDArray[np.float64] = (1 + len(calibration) - below) / (len(calibration) + 1)
    return p
