"""Mean likelihood regret of a group."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import Field

from plugins.scorers._base import Array, OneStatistic, Statistics, fitted


@dataclass(kw_only=True, eq=False)
class LikelihoodRegret(OneStatistic):
    """Mean regret of the group, s(X) = 1/b Σ_{x in X} r(x).

    r(x) is what log p(x) gains from a few steps of training on x alone. A model is near its best
    for what it was trained on, so there is more to gain elsewhere. Nothing is fitted; how many fit
    examples gain nothing is part of the result: where they are many, the steps are too long.

    Arguments:
        statistic: Name of the statistic to read, for a suite that defines a variant of
            `likelihood_regret` under a name of its own.

    References:
        | Likelihood Regret: An Out-of-Distribution Detection Score for Variational Auto-encoder
          (Xiao et al., 2020)
        | https://arxiv.org/abs/2003.02977
    """

    name = "likelihood-regret"

    statistic: Annotated[str, Field(min_length=1)] = "likelihood_regret"

    without_gain_: int | None = field(default=None, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Count the examples that gain nothing.

        Arguments:
            statistics: The statistic: regrets, float64, (M, b, 1), in nats.
        """
        self.without_gain_ = int((statistics[self.statistic] == 0).sum())
        return self

    def score(self, statistics: Statistics) -> Array:
        """Mean regret of each group.

        Arguments:
            statistics: The statistic: regrets, float64, (M, b, 1), in nats.

        Returns:
            float64, (M,), in nats; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        fitted(self.without_gain_, self.name)
        scores: Array = statistics[self.statistic][:, :, 0].mean(axis=1)
        return scores

    def fit_info(self) -> dict[str, float | int | str]:
        """How many fit examples no step made more probable.

        Raises:
            NotFittedError: `fit` was not called.
        """
        return {"examples_without_gain": fitted(self.without_gain_, self.name, "its fit")}
