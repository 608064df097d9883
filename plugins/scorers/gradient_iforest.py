"""Isolation forest for the log gradient norms of the layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import Field

from plugins.scorers._base import Array, Statistics, fitted
from plugins.scorers._isolation_forest import IsolationForest
from plugins.scorers._layer_scorer import LayerScorer


@dataclass(kw_only=True, eq=False)
class GradientIForest(LayerScorer):
    r"""Isolation forest on the log gradient norms φ_l = log(f_l(X) + eps).

    s(X) = 2^(-E h(φ) / c(n))

    where h is the depth at which random splits separate φ from n fit groups, averaged over the
    trees, and c(n) is the expectation of h. The result does not depend on the scale per layer.

    Arguments:
        trees: Number of trees.
        seed: Seed for the random splits.
        eps: Added to the squared norm inside the logarithm.
        statistic: Name of the statistic to read: `layer_gradient_sq_norms`, or a variant defined
            in the suite.
        layers: Patterns for the names of the layers to use, for example `levels.0.*` or
            `*.weight`.
        top_k: Number of layers to keep, by largest variance of φ over the fit groups; None keeps
            all layers.

    References:
        | Isolation forest (Liu et al., 2008), as implemented in scikit-learn: n is at most 256
        | https://doi.org/10.1109/ICDM.2008.17
    """

    name = "gradient-iforest"

    trees: Annotated[int, Field(ge=1)] = 100
    seed: Annotated[int, Field(ge=0)] = 0

    forest_: IsolationForest | None = field(default=None, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Grow the trees.

        Arguments:
            statistics: Squared gradient norms under the name `statistic`, float64, (M, L), not
                negative.

        Raises:
            ScoreError: Fewer than two groups are given, a norm is not finite, every layer is
                constant, or a pattern in `layers` matches no layer.
        """
        log_norms = self._fit_layers(statistics)[:, self.kept_]
        self.forest_ = IsolationForest(self.trees, self.seed).fit(log_norms)
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return the anomaly score for each group.

        Arguments:
            statistics: Squared gradient norms under the name `statistic`, float64, (M, L), not
                negative.

        Returns:
            float64, (M,), from 0 to 1; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A norm is negative, or the number of layers differs from the fit.
        """
        return fitted(self.forest_, self.name).score(self._log_norms(statistics))
