"""Trivial baselines: scores that any data set pair with a short cut gives away to no model."""

from __future__ import annotations

from typing import Self

from oodbench import ScoreError
from plugins.scorers._base import Array, OneStatistic, Statistics, fitted


class _Distance(OneStatistic):
    r"""Distance of one number per example, averaged over the group, from that of the fit examples.

    s(X) = | 1/b Σ_{x in X} t(x) - μ | / σ,  μ and σ: mean and deviation of t on the fit examples

    Two-sided, because which side is OOD is not known before it is seen; the deviation divides by
    the number of examples.
    """

    baseline = True

    mean_: float | None = None
    deviation_: float | None = None

    def fit(self, statistics: Statistics) -> Self:
        """Mean and deviation of the fit examples.

        Arguments:
            statistics: The statistic: float64, (M, b, 1).

        Raises:
            ScoreError: There is no fit group, or all examples have the same value.
        """
        values = statistics[self.statistic]
        if values.size == 0:
            raise ScoreError(f"{self.name} needs at least one fit group")
        if values.min() == values.max():
            raise ScoreError(f"{self.name}: {self.statistic} is the same for all fit examples")
        self.mean_, self.deviation_ = float(values.mean()), float(values.std())
        return self

    def score(self, statistics: Statistics) -> Array:
        """Distance of each group from the fit mean.

        Arguments:
            statistics: The statistic: float64, (M, b, 1).

        Returns:
            float64, (M,), in deviations of the fit examples, never negative; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        mean, deviation = fitted(self.mean_, self.name), fitted(self.deviation_, self.name)
        means = statistics[self.statistic][:, :, 0].mean(axis=1)
        scores: Array = abs(means - mean) / deviation
        return scores


class MeanIntensityDistance(_Distance):
    """How much brighter or darker than the fit examples: a baseline without a model.

    s(X) = | 1/b Σ_{x in X} t(x) - μ | / σ, t the mean pixel value, μ and σ its mean and deviation
    on the fit examples. Two-sided, because which side is OOD is not known before it is seen.
    """

    name = "mean-intensity"
    statistic = "mean_intensity"


class TotalVariationDistance(_Distance):
    """How much rougher or smoother than the fit examples: a baseline without a model.

    s(X) = | 1/b Σ_{x in X} t(x) - μ | / σ, t the total variation, μ and σ its mean and deviation
    on the fit examples. Two-sided, because which side is OOD is not known before it is seen.
    """

    name = "total-variation"
    statistic = "total_variation"


class PNGSizeDistance(_Distance):
    """How much larger or smaller as a PNG than the fit examples: a baseline without a model.

    s(X) = | 1/b Σ_{x in X} t(x) - μ | / σ, t the bits of the PNG, μ and σ its mean and deviation
    on the fit examples. Two-sided, because which side is OOD is not known before it is seen.
    """

    name = "png-size"
    statistic = "png_bits"
