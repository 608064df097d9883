"""Mean likelihood regret for a group."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import Field

from plugins.scorers._base import Array, OneStatistic, Statistics, fitted


@dataclass(kw_only=True, eq=False)
class LikelihoodRegret(OneStatistic):
    """Mean regret in the group, s(X) = 1/b Σ_{x in X} r(x).

    The regret r(x) is the gain in log p(x) after a few training steps on x alone. A model is
    nearly optimal for data like the training data, so other data gains more. Nothing is fitted;
    the number of fit examples without a gain is part of the result, because a large number shows
    steps that are too long.

    Arguments:
        statistic: Name of the statistic to read: `likelihood_regret`, or a variant defined in the
            suite.

    References:
        | Likelihood Regret: An Out-of-Distribution Detection Score for Variational Auto-encoder
          (Xiao et al., 2020)
        | https://arxiv.org/abs/2003.02977
    """

    name = "likelihood-regret"
    needs_normalized = True  # steps would lower the energy of one example without end

    statistic: Annotated[str, Field(min_length=1)] = "likelihood_regret"

    without_gain_: int | None = field(default=None, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Count the examples without a gain.

        Arguments:
            statistics: Regrets under the name `statistic`, float64, (M, b, 1), in nats.
        """
        self.without_gain_ = int((statistics[self.statistic] == 0).sum())
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return the mean regret for each group.

        Arguments:
            statistics: Regrets under the name `statistic`, float64, (M, b, 1), in nats.

        Returns:
            float64, (M,), in nats; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: The statistic has several columns, or is not per example.
        """
        fitted(self.without_gain_, self.name)
        scores: Array = self._column(statistics).mean(axis=1)
        return scores

    def fit_info(self) -> dict[str, float | int | str]:
        """Return the number of fit examples for which no step increased the probability.

        Raises:
            NotFittedError: `fit` was not called.
        """
        return {"examples_without_gain": fitted(self.without_gain_, self.name, "its fit")}
