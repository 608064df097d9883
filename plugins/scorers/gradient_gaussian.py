"""One Gaussian per layer on the logarithm of its gradient norm: the score of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
from pydantic import Field

from harness import NotFittedError, ScoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NAME = "gradient-gaussian"


class GradientGaussian:
    r"""Minus the log-density of the layers' log gradient norms under independent Gaussians.

    φ_l  = log(f_l(X) + eps)                                                           (Eq. 9)
    μ_l, v_l = mean and variance of φ_l over the fit groups                       (Eqs. 10, 11)
    s(X) = ½ Σ_l [ (φ_l - μ_l)² / (v_l + eps) + log 2π (v_l + eps) ]                  (Eq. 12)

    over layers l, where f_l is the squared gradient norm of layer l for the group X.

    Departures from the paper:
        The paper calls the variance σ and squares it in Eq. 12; here, as in the authors' code,
        the variance is used once. The variance divides by the number of fit groups, not by one
        less. `eps` is the authors' code's, not in the equations.

        A layer whose log norm is the same for all fit groups is left out: at its variance of 0
        the smallest change would decide the whole score. In the authors' code it does; zero
        initialised convolutions, half the layers of a Glow at epoch 0, have no gradient there.
        `fit_info` tells how many were left out.

    Arguments:
        eps: Added to the squared norm inside the logarithm, and to the variance.
        statistic: Name of the statistic to read, for a suite that defines a variant of
            `layer_gradient_sq_norms` under a name of its own.

    Attributes:
        mean_: μ, float64, (L,).
        variance_: v, float64, (L,), without eps.
        kept_: Layers in the sum, bool, (L,).

    References:
        | OOD Detection with Immature Models
        | https://arxiv.org/abs/2502.00820
    """

    mean_: NDArray[np.float64] | None = None
    variance_: NDArray[np.float64] | None = None
    kept_: NDArray[np.bool_] | None = None

    def __init__(
        self,
        *,
        eps: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-10,
        statistic: Annotated[str, Field(min_length=1)] = "layer_gradient_sq_norms",
    ) -> None:
        self.eps = eps
        self.statistic = statistic

    @property
    def inputs(self) -> tuple[str, ...]:
        """The statistic named by the option `statistic`."""
        return (self.statistic,)

    def fit(self, statistics: Mapping[str, NDArray[np.float64]]) -> Self:
        """Fit one Gaussian per layer.

        Arguments:
            statistics: The statistic: squared norms, float64, (M, L), not negative.

        Raises:
            ScoreError: There are fewer than two groups, a norm is not finite, or every layer is
                constant.
        """
        log_norms = self._log_norms(statistics)
        groups = len(log_norms)
        if groups < 2:
            raise ScoreError(f"{_NAME} needs at least two fit groups, not {groups}")
        if not np.isfinite(log_norms).all():
            layers = int((~np.isfinite(log_norms)).any(axis=0).sum())
            raise ScoreError(
                f"{_NAME}: {self.statistic} of the fit groups is not finite in {layers} layers"
            )
        kept = log_norms.max(axis=0) > log_norms.min(axis=0)
        if not kept.any():
            raise ScoreError(
                f"{_NAME}: all {kept.size} layers are constant on the {groups} fit groups"
            )
        self.mean_ = log_norms.mean(axis=0)
        self.variance_ = log_norms.var(axis=0)
        self.kept_ = kept
        return self

    def score(self, statistics: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Minus the log-density of each group (Eq. 12).

        Arguments:
            statistics: The statistic: squared norms, float64, (M, L), not negative.

        Returns:
            float64, (M,), in nats; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A norm is negative, or the number of layers is not that of the fit.
        """
        if self.mean_ is None or self.variance_ is None or self.kept_ is None:
            raise NotFittedError(f"{_NAME} was asked for scores before it was fitted")
        log_norms = self._log_norms(statistics)
        if log_norms.shape[1] != self.kept_.size:
            raise ScoreError(
                f"{_NAME} was fitted on {self.kept_.size} layers, not {log_norms.shape[1]}"
            )
        kept = self.kept_
        variance = self.variance_[kept] + self.eps
        squares = (log_norms[:, kept] - self.mean_[kept]) ** 2 / variance
        scores: NDArray[np.float64] = 0.5 * (
            squares.sum(axis=1) + np.log(2 * np.pi * variance).sum()
        )
        return scores

    def fit_info(self) -> dict[str, float | int | str]:
        """How many layers there were, and how many were constant and left out.

        Raises:
            NotFittedError: `fit` was not called.
        """
        if self.kept_ is None:
            raise NotFittedError(f"{_NAME} was asked for its fit before it was fitted")
        return {"layers": self.kept_.size, "layers_left_out": int((~self.kept_).sum())}

    def _log_norms(self, statistics: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """φ = log(f + eps), float64, (M, L)."""
        norms = statistics[self.statistic]
        if (norms < 0).any():
            raise ScoreError(f"{_NAME}: {self.statistic} has negative values: no squared norms")
        return np.log(norms + self.eps)
