"""Empirical p-values based on fit groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

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


def ecdf_tail(calibration: Array, scores: Array) -> Array:
    """Return upper-tail p-values, p = 1 - ECDF(score) + 1e-8, as in the code by Bergamin et al.

    ECDF(s) = #{calibration <= s} / n. A group beyond all calibration groups has p = 1e-8 whatever
    n is, so that a single test decides: with Fisher's method the group gets 36.8 from that test,
    in place of 2 log(n + 1).

    Arguments:
        calibration: Scores of in-distribution groups, float64, (n,).
        scores: Scores to judge, float64, (M,).

    Returns:
        float64, (M,), from 1e-8 to 1 + 1e-8; lower for larger scores.
    """
    at_most = np.searchsorted(np.sort(calibration), scores, side="right")
    p: Array = 1 - at_most / len(calibration) + 1e-8
    return p


PValues: TypeAlias = Literal["rank", "ecdf"]
P_VALUES: Mapping[PValues, Callable[[Array, Array], Array]] = {
    "rank": upper_tail,
    "ecdf": ecdf_tail,
}
"""Formulas for p-values, by the name in suites."""
