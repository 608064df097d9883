"""Combination of two tests for a group: a score statistic and typicality."""

from __future__ import annotations

from typing import Literal

from plugins.scorers._p_values import PValues
from plugins.scorers.ensemble import Ensemble
from plugins.scorers.fisher import FisherDiagonal
from plugins.scorers.typicality import Typicality


def combined_tests(
    *,
    method: Literal["fisher", "harmonic-mean"] = "fisher",
    p_values: PValues = "rank",
) -> Ensemble:
    """Build the `ensemble` with members `fisher-diagonal`, a score statistic, and `typicality`.

    The two tests detect different deviations: typicality an unusual density, the score statistic
    an unusual gradient with respect to the parameters. See `ensemble` for the computation and the
    combination of p-values; `ensemble` also accepts other tests.

    Departures from the authors' code:
        The code computes p = 1 - ECDF + 1e-8; `p_values = "ecdf"` restores this formula. The code
        adds 1e-8 to the Fisher information; here the damping is relative, 1e-3 of the mean.
        For damping as in the code, define a variant of `layer_fisher_diagonal` with
        `damping = 1e-8` and `damping_unit = "absolute"`, let a `fisher-diagonal` read the variant,
        and combine this scorer and `typicality` in an `ensemble`. The code estimates the Fisher
        information and the p-values on the train split; here half of the fit examples give the
        Fisher information (see `docs/concepts/statistics-and-scorers.md`), and the tests are
        fitted and calibrated on separate halves of the fit groups.

    Arguments:
        method: Combination rule for the p-values: Fisher's method or the harmonic mean.
        p_values: Formula for a p-value: `rank`, (1 + #{s(Y) >= s(X)}) / (n + 1), or `ecdf`,
            1 - #{s(Y) <= s(X)} / n + 1e-8, over n calibration groups Y.

    References:
        | Model-agnostic out-of-distribution detection using combined statistical tests
          (Bergamin et al., 2022)
        | https://arxiv.org/abs/2203.01097
    """
    return Ensemble(scorers=(FisherDiagonal(), Typicality()), method=method, p_values=p_values)
