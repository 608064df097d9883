"""A Gaussian over all columns of a statistic of examples."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from plugins.scorers._base import Array, Statistics, fitted
from plugins.scorers._standardised import Standardised

RIDGE = 1e-6
"""Added to the variances, which are 1: columns may depend on one another."""


@dataclass(kw_only=True, eq=False)
class GaussianDensity(Standardised):
    """Base class for scorers with s(X) = -1/b Σ_{x in X} log N(z(x); 0, C + 1e-6 I).

    z(x) are the columns, standardised, and C is the correlation matrix over the fit examples.
    """

    factor_: Array | None = field(default=None, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Compute means, standard deviations and correlations of the columns.

        Arguments:
            statistics: The statistic, float64, (M, b, K).

        Raises:
            ScoreError: Fewer than two examples are given, a value is not finite, or all examples
                have the same values.
        """
        super().fit(statistics)
        z = self._standardised(statistics)
        rows = z.reshape(-1, z.shape[-1])
        covariance = rows.T @ rows / (len(rows) - 1)
        self.factor_ = np.linalg.cholesky(covariance + RIDGE * np.eye(len(covariance)))
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return minus the mean log-density of each group.

        Arguments:
            statistics: The statistic, float64, (M, b, K).

        Returns:
            float64, (M,), in nats; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        factor = fitted(self.factor_, self.name)
        z = self._standardised(statistics)
        distances = np.linalg.solve(factor, z.reshape(-1, len(factor)).T)  # (K, M b)
        nats = 0.5 * (distances**2 + math.log(2 * math.pi)).sum(axis=0)
        nats = nats + np.log(np.diagonal(factor)).sum()
        scores: Array = nats.reshape(z.shape[:2]).mean(axis=1)
        return scores
