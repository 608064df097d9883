"""One Gaussian per layer on the logarithm of its gradient norm: the score of the paper."""

from __future__ import annotations

from typing import Self

import numpy as np

from plugins.scorers._base import Array, Statistics, fitted
from plugins.scorers._layer_scorer import LayerScorer


class GradientGaussian(LayerScorer):
    r"""Minus the log-density of the layers' log gradient norms under independent Gaussians.

    φ_l  = log(f_l(X) + eps)                                                           (Eq. 9)
    μ_l, v_l = mean and variance of φ_l over the fit groups                       (Eqs. 10, 11)
    s(X) = ½ Σ_l [ (φ_l - μ_l)² / (v_l + eps) + log 2π (v_l + eps) ]                  (Eq. 12)

    over layers l, where f_l is the squared gradient norm of layer l for the group X.

    Departures from the paper:
        The paper calls the variance σ and squares it in Eq. 12; here, as in the authors' code,
        the variance is used once. The variance divides by the number of fit groups, not by one
        less. `eps` is the authors' code's, not in the equations.

        A layer whose log norm is the same for all fit groups is left out: at its variance of 0
        the smallest change would decide the whole score. In the authors' code it does; zero
        initialised convolutions, half the layers of a Glow at epoch 0, have no gradient there.
        `fit_info` tells how many were left out.

    Arguments:
        eps: Added to the squared norm inside the logarithm, and to the variance.
        statistic: Name of the statistic to read, for a suite that defines a variant of
            `layer_gradient_sq_norms` under a name of its own.
        layers: Patterns of names of the layers that count, such as `levels.0.*` or `*.weight`.
        top_k: Of those so many, with the largest variance of φ over the fit groups; None for all.

    Attributes:
        mean_: μ, float64, (L,).
        variance_: v, float64, (L,), without eps.

    References:
        | OOD Detection with Immature Models
        | https://arxiv.org/abs/2502.00820
    """

    name = "gradient-gaussian"

    mean_: Array | None = None
    variance_: Array | None = None

    def fit(self, statistics: Statistics) -> Self:
        """Fit one Gaussian per layer.

        Arguments:
            statistics: The statistic: squared norms, float64, (M, L), not negative.

        Raises:
            ScoreError: There are fewer than two groups, a norm is not finite, every layer is
                constant, or a pattern of `layers` fits none.
        """
        log_norms = self._fit_layers(statistics)
        self.mean_ = log_norms.mean(axis=0)
        self.variance_ = log_norms.var(axis=0)
        return self

    def score(self, statistics: Statistics) -> Array:
        """Minus the log-density of each group (Eq. 12).

        Arguments:
            statistics: The statistic: squared norms, float64, (M, L), not negative.

        Returns:
            float64, (M,), in nats; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A norm is negative, or the number of layers is not that of the fit.
        """
        squares, logs = self._parts(statistics)
        scores: Array = 0.5 * (squares.sum(axis=1) + logs.sum())
        return scores

    def score_terms(self, statistics: Statistics) -> dict[str, Array]:
        """The summand of Eq. 12 for each layer that is not left out, float64, (M,), in nats."""
        squares, logs = self._parts(statistics)
        return self._named(0.5 * (squares + logs))

    def _parts(self, statistics: Statistics) -> tuple[Array, Array]:
        """(φ - μ)² / (v + eps), (M, K), and log 2π (v + eps), (K,), of the K layers kept."""
        mean = fitted(self.mean_, self.name)[self.kept_]
        variance = fitted(self.variance_, self.name)[self.kept_] + self.eps
        squares = (self._log_norms(statistics) - mean) ** 2 / variance
        return squares, np.log(2 * np.pi * variance)
