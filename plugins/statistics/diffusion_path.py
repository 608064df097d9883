"""Sums along the path from each example to noise."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from oodbench import DensityModel, Per
from plugins.statistics.noise_estimates import require_noise
from plugins.statistics.per_example import examples_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

POWERS = (1, 2, 3)
FEATURES = tuple(f"{kind}_{power}" for kind in ("noise", "rate") for power in POWERS)


class DiffusionPath:
    r"""Sums of powers of the estimated noise and of its rate of change, from an image to noise.

    z_0 = x,   z_{k+1} = z_k + (s_{k+1} - s_k) ε_k,   ε_k = ε̂(z_k, s_k)
    noise_p(x) = Σ_k Σ_i ε_ki^p,   rate_p(x) = Σ_k Σ_i (n (ε_{k+1,i} - ε_ki))^p,   p = 1, 2, 3

    over the pixels i and the n steps k = 0 ... n - 1 of the probability-flow equation, which leads
    from an image to noise without drawing any (DDIM, Song et al., 2021, Eq. 13). Rates are those
    between two steps, so their k ends at n - 2. ε̂ = `estimate_noise`, and s_k is the standard
    deviation of the noise in grey levels: log s_k is spaced evenly over the model's `noise_range`,
    s_0 is the least and s_n the largest. Time runs from 0 to 1, so that n times a difference is a
    rate. The sums have no unit.

    Departures from the paper: the authors read one model, trained on other images, for all ID
    sets; their noise levels follow a cosine; and their code clips the images that ε_k implies.

    Arguments:
        steps: Number of steps, n.

    References:
        | Out-of-Distribution Detection with a Single Unconditional Diffusion Model
          (Heng et al., 2024)
        | https://arxiv.org/abs/2405.11881, code: https://github.com/clear-nus/diffpath
        | Denoising Diffusion Implicit Models (Song et al., 2021): https://arxiv.org/abs/2010.02502
    """

    per: Per = "example"
    fake_features = FEATURES

    def __init__(self, *, steps: Annotated[int, Field(ge=2)] = 10) -> None:
        self.steps = steps

    def features(self, model: DensityModel) -> Sequence[str]:
        """Return `noise_1` to `noise_3` and `rate_1` to `rate_3`.

        Raises:
            UnsupportedError: The model does not have `estimate_noise`.
        """
        require_noise("diffusion_path", model)
        return FEATURES

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the sums for each example.

        Arguments:
            model: In evaluation mode, with `estimate_noise`; left unchanged.
            groups: uint8, (M, 1, *domain.shape).

        Returns:
            float64, (M, 6).

        Raises:
            UnsupportedError: The model does not have `estimate_noise`.
            ValueError: A group contains several examples.
        """
        import torch

        estimator = require_noise("diffusion_path", model)
        z, path = examples_of("diffusion_path", groups), []
        deviations: list[float] = np.geomspace(*estimator.noise_range, self.steps + 1).tolist()
        for sd, following in pairwise(deviations):
            noise = estimator.estimate_noise(z, sd)
            z = z + (following - sd) * noise
            path.append(noise.to("cpu", torch.float64))
        noises = torch.stack(path, dim=1).flatten(2)  # (M, n, D)
        rates = self.steps * noises.diff(dim=1)
        sums = [part.pow(power).sum((1, 2)) for part in (noises, rates) for power in POWERS]
        return torch.stack(sums, dim=1).numpy()
