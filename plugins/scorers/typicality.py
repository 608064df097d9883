"""Distance between a group's mean log-probability and the entropy of the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Self

import numpy as np
from pydantic import Field

from oodbench import ScoreError
from plugins.scorers._base import Array, OneStatistic, Statistics, fitted


@dataclass(kw_only=True, eq=False)
class Typicality(OneStatistic):
    """Distance of the group from the typical set, s(X) = | -1/b Σ_{x in X} log p(x) - H |.

    The entropy H is the mean of -log p over the fit examples. The authors estimate H on training
    examples; scorers here are never fitted on the train split.

    Arguments:
        statistic: Name of the statistic to read: `log_prob`, or another log-probability per
            example, such as a variant of `gamma_log_density` defined in the suite.

    Attributes:
        entropy_: H, in nats.

    References:
        | Detecting Out-of-Distribution Inputs to Deep Generative Models Using Typicality
          (Nalisnick et al., 2019)
        | https://arxiv.org/abs/1906.02994
    """

    name = "typicality"

    statistic: Annotated[str, Field(min_length=1)] = "log_prob"

    entropy_: float | None = field(default=None, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Estimate the entropy.

        Arguments:
            statistics: Values under the name `statistic`, float64, (M, b, 1), in nats.

        Raises:
            ScoreError: No fit group is given, a log-probability is not finite, or the statistic
                has several columns or is not per example.
        """
        log_prob = self._column(statistics)
        if log_prob.size == 0:
            raise ScoreError(f"{self.name} needs at least one fit group")
        entropy = float(-log_prob.mean())
        if not np.isfinite(entropy):
            raise ScoreError(f"{self.name}: {self.statistic} of the fit examples is not finite")
        self.entropy_ = entropy
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return the distance from the entropy for each group.

        Arguments:
            statistics: Values under the name `statistic`, float64, (M, b, 1), in nats.

        Returns:
            float64, (M,), in nats, never negative; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: The statistic has several columns, or is not per example.
        """
        entropy = fitted(self.entropy_, self.name)
        scores: Array = np.abs(-self._column(statistics).mean(axis=1) - entropy)
        return scores

    def fit_info(self) -> dict[str, float | int | str]:
        """Return the entropy, in nats.

        Raises:
            NotFittedError: `fit` was not called.
        """
        return {"entropy": fitted(self.entropy_, self.name, "its fit")}
