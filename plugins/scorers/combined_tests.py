"""Two tests of a group as one: a score statistic and typicality."""

from __future__ import annotations

from typing import Literal

from harness import Scorer
from plugins.scorers.ensemble import Ensemble
from plugins.scorers.typicality import Typicality


def combined_tests(
    *, score_statistic: Scorer, method: Literal["fisher", "harmonic-mean"] = "fisher"
) -> Ensemble:
    """The `ensemble` of a score statistic and `typicality`.

    The two see different departures: typicality one of the density, the score statistic one of
    its gradient in the parameters. How p-values are made and combined is said at `ensemble`.

    Arguments:
        score_statistic: Name of a scorer of the model's gradient, such as `gradient-gaussian`.
            The authors' is g' F⁻¹ g, with the diagonal of the Fisher information for F.
        method: How the p-values are combined: Fisher's method, the authors' choice, or their
            harmonic mean.

    References:
        | Model-agnostic out-of-distribution detection using combined statistical tests
          (Bergamin et al., 2022)
        | https://proceedings.mlr.press/v151/bergamin22a.html
    """
    return Ensemble(scorers=(score_statistic, Typicality()), method=method)
