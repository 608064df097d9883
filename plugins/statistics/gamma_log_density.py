"""Log-density of each example as the same model has it after a gamma curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from oodbench import DensityModel, HasLogDensity, Per, Side, UnsupportedError
from plugins.statistics.per_example import examples_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

NAME = "gamma_log_density"


class GammaLogDensity:
    r"""Log-density of the image after a gamma curve, in nats, under the same distribution.

    y_d = K (x_d / K)^gamma,   K levels, x in the middle of the bin
    log p_Y(y) = log p(x) - Σ_d [ log gamma + (gamma - 1) log(x_d / K) ]

    over the D dimensions d, by the change of variables. A gamma above 1 darkens the image, below 1
    brightens it. Whoever sees only the images after the curve, and has the same knowledge of their
    distribution, has this density. The sum depends on no parameter, so the gradients in the
    parameters are those of `log_prob`. No graph is built.

    Arguments:
        gamma: The exponent, positive; 1 gives `log_prob`.

    References:
        | Perfect Density Models Cannot Guarantee Anomaly Detection (Le Lan & Dinh, 2021)
        | https://arxiv.org/abs/2012.03808
    """

    per: Per = "example"
    fake_features = (NAME,)

    def __init__(self, *, gamma: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2.2) -> None:
        self.gamma = gamma

    def features(self, model: DensityModel) -> Sequence[str]:
        """Return the single column, `"gamma_log_density"`.

        Raises:
            UnsupportedError: The model has no density over real-valued images.
        """
        _require_density(model)
        return (NAME,)

    def fake_values(self, noise: NDArray[np.float64], side: Side) -> NDArray[np.float64]:
        """About -1000 nats in distribution, and 300 nats less out of distribution."""
        return (-1000.0 if side == "in" else -1300.0) + 30.0 * noise

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the log-density for each example.

        Arguments:
            model: In evaluation mode.
            groups: uint8, (M, 1, *domain.shape).

        Returns:
            float64, (M, 1), in nats; lower is less probable.

        Raises:
            UnsupportedError: The model has no density over real-valued images.
            ValueError: A group contains several examples.
        """
        import torch

        _require_density(model)
        x = examples_of(NAME, groups)
        with torch.no_grad():
            log_prob = model.log_prob(x).to("cpu", torch.float64)
        middle = (x.to("cpu", torch.float64) + 0.5) / model.domain.levels
        slopes = math.log(self.gamma) + (self.gamma - 1) * middle.log()
        values = log_prob - slopes.flatten(1).sum(1)
        return values.numpy().reshape(-1, 1)


def _require_density(model: DensityModel) -> None:
    if not isinstance(model, HasLogDensity):
        name = type(model).__name__
        raise UnsupportedError(f"{NAME} needs a model with log_density; {name} lacks this method")
