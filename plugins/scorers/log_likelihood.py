"""Minus the mean log-probability of a group."""

from __future__ import annotations

from plugins.scorers._base import Array, NothingToFit, Statistics, fitted


class LogLikelihood(NothingToFit):
    """Minus the mean log-probability of the group, s(X) = -1/b Σ_{x in X} log p(x).

    The baseline that deep generative models are known to fail: simpler data than they were
    trained on is often more probable. Nothing is fitted; `fit` is asked for all the same, so that
    every scorer is used alike.

    References:
        | Do Deep Generative Models Know What They Don't Know? (Nalisnick et al., 2019)
        | https://openreview.net/forum?id=H1xwNhCcYm
    """

    name = "log-likelihood"
    inputs = ("log_prob",)

    def score(self, statistics: Statistics) -> Array:
        """Mean negative log-probability of each group.

        Arguments:
            statistics: `log_prob`: float64, (M, b, 1), in nats.

        Returns:
            float64, (M,), in nats; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        fitted(self.fitted_, self.name)
        log_prob = statistics["log_prob"][:, :, 0]
        scores: Array = -log_prob.mean(axis=1)
        return scores
