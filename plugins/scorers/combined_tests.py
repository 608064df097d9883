"""Two tests of a group as one: a score statistic and typicality."""

from __future__ import annotations

from typing import Literal

from plugins.scorers.ensemble import Ensemble
from plugins.scorers.fisher import FisherDiagonal
from plugins.scorers.typicality import Typicality


def combined_tests(*, method: Literal["fisher", "harmonic-mean"] = "fisher") -> Ensemble:
    """The `ensemble` of `fisher-diagonal`, a score statistic, and `typicality`.

    The two see different departures: typicality one of the density, the score statistic one of
    its gradient in the parameters. How p-values are made and combined is said at `ensemble`,
    which also takes other tests.

    Arguments:
        method: How the p-values are combined: Fisher's method or their harmonic mean.

    References:
        | Model-agnostic out-of-distribution detection using combined statistical tests
          (Bergamin et al., 2022)
        | https://arxiv.org/abs/2203.01097
    """
    return Ensemble(scorers=(FisherDiagonal(), Typicality()), method=method)
