"""Combination of two tests for a group: a score statistic and typicality."""

from __future__ import annotations

from typing import Literal

from plugins.scorers.ensemble import Ensemble
from plugins.scorers.fisher import FisherDiagonal
from plugins.scorers.typicality import Typicality


def combined_tests(*, method: Literal["fisher", "harmonic-mean"] = "fisher") -> Ensemble:
    """Build the `ensemble` with members `fisher-diagonal`, a score statistic, and `typicality`.

    The two tests detect different deviations: typicality an unusual density, the score statistic
    an unusual gradient with respect to the parameters. See `ensemble` for the computation and the
    combination of p-values; `ensemble` also accepts other tests.

    Arguments:
        method: Combination rule for the p-values: Fisher's method or the harmonic mean.

    References:
        | Model-agnostic out-of-distribution detection using combined statistical tests
          (Bergamin et al., 2022)
        | https://arxiv.org/abs/2203.01097
    """
    return Ensemble(scorers=(FisherDiagonal(), Typicality()), method=method)
