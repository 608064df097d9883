"""Conformal p-values: how rare a score is among the scores of in-distribution groups."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import BenchError

if TYPE_CHECKING:
    from numpy.typing import NDArray


ROUNDING = 1e-6
"""Relative difference of scores that counts as rounding."""


def p_values(calibration: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the p-value of each score, (1 + #{calibration scores >= score}) / (n + 1).

    If the calibration scores and a new score are exchangeable, the p-value is at most α with a
    probability of at most floor(α (n + 1)) / (n + 1), whatever the distribution, with ties too.
    The probability is over new scores and calibration scores together. A calibration score that is
    lower only by rounding counts as equal. So p-values do not depend on the number of examples
    evaluated at once. This rule can only raise a p-value.

    Arguments:
        calibration: Scores of in-distribution groups, float64, (n,), in any order.
        scores: New scores, float64, (M,), finite.

    Returns:
        float64, (M,), from 1 / (n + 1) to 1; a low value means out-of-distribution.

    References:
        | Algorithmic Learning in a Random World (Vovk, Gammerman & Shafer, 2005)
        | Testing for outliers with conformal p-values (Bates et al., 2023)
        | https://arxiv.org/abs/2104.08279
    """
    lowest = scores - ROUNDING * np.abs(scores)
    below = np.searchsorted(np.sort(calibration), lowest, side="left")
    found: NDArray[np.float64] = (1 + len(calibration) - below) / (len(calibration) + 1)
    return found


def most_flagged(alpha: float, n: int) -> float:
    """Return floor(α (n + 1)) / (n + 1), the largest p-value that is flagged at a level.

    Arguments:
        alpha: Level, the share of in-distribution groups that may be flagged.
        n: Number of calibration scores.

    Raises:
        BenchError: The level is not between 0 and 1, or is below every p-value.
    """
    if not 0 < alpha < 1:
        raise BenchError(f"the level alpha must be between 0 and 1, not {alpha}")
    rank = math.floor(alpha * (n + 1))
    rank += (rank + 1) / (n + 1) <= alpha  # 0.29 * 100 is just below 29
    if rank == 0:
        raise BenchError(
            f"at alpha = {alpha} nothing can be flagged: with {n:,} calibration scores the "
            f"smallest p-value is 1 / {n + 1:,}; choose a larger alpha, or make a detector with "
            "more calibration scores (a larger n_in in the suite)"
        )
    return rank / (n + 1)
