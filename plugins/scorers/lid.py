"""Local intrinsic dimension of the model around a group, alone and with the likelihood."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Self

import numpy as np
from pydantic import Field

from oodbench import ScoreError
from plugins.scorers._base import Array, OneStatistic, Statistics, fitted
from plugins.scorers._p_values import upper_tail


@dataclass(kw_only=True, eq=False)
class LidDimension(OneStatistic):
    r"""Minus the mean local intrinsic dimension (LID) of the model around a group's examples.

    LID(x) = #{i : log σ_i(x) > log τ},   s(X) = -1/b Σ_{x in X} LID(x)

    σ_i are the singular values of the flow's generator at x (see `jacobian_spectrum`): directions
    do not count if unit noise moves the image by less than τ. The threshold τ is calibrated on the
    fit examples: the mean LID is a fraction `dimension` of all dimensions D, so τ is the quantile
    1 - `dimension` of all singular values.

    Departures from the paper:
        The authors choose τ to match the mean LID on training examples to the dimension found by
        a local principal component analysis of the training data. Scorers here do not see images;
        a known data dimension d can be given as d / D. The default counts about half of the
        dimensions, where the count varies most.

    Arguments:
        dimension: Mean LID of the fit examples, as a fraction of the dimensions D.
        statistic: Name of the statistic to read: `jacobian_spectrum`, or a variant defined in the
            suite.

    Attributes:
        threshold_: log τ, σ in grey levels per unit of noise.

    References:
        | A Geometric Explanation of the Likelihood OOD Detection Paradox (Kamkari et al., 2024)
        | https://arxiv.org/abs/2403.18910
    """

    name = "lid-dimension"

    dimension: Annotated[float, Field(gt=0, lt=1)] = 0.5
    statistic: Annotated[str, Field(min_length=1)] = "jacobian_spectrum"

    threshold_: float | None = field(default=None, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Calibrate the threshold.

        Arguments:
            statistics: log σ under the name `statistic`, float64, (M, b, D).

        Raises:
            ScoreError: No fit group is given, or a value is not finite.
        """
        spectra = statistics[self.statistic]
        if spectra.size == 0:
            raise ScoreError(f"{self.name} needs at least one fit group")
        if not np.isfinite(spectra).all():
            raise ScoreError(f"{self.name}: {self.statistic} of the fit groups is not finite")
        self.threshold_ = float(np.quantile(spectra, 1 - self.dimension))
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return minus the mean LID for each group.

        Arguments:
            statistics: log σ under the name `statistic`, float64, (M, b, D).

        Returns:
            float64, (M,), in dimensions, not above 0; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        above = statistics[self.statistic] > fitted(self.threshold_, self.name)
        scores: Array = -above.sum(axis=2).mean(axis=1)
        return scores

    def fit_info(self) -> dict[str, float | int | str]:
        """Return the logarithm of τ.

        Raises:
            NotFittedError: `fit` was not called.
        """
        return {"log_threshold": fitted(self.threshold_, self.name, "its fit")}


class Lid(LidDimension):
    r"""OOD for a low likelihood, and for a higher likelihood with a small intrinsic dimension.

    s(X) = -log min(p_l, p_d),   p = (1 + #{fit groups not above}) / (n + 1)

    where p_l is the p-value for the mean log-probability in the group, and p_d for the mean LID
    (see `lid-dimension`), both as lower tails among the n fit groups. A bound on s corresponds to
    the paper's rule with two thresholds ("likelihood low, or likelihood high and LID low"), both
    at the same quantile.

    Beyond all fit groups, p is 1 / (n + 1) at any distance, so scores tie there. Both τ and the
    p-values come from the same fit groups; p_d is therefore not an exact significance level, but
    a score only needs a ranking.

    Arguments:
        dimension: Mean LID of the fit examples, as a fraction of the dimensions D.
        statistic: Name of the statistic to read in addition to `log_prob`: `jacobian_spectrum`,
            or a variant defined in the suite.

    Attributes:
        threshold_: log τ, σ in grey levels per unit of noise.
        log_prob_: Mean log-probability of each fit group, float64, (n,), in nats.
        lid_: Mean LID of each fit group, float64, (n,).

    References:
        | A Geometric Explanation of the Likelihood OOD Detection Paradox (Kamkari et al., 2024)
        | https://arxiv.org/abs/2403.18910
    """

    name = "lid"
    log_prob_: Array | None = None
    lid_: Array | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """`log_prob` and the statistic named by the option `statistic`."""
        return ("log_prob", self.statistic)

    def fit(self, statistics: Statistics) -> Self:
        """Calibrate the threshold, then store both means for every fit group.

        Arguments:
            statistics: `log_prob`, float64, (M, b, 1), in nats, and log σ under the name
                `statistic`, float64, (M, b, D).

        Raises:
            ScoreError: No fit group is given, or a value is not finite.
        """
        super().fit(statistics)
        log_prob = statistics["log_prob"]
        if not np.isfinite(log_prob).all():
            raise ScoreError(f"{self.name}: log_prob of the fit examples is not finite")
        self.log_prob_ = log_prob[:, :, 0].mean(axis=1)
        self.lid_ = -super().score(statistics)
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return minus the logarithm of the smaller p-value for each group.

        Arguments:
            statistics: As for `fit`.

        Returns:
            float64, (M,), in nats, not below 0; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        negative_lid = super().score(statistics)
        log_prob = statistics["log_prob"][:, :, 0].mean(axis=1)
        p_log_prob = upper_tail(-fitted(self.log_prob_, self.name), -log_prob)
        p_lid = upper_tail(-fitted(self.lid_, self.name), negative_lid)
        scores: Array = -np.log(np.minimum(p_log_prob, p_lid))
        return scores
