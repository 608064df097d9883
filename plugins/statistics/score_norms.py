"""Norms of the scores of noisy densities at each example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from oodbench import DensityModel, Per, UnsupportedError
from plugins.statistics.noise_estimates import require_noise
from plugins.statistics.per_example import examples_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class ScoreNorms:
    r"""Norm of the score at each example, for images with several levels of noise.

    n_k(x) = ‖s_k ∇ log p_k(x)‖ = ‖ε̂(x, s_k)‖
    s_k = (levels - 1) lowest (highest / lowest)^((k - 1) / (K - 1)),   k = 1 ... K

    where p_k is the model's density of images with Gaussian noise of standard deviation s_k in
    grey levels, and ε̂ = `estimate_noise`. The image itself is given no noise, as in the authors'
    code; so nothing is drawn. A norm has no unit: scores are multiplied by s_k, like those that
    the authors report.

    Departures from the paper: the network is that of the model at hand, trained on all levels of
    noise, in place of a network for these levels alone.

    Arguments:
        scales: Number of levels of noise, K.
        lowest: Least standard deviation, as a share of the range of grey levels.
        highest: Largest standard deviation.

    References:
        | Multiscale Score Matching for Out-of-Distribution Detection (Mahmood et al., 2021)
        | https://arxiv.org/abs/2010.13132, code: https://github.com/ahsanMah/msma
    """

    per: Per = "example"
    fake_features = ("norm_1", "norm_2", "norm_3")

    def __init__(
        self,
        *,
        scales: Annotated[int, Field(ge=1)] = 10,
        lowest: Annotated[float, Field(gt=0)] = 0.01,
        highest: Annotated[float, Field(gt=0)] = 1.0,
    ) -> None:
        self.shares = np.geomspace(lowest, highest, scales)

    def features(self, model: DensityModel) -> Sequence[str]:
        """Return `norm_1` to `norm_K`.

        Raises:
            UnsupportedError: See `__call__`.
        """
        self._deviations(model)
        return tuple(f"norm_{k}" for k in range(1, len(self.shares) + 1))

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the norms for each example.

        Arguments:
            model: In evaluation mode, with `estimate_noise`; left unchanged.
            groups: uint8, (M, 1, *domain.shape).

        Returns:
            float64, (M, K), never negative.

        Raises:
            UnsupportedError: The model does not have `estimate_noise`, or was not trained on
                noise this small or large.
            ValueError: A group contains several examples.
        """
        import torch

        x, estimator = examples_of("score_norms", groups), require_noise("score_norms", model)
        norms = [
            estimator.estimate_noise(x, sd).to("cpu", torch.float64).flatten(1).norm(dim=1)
            for sd in self._deviations(model)
        ]
        return torch.stack(norms, dim=1).numpy()

    def _deviations(self, model: DensityModel) -> list[float]:
        """Return s_1 to s_K, in grey levels."""
        low, high = require_noise("score_norms", model).noise_range
        deviations: list[float] = (self.shares * (model.domain.levels - 1)).tolist()
        if min(deviations) < low or max(deviations) > high:
            raise UnsupportedError(
                f"score_norms needs noise of {min(deviations):.3g} to {max(deviations):.3g} grey "
                f"levels, but the model was trained on {low:.3g} to {high:.3g}: set lowest and "
                "highest"
            )
        return deviations
