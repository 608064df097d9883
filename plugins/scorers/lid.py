"""Local intrinsic dimension of the model at a group, alone and with the likelihood."""

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
    r"""Minus the mean local intrinsic dimension (LID) of the model at the examples of a group.

    LID(x) = #{i : log σ_i(x) > log τ},   s(X) = -1/b Σ_{x in X} LID(x)

    σ_i are the singular values of the flow's generator at x (see `jacobian_spectrum`): directions
    in which a unit of noise moves the image by less than τ do not count. τ is calibrated such
    that the LID of the fit examples is `dimension` of all dimensions on average: it is the
    quantile 1 - `dimension` of all their singular values.

    Departures from the paper:
        There τ is chosen such that the mean LID of training examples is that which a local
        principal component analysis of the training data finds. Scorers see no images here; a
        known dimension d of the data can be given as d / D. The default counts about half of the
        dimensions, where the count varies most.

    Arguments:
        dimension: Mean LID of the fit examples, as a share of the dimensions D.
        statistic: Name of the statistic to read, for a suite that defines a variant of
            `jacobian_spectrum` under a name of its own.

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
            statistics: The statistic: log σ, float64, (M, b, D).

        Raises:
            ScoreError: There is no fit group, or a value is not finite.
        """
        spectra = statistics[self.statistic]
        if spectra.size == 0:
            raise ScoreError(f"{self.name} needs at least one fit group")
        if not np.isfinite(spectra).all():
            raise ScoreError(f"{self.name}: {self.statistic} of the fit groups is not finite")
        self.threshold_ = float(np.quantile(spectra, 1 - self.dimension))
        return self

    def score(self, statistics: Statistics) -> Array:
        """Minus the mean LID of each group.

        Arguments:
            statistics: The statistic: log σ, float64, (M, b, D).

        Returns:
            float64, (M,), in dimensions, not above 0; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        above = statistics[self.statistic] > fitted(self.threshold_, self.name)
        scores: Array = -above.sum(axis=2).mean(axis=1)
        return scores

    def fit_info(self) -> dict[str, float | int | str]:
        """The logarithm of τ.

        Raises:
            NotFittedError: `fit` was not called.
        """
        return {"log_threshold": fitted(self.threshold_, self.name, "its fit")}


class Lid(LidDimension):
    r"""OOD if the likelihood is low, or if it is not and the local intrinsic dimension is small.

    s(X) = -log min(p_l, p_d),   p = (1 + #{fit groups not above}) / (n + 1)

    p_l of the group's mean log-probability and p_d of its mean LID (see `lid-dimension`), both
    lower tails among the n fit groups. A bound on s is the paper's rule of two thresholds
    ("likelihood low, or likelihood high and LID low") with both at the same quantile.

    A group beyond all the fit groups has p = 1 / (n + 1), however far beyond: scores tie there.
    τ and the p-values come from the same fit groups, so p_d is not an exact significance level;
    it ranks, which is all that a score does.

    Arguments:
        dimension: Mean LID of the fit examples, as a share of the dimensions D.
        statistic: Name of the statistic to read beside `log_prob`, for a suite that defines a
            variant of `jacobian_spectrum` under a name of its own.

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
        """Calibrate the threshold, then keep both means of every fit group.

        Arguments:
            statistics: `log_prob`, float64, (M, b, 1), in nats; the statistic: log σ, float64,
                (M, b, D).

        Raises:
            ScoreError: There is no fit group, or a value is not finite.
        """
        super().fit(statistics)
        log_prob = statistics["log_prob"]
        if not np.isfinite(log_prob).all():
            raise ScoreError(f"{self.name}: log_prob of the fit examples is not finite")
        self.log_prob_ = log_prob[:, :, 0].mean(axis=1)
        self.lid_ = -super().score(statistics)
        return self

    def score(self, statistics: Statistics) -> Array:
        """Minus the logarithm of the smaller p-value of each group.

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
