"""Mean z-score of reconstruction errors from several levels of noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from plugins.scorers._base import Array, Statistics
from plugins.scorers._standardised import Standardised


@dataclass(kw_only=True, eq=False)
class DDPMOOD(Standardised):
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

    def score(self, statistics: Statistics) -> Array:
        """Return the mean z-score for each group.

        Arguments:
            statistics: Errors under the name `statistic`, float64, (M, b, K).

        Returns:
            float64, (M,); higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        scores: Array = self._standardised(statistics).mean(axis=(1, 2))
        return scores
