"""Gaussian distributions for the log gradient norms of the layers: the score from the paper."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np

from plugins.scorers._base import Array, Mask, Statistics, fitted
from plugins.scorers._layer_scorer import LayerScorer


@dataclass(kw_only=True, eq=False)
class GradientGaussian(LayerScorer):
    r"""Minus the log-density of the log gradient norms per layer under independent Gaussians.

    φ_l  = log(f_l(X) + eps)                                                           (Eq. 9)
    μ_l, v_l = mean and variance of φ_l over the fit groups                       (Eqs. 10, 11)
    s(X) = ½ Σ_l [ (φ_l - μ_l)² / τ_l + log 2π τ_l ]                                  (Eq. 12)
    τ_l  = v_l + eps,   or (v_l + eps)² with `formula = "paper-equations"`

    over layers l, where f_l is the squared gradient norm for the group X in layer l.

    Departures from the paper:
        The paper calls the variance σ (Eq. 11) and squares σ in Eq. 12; the authors' code does not
        square the variance. The default follows the code, which has the density of a Gaussian;
        `formula = "paper-equations"` follows the equations to the letter.

        The variance divides by the number of fit groups n; the authors' code divides by n - 1.
        `eps` comes from the authors' code and does not appear in the equations.

        A layer is left out if all fit groups have the same log norm: with zero variance the
        smallest change would decide the whole score. The authors' code includes these layers, as
        does `constant_layers = "keep"`; zero-initialised convolutions, half the layers in a Glow
        at epoch 0, have no gradient there. `fit_info` gives the number of layers left out.

    Arguments:
        eps: Added to the squared norm inside the logarithm, and to the variance.
        statistic: Name of the statistic to read: `layer_gradient_sq_norms`, or a variant defined
            in the suite.
        layers: Patterns for the names of the layers to use, for example `levels.0.*` or
            `*.weight`.
        top_k: Number of layers to keep, by largest variance of φ over the fit groups; None keeps
            all layers.
        formula: `published-code`: τ is the variance; `paper-equations`: τ is the squared variance.
        constant_layers: `drop` leaves out layers with the same log norm for all fit groups; `keep`
            includes these layers with τ from eps alone, like the authors' code.

    Attributes:
        mean_: μ, float64, (L,).
        variance_: v, float64, (L,), without eps.

    References:
        | OOD Detection with Immature Models
        | https://arxiv.org/abs/2502.00820
    """

    name = "gradient-gaussian"
    landmark = True

    formula: Literal["published-code", "paper-equations"] = "published-code"
    constant_layers: Literal["drop", "keep"] = "drop"

    mean_: Array | None = field(default=None, init=False)
    variance_: Array | None = field(default=None, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Fit a Gaussian per layer.

        Arguments:
            statistics: Squared gradient norms under the name `statistic`, float64, (M, L), not
                negative.

        Raises:
            ScoreError: Fewer than two groups are given, a norm is not finite, every layer is left
                out as constant, or a pattern in `layers` matches no layer.
        """
        log_norms = self._fit_layers(statistics)
        self.mean_ = log_norms.mean(axis=0)
        self.variance_ = log_norms.var(axis=0)
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return minus the log-density for each group (Eq. 12).

        Arguments:
            statistics: Squared gradient norms under the name `statistic`, float64, (M, L), not
                negative.

        Returns:
            float64, (M,), in nats; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A norm is negative, or the number of layers differs from the fit.
        """
        squares, logs = self._parts(statistics)
        scores: Array = 0.5 * (squares.sum(axis=1) + logs.sum())
        return scores

    def score_terms(self, statistics: Statistics) -> dict[str, Array]:
        """Return the summand in Eq. 12 for each kept layer, float64, (M,), in nats."""
        squares, logs = self._parts(statistics)
        return self._named(0.5 * (squares + logs))

    def _usable(self, log_norms: Array) -> Mask:
        if self.constant_layers == "keep":
            return np.ones(log_norms.shape[1], dtype=bool)
        return super()._usable(log_norms)

    def _parts(self, statistics: Statistics) -> tuple[Array, Array]:
        """Return (φ - μ)² / τ, (M, K), and log 2π τ, (K,), for K kept layers."""
        mean = fitted(self.mean_, self.name)[self.kept_]
        spread = fitted(self.variance_, self.name)[self.kept_] + self.eps
        if self.formula == "paper-equations":
            spread = spread**2
        squares = (self._log_norms(statistics) - mean) ** 2 / spread
        return squares, np.log(2 * np.pi * spread)
