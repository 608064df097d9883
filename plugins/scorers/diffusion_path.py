"""A scorer that reads sums along the path from an example to noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from plugins.scorers._gaussian import GaussianDensity


@dataclass(kw_only=True, eq=False)
class DiffusionPath(GaussianDensity):
    r"""Minus the log-density of sums along the path to noise, estimated on the fit examples.

    s(X) = -1/b Σ_{x in X} log N(z(x); 0, C + 1e-6 I),   z_k = (t_k - mean_k) / sd_k

    where t(x) are the six sums of `diffusion_path`, mean_k and sd_k (which divides by n - 1) are
    over the fit examples, and C is their correlation matrix. Sums that are the same for all fit
    examples are left out.

    Departure from the paper: one Gaussian, in place of a mixture of 50 or 100, for the reasons
    given at `score-norms`.

    Arguments:
        statistic: Name of the statistic to read: `diffusion_path`, or a variant defined in the
            suite.

    References:
        | Out-of-Distribution Detection with a Single Unconditional Diffusion Model
          (Heng et al., 2024)
        | https://arxiv.org/abs/2405.11881
    """

    name = "diffusion-path"

    statistic: Annotated[str, Field(min_length=1)] = "diffusion_path"
