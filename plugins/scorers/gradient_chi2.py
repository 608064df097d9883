"""Scaled chi-square distributions for the gradient norms of the layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np

from oodbench import ScoreError
from plugins.scorers._base import Array, Statistics, fitted
from plugins.scorers._layer_scorer import LayerScorer

LAYER_SIZES = "layer_sizes"


@dataclass(kw_only=True, eq=False)
class GradientChi2(LayerScorer):
    r"""Minus the log-density of the log gradient norms per layer, for chi-square norms.

    f_l ~ a_l χ²(k_l),   a_l = v_l / 2 m_l,   k_l = 2 m_l² / v_l             (Satterthwaite, 1946)
    s(X) = -Σ_l log p(φ_l),   φ_l = log f_l,   p(φ) = p(f) f                        (the Jacobian)
         = -Σ_l [ κ_l (log r_l - r_l + log κ_l) - log Γ(κ_l) ],   r = f / m,   κ = k / 2

    over layers l, where f_l is the squared gradient norm for the group X in layer l, and m_l and
    v_l are the mean and the variance of f_l over the fit groups. A squared norm is a sum of
    squares: for a Gaussian gradient, f_l is a weighted sum of χ²(1) variables, and the fit
    approximates the distribution of this sum.

    The score uses the density of φ instead of f. Without the Jacobian the score is larger by
    Σ_l φ_l, and large norms would seem more unusual than they are. With the Jacobian the density
    does not depend on the unit per layer, and can be compared with `gradient-gaussian`. The unit
    of the group's objective (sum or mean, nats or bits) changes neither score.

    With `degrees_of_freedom = "elements"` k_l is the number of elements in layer l, and only the
    scale a_l = m_l / k_l, the maximum likelihood estimate, is fitted. A layer with many elements
    then has a narrow distribution, as if the entries of the gradient were independent.

    A layer is left out if all fit groups have the same norm; `fit_info` gives the number of
    layers left out.

    Departures from the authors' code:
        The code fixes the degrees of freedom to the number of elements; here two moments are
        fitted unless `degrees_of_freedom = "elements"`. The code has no `eps`, and leaves out
        constant layers too.

        The code adds log φ as the Jacobian in place of φ; this term depends on the unit of the
        gradient, and is not finite for f < 1. No option restores the term.

    Arguments:
        eps: Added to f, and to v / m², to keep nearly constant layers from dominating the score.
        statistic: Name of the statistic to read: `layer_gradient_sq_norms`, or a variant defined
            in the suite.
        layers: Patterns for the names of the layers to use, for example `levels.0.*` or
            `*.weight`.
        top_k: Number of layers to keep, by largest variance of φ over the fit groups; None keeps
            all layers.
        degrees_of_freedom: `moments`: k from the first two moments; `elements`: k is the number
            of elements in the layer, read from the statistic `layer_sizes`.

    Attributes:
        mean_: m, float64, (K,), for the K kept layers.
        shape_: κ, float64, (K,).

    References:
        | Approximations to the Fisher Information Metric of Deep Generative Models for OOD
          Detection (Dauncey et al., 2024), the source for the chi-square distribution
        | https://openreview.net/forum?id=EcuwtinFs9
        | https://github.com/SamD770/Generative-Models-Knowledge
        | An approximate distribution of estimates of variance components (Satterthwaite, 1946)
        | https://doi.org/10.2307/3002019
    """

    name = "gradient-chi2"

    degrees_of_freedom: Literal["moments", "elements"] = "moments"

    mean_: Array | None = field(default=None, init=False)
    shape_: Array | None = field(default=None, init=False)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The statistic with the norms, and `layer_sizes` if the degrees of freedom are sizes."""
        sizes = (LAYER_SIZES,) if self.degrees_of_freedom == "elements" else ()
        return (self.statistic, *sizes)

    def name_features(self, features: Mapping[str, Sequence[str]]) -> None:
        """Store the layer names.

        Raises:
            ScoreError: The sizes belong to other layers than the norms.
        """
        super().name_features(features)
        if self.degrees_of_freedom == "elements" and tuple(features[LAYER_SIZES]) != self.names:
            raise ScoreError(f"{self.name}: {LAYER_SIZES} has other layers than {self.statistic}")

    def fit(self, statistics: Statistics) -> Self:
        """Fit a chi-square distribution per layer.

        Arguments:
            statistics: Squared gradient norms under the name `statistic`, float64, (M, L), not
                negative; with `degrees_of_freedom = "elements"` also `layer_sizes`, (M, L).

        Raises:
            ScoreError: Fewer than two groups are given, a norm is not finite, every layer is
                constant, or a pattern in `layers` matches no layer.
        """
        self._fit_layers(statistics)
        norms = statistics[self.statistic][:, self.kept_] + self.eps
        mean = norms.mean(axis=0)
        self.mean_ = mean
        if self.degrees_of_freedom == "elements":
            self.shape_ = statistics[LAYER_SIZES][0, self.kept_] / 2
        else:
            self.shape_ = 1 / ((norms / mean).var(axis=0) + self.eps)
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return minus the log-density for each group.

        Arguments:
            statistics: Squared gradient norms under the name `statistic`, float64, (M, L), not
                negative.

        Returns:
            float64, (M,), in nats; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A norm is negative, or the number of layers differs from the fit.
        """
        scores: Array = self._terms(statistics).sum(axis=1)
        return scores

    def score_terms(self, statistics: Statistics) -> dict[str, Array]:
        """Return -log p(φ_l) for each kept layer, float64, (M,), in nats."""
        return self._named(self._terms(statistics))

    def _terms(self, statistics: Statistics) -> Array:
        """Return -log p(φ) for the K kept layers, (M, K)."""
        mean, shape = fitted(self.mean_, self.name), fitted(self.shape_, self.name)
        log_ratio = self._log_norms(statistics) - np.log(mean)
        log_gamma = np.array([math.lgamma(value) for value in shape])
        # For large shapes, log r - r + 1 is small: the constant is kept apart for precision.
        constant = shape * (np.log(shape) - 1) - log_gamma
        terms: Array = -shape * (log_ratio - np.expm1(log_ratio)) - constant
        return terms
