"""Columns of a statistic of examples, in standard deviations over the fit examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from oodbench import ScoreError
from plugins.scorers._base import Array, OneStatistic, Statistics, fitted


@dataclass(kw_only=True, eq=False)
class Standardised(OneStatistic):
    """Base class for scorers that read z_k(x) = (t_k(x) - mean_k) / sd_k of a statistic t.

    mean_k and sd_k (which divides by n - 1) are over the fit examples. Columns in which all fit
    examples are equal are left out.
    """

    mean_: Array | None = field(default=None, init=False)
    sd_: Array | None = field(default=None, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Compute mean and standard deviation of each column.

        Arguments:
            statistics: The statistic, float64, (M, b, K).

        Raises:
            ScoreError: Fewer than two examples are given, a value is not finite, or all examples
                have the same values.
        """
        values = statistics[self.statistic]
        rows = values.reshape(-1, values.shape[-1])
        if len(rows) < 2:
            raise ScoreError(f"{self.name} needs at least two fit examples, not {len(rows)}")
        if not np.isfinite(rows).all():
            raise ScoreError(f"{self.name}: {self.statistic} of the fit examples is not finite")
        varies = rows.max(axis=0) > rows.min(axis=0)
        if not varies.any():
            raise ScoreError(
                f"{self.name}: {self.statistic} is the same for all {len(rows)} fit examples"
            )
        self.mean_ = rows.mean(axis=0)
        self.sd_ = np.where(varies, rows.std(axis=0, ddof=1), 0.0)
        return self

    def _standardised(self, statistics: Statistics) -> Array:
        """Return z, float64, (M, b, K) without the columns left out.

        Raises:
            NotFittedError: `fit` was not called.
        """
        mean, sd = fitted(self.mean_, self.name), fitted(self.sd_, self.name)
        kept = sd > 0
        z: Array = (statistics[self.statistic][..., kept] - mean[kept]) / sd[kept]
        return z
