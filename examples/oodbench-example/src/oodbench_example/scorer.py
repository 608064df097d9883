"""Scorer combining the total gradient norm with the bits per dimension."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

from oodbench import NotFittedError, ScoreError


# --8<-- [start:scorer]
class NormAndBits:
    """Sum of gradient norm and negative log-likelihood, each standardised on the fit groups.

    s(X) = (φ(X) - mean φ) / sd φ + (ψ(X) - mean ψ) / sd ψ,

    φ(X) = log Σ_l ‖∇_l‖², ψ(X) = -1/b Σ log p(x); means and deviations over the fit groups.
    Bits per dimension are ψ over a constant, removed again by the standardisation.
    """

    inputs = ("layer_gradient_sq_norms", "log_prob")

    mean_: NDArray[np.float64] | None = None
    deviation_: NDArray[np.float64] | None = None

    def fit(self, statistics: Mapping[str, NDArray[np.float64]]) -> Self:
        """Estimate means and deviations for both terms.

        Raises:
            ScoreError: Neither term varies over the fit groups.
        """
        terms = self._terms(statistics)
        deviation = terms.std(axis=0)
        varies = terms.max(axis=0) > terms.min(axis=0)
        if not varies.any():
            raise ScoreError("norm-and-bits: neither term varies over the fit groups")
        self.mean_ = terms.mean(axis=0)
        # A constant term is left out: divided by infinity, the term is zero.
        self.deviation_ = np.where(varies, deviation, np.inf)
        return self

    def score(self, statistics: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Score groups: float64, (M,); higher is more OOD."""
        if self.mean_ is None or self.deviation_ is None:
            raise NotFittedError("norm-and-bits was asked for scores before it was fitted")
        scores: NDArray[np.float64] = (
            (self._terms(statistics) - self.mean_) / self.deviation_
        ).sum(axis=1)
        return scores

    def _terms(self, statistics: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Compute φ and ψ, float64, (M, 2)."""
        norms = statistics["layer_gradient_sq_norms"]  # (M, L), one row per group
        log_prob = statistics["log_prob"]  # (M, b, 1), one number per example
        phi = np.log(norms.sum(axis=1) + 1e-10)
        return np.stack([phi, -log_prob.mean(axis=(1, 2))], axis=1)
