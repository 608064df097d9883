"""A one-class support vector machine on the layers' log gradient norms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import Field

from plugins.scorers._base import Array, Statistics, fitted
from plugins.scorers._layer_scorer import LayerScorer
from plugins.scorers._one_class_svm import OneClassSVM


@dataclass(kw_only=True, eq=False)
class GradientSVM(LayerScorer):
    r"""A one-class SVM on the standardised log gradient norms φ_l = log(f_l(X) + eps).

    s(X) = ρ - Σ_i α_i exp(-‖φ' - φ'_i‖² / L),   φ'_l = (φ_l - mean_l) / sd_l

    over fit groups i and the L layers that are not constant on the fit groups. Unlike
    `gradient-gaussian` it sees layers that go together. Groups far from all fit groups share the
    largest score, ρ.

    Arguments:
        nu: At most so large a share of the fit groups lies outside, and at least so large a one
            are support vectors.
        eps: Added to the squared norm inside the logarithm.
        statistic: Name of the statistic to read, for a suite that defines a variant of
            `layer_gradient_sq_norms` under a name of its own.
        layers: Patterns of names of the layers that count, such as `levels.0.*` or `*.weight`.
        top_k: Of those so many, with the largest variance of φ over the fit groups; None for all.

    References:
        | Estimating the support of a high-dimensional distribution (Schölkopf et al., 2001)
        | https://doi.org/10.1162/089976601750264965
    """

    name = "gradient-svm"

    nu: Annotated[float, Field(gt=0, le=1)] = 0.5

    machine_: OneClassSVM | None = field(default=None, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Fit the machine.

        Arguments:
            statistics: The statistic: squared norms, float64, (M, L), not negative.

        Raises:
            ScoreError: There are fewer than two groups, a norm is not finite, every layer is
                constant, or a pattern of `layers` fits none.
        """
        self.machine_ = OneClassSVM(self._fit_layers(statistics)[:, self.kept_], self.nu)
        return self

    def score(self, statistics: Statistics) -> Array:
        """Minus the decision function for each group.

        Arguments:
            statistics: The statistic: squared norms, float64, (M, L), not negative.

        Returns:
            float64, (M,); higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A norm is negative, or the number of layers is not that of the fit.
        """
        machine = fitted(self.machine_, self.name)
        return machine(self._log_norms(statistics))
