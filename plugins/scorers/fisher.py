"""Total score statistics: gradients of all layers in units of the Fisher information."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Self

import numpy as np
from pydantic import Field

from oodbench import ScoreError
from plugins.scorers._base import Array, OneStatistic, Statistics, fitted


@dataclass(kw_only=True, eq=False)
class FisherDiagonal(OneStatistic):
    r"""Score statistic with a diagonal Fisher information, s(X) = log(1 + Σ_l S_l(X)).

    S_l = 1/b g_l^T F_l^-1 g_l, where F is estimated on the fit examples (see
    `layer_fisher_diagonal`). The logarithm changes no rank. If the gradients are large relative to
    the gradients of fit examples, X does not fit the model, regardless of direction; an unusually
    small sum counts as typical. For a score per layer, pass the same statistic to
    `gradient-gaussian` through the option `statistic`.

    Arguments:
        statistic: Name of the statistic to read: `layer_fisher_diagonal`, or a variant defined in
            the suite.

    References:
        | Model-agnostic out-of-distribution detection using combined statistical tests
          (Bergamin et al., 2022)
        | https://arxiv.org/abs/2203.01097
    """

    name = "fisher-diagonal"

    statistic: Annotated[str, Field(min_length=1)] = "layer_fisher_diagonal"

    _layers: int | None = field(default=None, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Record the number of layers; the Fisher information is fitted with the statistic.

        Arguments:
            statistics: S_l under the name `statistic`, float64, (M, L), not negative.

        Raises:
            ScoreError: A value is negative or not finite.
        """
        values = statistics[self.statistic]
        if not (np.isfinite(values).all() and (values >= 0).all()):
            raise ScoreError(f"{self.statistic} of the fit groups is negative or not finite")
        self._layers = values.shape[1]
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return log(1 + Σ_l S_l) for each group.

        Arguments:
            statistics: S_l under the name `statistic`, float64, (M, L), not negative.

        Returns:
            float64, (M,), not negative; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A value is negative, or the number of layers differs from the fit.
        """
        values = statistics[self.statistic]
        layers = fitted(self._layers, self.name)
        if values.shape[1] != layers:
            raise ScoreError(
                f"{self.statistic} had {layers} layers at the fit, not {values.shape[1]}"
            )
        if (values < 0).any():
            raise ScoreError(f"{self.statistic} has negative values, unlike a score statistic")
        scores: Array = np.log1p(values.sum(axis=1))
        return scores


@dataclass(kw_only=True, eq=False)
class FisherEkfac(FisherDiagonal):
    """Score statistic with an EKFAC Fisher information (see `layer_fisher_ekfac`).

    The formula is the same as for `fisher-diagonal`.

    Arguments:
        statistic: Name of the statistic to read.

    References:
        | Fast Approximate Natural Gradient Descent in a Kronecker-factored Eigenbasis (George et
          al., 2018)
        | https://arxiv.org/abs/1806.03884
    """

    name = "fisher-ekfac"

    statistic: Annotated[str, Field(min_length=1)] = "layer_fisher_ekfac"
