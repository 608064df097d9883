"""A scorer that reads how long the scores of an example are, at several levels of noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from plugins.scorers._gaussian import GaussianDensity


@dataclass(kw_only=True, eq=False)
class ScoreNorms(GaussianDensity):
    r"""Minus the log-density of the norms of scores, estimated on the fit examples.

    s(X) = -1/b Σ_{x in X} log N(z(x); 0, C + 1e-6 I),   z_k = (n_k - mean_k) / sd_k

    where n_k(x) is the norm of the score for images with noise of level k, mean_k and sd_k (which
    divides by n - 1) are over the fit examples, and C is their correlation matrix. Norms that are
    the same for all fit examples are left out.

    Departure from the paper: one Gaussian, in place of a mixture whose size is found by
    cross-validation. It needs fewer fit examples, its only solution is found without a random
    start, and scorers are fitted again and again for error bars.

    Arguments:
        statistic: Name of the statistic to read: `score_norms`, or a variant defined in the suite.

    References:
        | Multiscale Score Matching for Out-of-Distribution Detection (Mahmood et al., 2021)
        | https://arxiv.org/abs/2010.13132
    """

    name = "score-norms"

    statistic: Annotated[str, Field(min_length=1)] = "score_norms"
