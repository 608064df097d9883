"""An isolation forest on the layers' log gradient norms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from pydantic import Field

from plugins.scorers._base import Array, Statistics
from plugins.scorers._layer_scorer import LayerScorer


@dataclass(kw_only=True, eq=False)
class GradientIForest(LayerScorer):
    r"""An isolation forest on the log gradient norms φ_l = log(f_l(X) + eps).

    s(X) = 2^(-E h(φ) / c(n))

    where h is the depth at which random splits single φ out of n fit groups, on average over the
    trees, and c(n) its expectation. The scale of a layer does not matter.

    Arguments:
        trees: How many.
        seed: Of the random splits.
        eps: Added to the squared norm inside the logarithm.
        statistic: Name of the statistic to read, for a suite that defines a variant of
            `layer_gradient_sq_norms` under a name of its own.
        layers: Patterns of names of the layers that count, such as `levels.0.*` or `*.weight`.
        top_k: Of those so many, with the largest variance of φ over the fit groups; None for all.

    References:
        | Isolation forest (Liu et al., 2008), as scikit-learn has it: n is at most 256
        | https://doi.org/10.1109/ICDM.2008.17
    """

    name = "gradient-iforest"

    trees: Annotated[int, Field(ge=1)] = 100
    seed: Annotated[int, Field(ge=0)] = 0

    forest_: Any = field(default=None, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Grow the trees.

        Arguments:
            statistics: The statistic: squared norms, float64, (M, L), not negative.

        Raises:
            ScoreError: There are fewer than two groups, a norm is not finite, every layer is
                constant, or a pattern of `layers` fits none.
        """
        from sklearn.ensemble import IsolationForest

        log_norms = self._fit_layers(statistics)[:, self.kept_]
        forest = IsolationForest(n_estimators=self.trees, random_state=self.seed)
        self.forest_ = forest.fit(log_norms)
        return self

    def score(self, statistics: Statistics) -> Array:
        """The anomaly score of each group.

        Arguments:
            statistics: The statistic: squared norms, float64, (M, L), not negative.

        Returns:
            float64, (M,), from 0 to 1; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A norm is negative, or the number of layers is not that of the fit.
        """
        log_norms = self._log_norms(statistics)
        scores: Array = -self.forest_.score_samples(log_norms)
        return scores
