"""The total gradient norm of a group."""

from __future__ import annotations

from typing import Self

import numpy as np

from plugins.scorers._base import Array, Statistics, fitted
from plugins.scorers._layer_scorer import LayerScorer


class GradientNorm(LayerScorer):
    r"""The logarithm of the squared norm of the whole gradient, s(X) = log(eps + Σ_l f_l(X)).

    f_l is the squared gradient norm of layer l for the group X. The logarithm changes no AUROC.
    One-sided: a large norm means OOD, as an example that the model would have to change much for.
    A few large layers decide it, which is why the paper scores layer by layer instead. Nothing is
    fitted but the choice of layers; those that are constant on the fit groups count too.

    Arguments:
        eps: Added to the squared norm inside the logarithm.
        statistic: Name of the statistic to read, for a suite that defines a variant of
            `layer_gradient_sq_norms` under a name of its own.
        layers: Patterns of names of the layers that count, such as `levels.0.*` or `*.weight`.
        top_k: Of those so many, with the largest variance of log f over the fit groups; None for
            all.

    References:
        | Approximations to the Fisher Information Metric of Deep Generative Models for OOD
          Detection (Dauncey et al., 2024), which starts from it and finds the layers apart
        | https://openreview.net/forum?id=EcuwtinFs9
    """

    name = "gradient-norm"

    def fit(self, statistics: Statistics) -> Self:
        """Choose the layers.

        Arguments:
            statistics: The statistic: squared norms, float64, (M, L), not negative.

        Raises:
            ScoreError: There are fewer than two groups, a norm is not finite, every layer is
                constant, or a pattern of `layers` fits none.
        """
        self._fit_layers(statistics)
        return self

    def score(self, statistics: Statistics) -> Array:
        """The log squared norm of each group.

        Arguments:
            statistics: The statistic: squared norms, float64, (M, L), not negative.

        Returns:
            float64, (M,); higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A norm is negative, or the number of layers is not that of the fit.
        """
        self._log_norms(statistics)
        return np.log(self.eps + statistics[self.statistic][:, self.chosen_].sum(axis=1))

    def fit_info(self) -> dict[str, float | int | str]:
        """How many layers were chosen.

        Raises:
            NotFittedError: `fit` was not called.
        """
        return {"layers": int(fitted(self.chosen_, self.name, "its fit").sum())}
