"""Log-probability per example behind bits per dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oodbench import DensityModel, Per, Side, dequantised_log_prob
from plugins.statistics.per_example import examples_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

NAME = "dequantised_log_prob"


class DequantisedLogProb:
    r"""Log-probability per example behind bits per dimension, in nats; no graph is built.

    log p(x + u),   u uniform in [0, 1)^D, one draw per example

    for a model with a density p over real-valued images (`HasLogDensity`), and `log_prob` for any
    other model. The mean over many examples is, in expectation, a lower bound of the mean
    log-probability of the discrete examples, by Jensen's inequality. The noise comes from a hash
    of the example: a statistic is not told the numbers of the examples, and with noise from the
    content an example has the same value in every batch, subset and data set, at every position
    and on every device.

    References:
        | A note on the evaluation of generative models (Theis et al., 2016), 3.1
        | https://arxiv.org/abs/1511.01844
    """

    per: Per = "example"
    fake_features = (NAME,)

    def features(self, model: DensityModel) -> Sequence[str]:
        """Return the single column, `"dequantised_log_prob"`."""
        return (NAME,)

    def fake_values(self, noise: NDArray[np.float64], side: Side) -> NDArray[np.float64]:
        """About -1000 nats in distribution, and 300 nats less out of distribution."""
        return (-1000.0 if side == "in" else -1300.0) + 30.0 * noise

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the log-density of each example with noise, or `log_prob`.

        Arguments:
            model: In evaluation mode.
            groups: uint8, (M, 1, *domain.shape).

        Returns:
            float64, (M, 1), in nats; lower is less probable.

        Raises:
            ValueError: A group contains several examples.
        """
        import torch

        with torch.no_grad():
            values = dequantised_log_prob(model, examples_of(NAME, groups))
        return values.detach().to("cpu", torch.float64).numpy().reshape(-1, 1)
