"""Minus the mean log-probability of a group."""

from __future__ import annotations

from typing import Self

from oodbench import NotFittedError
from plugins.scorers._base import Array, Statistics


class LogLikelihood:
    """Minus the mean log-probability of the group, s(X) = -1/b Σ_{x in X} log p(x).

    The baseline that deep generative models are known to fail: simpler data than they were
    trained on is often more probable. Nothing is fitted; `fit` is asked for all the same, so that
    every scorer is used alike.

    References:
        | Do Deep Generative Models Know What They Don't Know? (Nalisnick et al., 2019)
        | https://openreview.net/forum?id=H1xwNhCcYm
    """

    inputs = ("log_prob",)

    def __init__(self) -> None:
        self.fitted_ = False

    def fit(self, statistics: Statistics) -> Self:
        """Nothing to fit.

        Arguments:
            statistics: `log_prob`: float64, (M, b, 1), in nats; not read.
        """
        self.fitted_ = True
        return self

    def score(self, statistics: Statistics) -> Array:
        """Mean negative log-probability of each group.

        Arguments:
            statistics: `log_prob`: float64, (M, b, 1), in nats.

        Returns:
            float64, (M,), in nats; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        if not self.fitted_:
            raise NotFittedError("log-likelihood was asked for scores before it was fitted")
        log_prob = statistics["log_prob"][:, :, 0]
        scores: Array = -log_prob.mean(axis=1)
        return scores
