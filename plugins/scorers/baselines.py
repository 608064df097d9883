"""Trivial baselines: scores that need no model and expose shortcuts between two data sets."""

from __future__ import annotations

from typing import Self

from oodbench import ScoreError
from plugins.scorers._base import Array, OneStatistic, Statistics, fitted


class _Distance(OneStatistic):
    r"""Distance between the group mean of a per-example statistic and the fit mean.

    s(X) = | 1/b Σ_{x in X} t(x) - μ | / σ,  μ and σ: mean and deviation of t on the fit examples

    The distance is two-sided, because the direction of OOD data is unknown in advance. The
    deviation divides by the number of examples.
    """

    baseline = True

    mean_: float | None = None
    deviation_: float | None = None

    def fit(self, statistics: Statistics) -> Self:
        """Estimate mean and deviation over the fit examples.

        Arguments:
            statistics: Values under the name `statistic`, float64, (M, b, 1).

        Raises:
            ScoreError: No fit group is given, all examples have the same value, or the statistic
                has several columns or is not per example.
        """
        values = self._column(statistics)
        if values.size == 0:
            raise ScoreError(f"{self.name} needs at least one fit group")
        if values.min() == values.max():
            raise ScoreError(f"{self.name}: {self.statistic} is the same for all fit examples")
        self.mean_, self.deviation_ = float(values.mean()), float(values.std())
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return the distance from the fit mean for each group.

        Arguments:
            statistics: Values under the name `statistic`, float64, (M, b, 1).

        Returns:
            float64, (M,), in standard deviations over the fit examples, never negative; higher is
            more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: The statistic has several columns, or is not per example.
        """
        mean, deviation = fitted(self.mean_, self.name), fitted(self.deviation_, self.name)
        means = self._column(statistics).mean(axis=1)
        scores: Array = abs(means - mean) / deviation
        return scores


class MeanIntensityDistance(_Distance):
    """Difference in brightness from the fit examples: a baseline without a model.

    s(X) = | 1/b Σ_{x in X} t(x) - μ | / σ, with t the mean pixel value, μ and σ the mean and the
    deviation of t on the fit examples. The distance is two-sided, because the direction of OOD
    data is unknown in advance.
    """

    name = "mean-intensity"
    statistic = "mean_intensity"


class TotalVariationDistance(_Distance):
    """Difference in roughness from the fit examples: a baseline without a model.

    s(X) = | 1/b Σ_{x in X} t(x) - μ | / σ, with t the total variation, μ and σ the mean and the
    deviation of t on the fit examples. The distance is two-sided, because the direction of OOD
    data is unknown in advance.
    """

    name = "total-variation"
    statistic = "total_variation"


class PNGSizeDistance(_Distance):
    """Difference in PNG size from the fit examples: a baseline without a model.

    s(X) = | 1/b Σ_{x in X} t(x) - μ | / σ, with t the PNG size in bits, μ and σ the mean and the
    deviation of t on the fit examples. The distance is two-sided, because the direction of OOD
    data is unknown in advance.
    """

    name = "png-size"
    statistic = "png_bits"


class MeanByteDistance(_Distance):
    """Difference in the mean byte from the fit examples: a baseline for text, without a model.

    s(X) = | 1/b Σ_{x in X} t(x) - μ | / σ, with t the mean byte, μ and σ the mean and the
    deviation of t on the fit examples. The distance is two-sided, because the direction of OOD
    data is unknown in advance.
    """

    name = "mean-byte"
    statistic = "mean_byte"


class ZlibSizeDistance(_Distance):
    """Difference in zlib size from the fit examples: a baseline for text, without a model.

    s(X) = | 1/b Σ_{x in X} t(x) - μ | / σ, with t the size in bits, μ and σ the mean and the
    deviation of t on the fit examples. The distance is two-sided, because the direction of OOD
    data is unknown in advance.
    """

    name = "zlib-size"
    statistic = "zlib_bits"
