"""Number of elements in each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from oodbench import DensityModel, Per, Side
from plugins.statistics.fake_layers import FAKE_LAYERS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class LayerSizes:
    """Number of elements in each layer, the same row for each group.

    A layer is a named parameter tensor. The numbers depend on the model alone: through this
    statistic scorers learn the sizes without seeing the model.
    """

    per: Per = "group"
    fake_features = FAKE_LAYERS

    def features(self, model: DensityModel) -> Sequence[str]:
        """Return the layer names, in `named_parameters` order."""
        return tuple(name for name, _ in model.named_parameters())

    def fake_values(self, noise: NDArray[np.float64], side: Side) -> NDArray[np.float64]:
        """Return sizes 1, 2, 3, ..., on both sides."""
        return np.broadcast_to(np.arange(1.0, noise.shape[-1] + 1), noise.shape).copy()

    def __call__(self, model: DensityModel, groups: Tensor) -> NDArray[np.float64]:
        """Count the elements.

        Arguments:
            model: Not evaluated.
            groups: uint8, (M, b, *domain.shape); only M is read.

        Returns:
            float64, (M, L), whole numbers, 1 or more.
        """
        sizes = [float(parameter.numel()) for _, parameter in model.named_parameters()]
        return np.tile(sizes, (len(groups), 1))
