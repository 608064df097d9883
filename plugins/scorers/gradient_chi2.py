"""A scaled chi-square distribution per layer on its gradient norm."""

from __future__ import annotations

import math
from typing import Self

import numpy as np

from plugins.scorers._base import Array, Statistics, fitted
from plugins.scorers._layer_scorer import LayerScorer


class GradientChi2(LayerScorer):
    r"""Minus the log-density of the layers' log gradient norms, the norms being chi-square.

    f_l ~ a_l χ²(k_l),   a_l = v_l / 2 m_l,   k_l = 2 m_l² / v_l             (Satterthwaite, 1946)
    s(X) = -Σ_l log p(φ_l),   φ_l = log f_l,   p(φ) = p(f) f                        (the Jacobian)
         = -Σ_l [ κ_l (log r_l - r_l + log κ_l) - log Γ(κ_l) ],   r = f / m,   κ = k / 2

    over layers l, where f_l is the squared gradient norm of layer l for the group X, m_l and v_l
    its mean and variance over the fit groups. A squared norm is a sum of squares: were the
    gradient Gaussian, it would be a weighted sum of χ²(1), which the fit approximates.

    The density is that of φ, not of f. Without the Jacobian the score is larger by Σ_l φ_l, and
    large norms are taken for more unusual than they are; with it the density does not depend on
    the unit of a layer, and compares with that of `gradient-gaussian`. The unit of the group's
    objective (sum or mean, nats or bits) changes neither.

    A layer that is constant on the fit groups is left out; `fit_info` tells how many were.

    Arguments:
        eps: Added to f, and to v / m², so that a layer that hardly varies does not decide all.
        statistic: Name of the statistic to read, for a suite that defines a variant of
            `layer_gradient_sq_norms` under a name of its own.
        layers: Patterns of names of the layers that count, such as `levels.0.*` or `*.weight`.
        top_k: Of those so many, with the largest variance of φ over the fit groups; None for all.

    Attributes:
        mean_: m, float64, (K,), of the K layers kept.
        shape_: κ, float64, (K,).

    References:
        | Approximations to the Fisher Information Metric of Deep Generative Models for OOD
          Detection (Dauncey et al., 2024), where the chi-square comes from
        | https://openreview.net/forum?id=EcuwtinFs9
        | An approximate distribution of estimates of variance components (Satterthwaite, 1946)
        | https://doi.org/10.2307/3002019
    """

    name = "gradient-chi2"

    mean_: Array | None = None
    shape_: Array | None = None

    def fit(self, statistics: Statistics) -> Self:
        """Fit one chi-square distribution per layer, by its first two moments.

        Arguments:
            statistics: The statistic: squared norms, float64, (M, L), not negative.

        Raises:
            ScoreError: There are fewer than two groups, a norm is not finite, every layer is
                constant, or a pattern of `layers` fits none.
        """
        self._fit_layers(statistics)
        norms = statistics[self.statistic][:, self.kept_] + self.eps
        mean = norms.mean(axis=0)
        self.mean_ = mean
        self.shape_ = 1 / ((norms / mean).var(axis=0) + self.eps)
        return self

    def score(self, statistics: Statistics) -> Array:
        """Minus the log-density of each group.

        Arguments:
            statistics: The statistic: squared norms, float64, (M, L), not negative.

        Returns:
            float64, (M,), in nats; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A norm is negative, or the number of layers is not that of the fit.
        """
        scores: Array = self._terms(statistics).sum(axis=1)
        return scores

    def score_terms(self, statistics: Statistics) -> dict[str, Array]:
        """-log p(φ_l) of each layer that is not left out, float64, (M,), in nats."""
        return self._named(self._terms(statistics))

    def _terms(self, statistics: Statistics) -> Array:
        """-log p(φ) of the K layers kept, (M, K)."""
        mean, shape = fitted(self.mean_, self.name), fitted(self.shape_, self.name)
        log_ratio = self._log_norms(statistics) - np.log(mean)
        log_gamma = np.array([math.lgamma(value) for value in shape])
        # log r - r + 1 is small near r = 1, where shape is large: the constant stays apart
        constant = shape * (np.log(shape) - 1) - log_gamma
        terms: Array = -shape * (log_ratio - np.expm1(log_ratio)) - constant
        return terms
