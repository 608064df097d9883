"""A one-class support vector machine on standardised columns."""

from __future__ import annotations

from plugins.scorers._base import Array


class OneClassSVM:
    r"""Minus the decision function of a one-class SVM with a Gaussian kernel.

    s(x) = ρ - Σ_i α_i exp(-γ ‖x - x_i‖²),   γ = 1 / F

    where columns are measured in standard deviations over the fit examples. The function is
    bounded: far from all fit examples, s(x) is ρ.

    Arguments:
        x: Fit examples, float64, (n, F), without constant columns.
        nu: Maximum fraction of fit examples outside the boundary, and minimum fraction of support
            vectors.

    References:
        | Estimating the support of a high-dimensional distribution (Schölkopf et al., 2001)
        | https://doi.org/10.1162/089976601750264965
    """

    def __init__(self, x: Array, nu: float) -> None:
        from sklearn.svm import OneClassSVM

        self._mean, self._sd = x.mean(axis=0), x.std(axis=0)
        self._machine = OneClassSVM(nu=nu, gamma=1 / x.shape[1]).fit(self._standardised(x))

    def __call__(self, x: Array) -> Array:
        """Return s, float64, (M,), for x, (M, F); higher is farther from the fit examples."""
        scores: Array = -self._machine.decision_function(self._standardised(x))
        return scores

    def _standardised(self, x: Array) -> Array:
        return (x - self._mean) / self._sd
