"""Minus the mean log-probability for a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from plugins.scorers._base import Array, NothingToFit, OneStatistic, Statistics, fitted


@dataclass(kw_only=True, eq=False)
class LogLikelihood(OneStatistic, NothingToFit):
    """Minus the mean log-probability in the group, s(X) = -1/b Σ_{x in X} log p(x).

    Deep generative models are known to fail with this baseline: images simpler than the training
    data often get a higher probability. Nothing is fitted, but `fit` is required nevertheless, so
    that all scorers are used in the same way.

    Arguments:
        statistic: Name of the statistic to read: `log_prob`, or another log-probability per
            example, such as a variant of `gamma_log_density` defined in the suite.

    References:
        | Do Deep Generative Models Know What They Don't Know? (Nalisnick et al., 2019)
        | https://openreview.net/forum?id=H1xwNhCcYm
    """

    name = "log-likelihood"
    landmark = True

    statistic: Annotated[str, Field(min_length=1)] = "log_prob"

    def score(self, statistics: Statistics) -> Array:
        """Return the mean negative log-probability for each group.

        Arguments:
            statistics: Values under the name `statistic`, float64, (M, b, 1), in nats.

        Returns:
            float64, (M,), in nats; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: The statistic has several columns, or is not per example.
        """
        fitted(self.fitted_, self.name)
        scores: Array = -self._column(statistics).mean(axis=1)
        return scores
