"""Log-probability per example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oodbench import DensityModel, Per, Side
from plugins.statistics.per_example import examples_of
from plugins.statistics.points import Noise, points

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class LogProb:
    """Log-probability per example under the model, in nats; no graph is built.

    Arguments:
        noise: `none`: `log_prob(x)`; `dequantisation`: a model trained with dequantisation noise
            is evaluated with noise too, fixed for each example. The code published with arXiv
            2502.00820 draws new noise for each evaluation.
    """

    per: Per = "example"
    fake_features = ("log_prob",)

    def __init__(self, *, noise: Noise = "none") -> None:
        self.noise = noise

    def features(self, model: DensityModel) -> Sequence[str]:
        """Return the single column, `"log_prob"`."""
        return ("log_prob",)

    def fake_values(self, noise: NDArray[np.float64], side: Side) -> NDArray[np.float64]:
        """About -1000 nats in distribution, and 300 nats less out of distribution."""
        return (-1000.0 if side == "in" else -1300.0) + 30.0 * noise

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate `log_prob` for each example.

        Arguments:
            model: In evaluation mode.
            groups: uint8, (M, 1, *domain.shape).

        Returns:
            float64, (M, 1), in nats; lower is less probable.

        Raises:
            ValueError: A group contains several examples.
            UnsupportedError: There is noise, and the model does not have `dequantised`.
        """
        import torch

        with torch.no_grad():
            x = points(model, examples_of("log_prob", groups), self.noise)
            values = model.log_prob(x)
        return values.detach().to("cpu", torch.float64).numpy().reshape(-1, 1)
