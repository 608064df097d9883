"""One-class support vector machine for the log gradient norms of the layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import Field

from plugins.scorers._base import Array, Statistics, fitted
from plugins.scorers._layer_scorer import LayerScorer
from plugins.scorers._one_class_svm import OneClassSVM


@dataclass(kw_only=True, eq=False)
class GradientSVM(LayerScorer):
    r"""One-class SVM on the standardised log gradient norms φ_l = log(f_l(X) + eps).

    s(X) = ρ - Σ_i α_i exp(-‖φ' - φ'_i‖² / L),   φ'_l = (φ_l - mean_l) / sd_l

    over fit groups i and L layers; layers with a constant norm on the fit groups are left out.
    Unlike `gradient-gaussian`, the SVM models dependence between layers. Groups far from all fit
    groups share the largest score, ρ.

    Arguments:
        nu: Maximum fraction of fit groups outside the boundary, and minimum fraction of support
            vectors.
        eps: Added to the squared norm inside the logarithm.
        statistic: Name of the statistic to read: `layer_gradient_sq_norms`, or a variant defined
            in the suite.
        layers: Patterns for the names of the layers to use, for example `levels.0.*` or
            `*.weight`.
        top_k: Number of layers to keep, by largest variance of φ over the fit groups; None keeps
            all layers.

    References:
        | Estimating the support of a high-dimensional distribution (Schölkopf et al., 2001)
        | https://doi.org/10.1162/089976601750264965
    """

    name = "gradient-svm"

    nu: Annotated[float, Field(gt=0, le=1)] = 0.5

    machine_: OneClassSVM | None = field(default=None, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Fit the support vector machine.

        Arguments:
            statistics: Squared gradient norms under the name `statistic`, float64, (M, L), not
                negative.

        Raises:
            ScoreError: Fewer than two groups are given, a norm is not finite, every layer is
                constant, or a pattern in `layers` matches no layer.
        """
        self.machine_ = OneClassSVM(self._fit_layers(statistics)[:, self.kept_], self.nu)
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return minus the decision function for each group.

        Arguments:
            statistics: Squared gradient norms under the name `statistic`, float64, (M, L), not
                negative.

        Returns:
            float64, (M,); higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A norm is negative, or the number of layers differs from the fit.
        """
        machine = fitted(self.machine_, self.name)
        return machine(self._log_norms(statistics))
