"""Total gradient norm for a group."""

from __future__ import annotations

from typing import Self

import numpy as np

from plugins.scorers._base import Array, Statistics, fitted
from plugins.scorers._layer_scorer import LayerScorer


class GradientNorm(LayerScorer):
    r"""Logarithm of the squared norm of the whole gradient, s(X) = log(eps + Σ_l f_l(X)).

    f_l is the squared gradient norm for the group X in layer l. The logarithm changes no AUROC.
    The score is one-sided: a large norm means OOD, because the model would have to change much to
    fit the example. A few large layers dominate the sum, so the paper scores layer by layer
    instead. Only the selection of layers is fitted; layers with a constant norm on the fit groups
    are included.

    Arguments:
        eps: Added to the squared norm inside the logarithm.
        statistic: Name of the statistic to read: `layer_gradient_sq_norms`, or a variant defined
            in the suite.
        layers: Patterns for the names of the layers to use, for example `levels.0.*` or
            `*.weight`.
        top_k: Number of layers to keep, by largest variance of log f over the fit groups; None
            keeps all layers.

    References:
        | Approximations to the Fisher Information Metric of Deep Generative Models for OOD
          Detection (Dauncey et al., 2024), where the total norm is the starting point for scores
          per layer
        | https://openreview.net/forum?id=EcuwtinFs9
    """

    name = "gradient-norm"

    def fit(self, statistics: Statistics) -> Self:
        """Select the layers.

        Arguments:
            statistics: Squared gradient norms under the name `statistic`, float64, (M, L), not
                negative.

        Raises:
            ScoreError: Fewer than two groups are given, a norm is not finite, every layer is
                constant, or a pattern in `layers` matches no layer.
        """
        self._fit_layers(statistics)
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return the log squared norm for each group.

        Arguments:
            statistics: Squared gradient norms under the name `statistic`, float64, (M, L), not
                negative.

        Returns:
            float64, (M,); higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A norm is negative, or the number of layers differs from the fit.
        """
        self._log_norms(statistics)
        return np.log(self.eps + statistics[self.statistic][:, self.chosen_].sum(axis=1))

    def fit_info(self) -> dict[str, float | int | str]:
        """Return the number of selected layers.

        Raises:
            NotFittedError: `fit` was not called.
        """
        return {"layers": int(fitted(self.chosen_, self.name, "its fit").sum())}
