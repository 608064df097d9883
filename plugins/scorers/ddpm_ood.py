"""Mean z-score of reconstruction errors from several levels of noise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Self

import numpy as np
from pydantic import Field

from oodbench import ScoreError
from plugins.scorers._base import Array, OneStatistic, Statistics, fitted


@dataclass(kw_only=True, eq=False)
class DDPMOOD(OneStatistic):
    r"""Mean z-score of the reconstruction errors, s(X) = 1/(b K) Σ_{x in X} Σ_k z_k(x).

    z_k(x) = (e_k(x) - mean_k) / sd_k

    where e_k(x) is the error of the reconstruction of x from start k, and mean_k and sd_k (which
    divides by n - 1) are over the fit examples. Starts at which all fit examples have the same
    error are left out.

    Departure from the paper: the errors have no perceptual distance, see `reconstruction_error`.

    Arguments:
        statistic: Name of the statistic to read: `reconstruction_error`, or a variant defined in
            the suite.

    References:
        | Denoising Diffusion Models for Out-of-Distribution Detection (Graham et al., 2023)
        | https://arxiv.org/abs/2211.07740
    """

    name = "ddpm-ood"

    statistic: Annotated[str, Field(min_length=1)] = "reconstruction_error"

    mean_: Array | None = field(default=None, init=False)
    sd_: Array | None = field(default=None, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Compute mean and standard deviation of the error at each start.

        Arguments:
            statistics: Errors under the name `statistic`, float64, (M, b, K).

        Raises:
            ScoreError: Fewer than two examples are given, an error is not finite, or the errors
                are the same for all examples.
        """
        errors = statistics[self.statistic]
        rows = errors.reshape(-1, errors.shape[-1])
        if len(rows) < 2:
            raise ScoreError(f"{self.name} needs at least two fit examples, not {len(rows)}")
        if not np.isfinite(rows).all():
            raise ScoreError(f"{self.name}: {self.statistic} of the fit examples is not finite")
        if not (rows.max(axis=0) > rows.min(axis=0)).any():
            raise ScoreError(
                f"{self.name}: {self.statistic} is the same for all {len(rows)} fit examples"
            )
        self.mean_, self.sd_ = rows.mean(axis=0), rows.std(axis=0, ddof=1)
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return the mean z-score for each group.

        Arguments:
            statistics: Errors under the name `statistic`, float64, (M, b, K).

        Returns:
            float64, (M,); higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        mean, sd = fitted(self.mean_, self.name), fitted(self.sd_, self.name)
        kept = sd > 0
        z = (statistics[self.statistic][..., kept] - mean[kept]) / sd[kept]
        scores: Array = z.mean(axis=(1, 2))
        return scores
