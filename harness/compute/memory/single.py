"""A statistic of a model in memory, without a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.compute.evaluate import evaluate
from harness.compute.memory.images import as_images
from harness.compute.memory.models import adapted, as_model
from harness.contracts import DensityModel, FittedStatistic, Statistic
from harness.domain import Images
from harness.errors import BenchError, DataError
from harness.settings import BATCH_SIZE


class SingleStatistic:
    """A statistic that is evaluated at once, on a model and images in memory.

    Arguments:
        name: Name of the statistic.
        made: The statistic.

    Attributes:
        name: Name of the statistic.
        per: Unit of a row: `"example"` or `"group"`.
    """

    def __init__(self, name: str, made: Statistic) -> None:
        self.name, self.per = name, made.per
        self._made, self._is_fitted = made, False

    def features(self, model: Any, x: Any) -> Sequence[str]:
        """Return the names of the F columns; arguments as in a call."""
        _, ready = self._ready(model, x)
        return list(self._made.features(ready))

    def fit(self, model: Any, x: Any) -> SingleStatistic:
        """Fit the statistic to ID examples; none of them should be evaluated later.

        Raises:
            BenchError: The statistic is not fitted.
        """
        if not isinstance(self._made, FittedStatistic):
            raise BenchError(f"{self.name} is not fitted to examples: call it at once")
        images, ready = self._ready(model, x)
        self._made.fit(ready, images.to(_device(ready)))
        self._is_fitted = True
        return self

    def __call__(
        self, model: Any, x: Any, *, group_size: int = 1, batch_size: int = BATCH_SIZE
    ) -> NDArray[np.float64]:
        """Evaluate the statistic; the model is left unchanged.

        Arguments:
            model: A module with `log_prob`, or a function x -> log p in nats, on its device.
            x: uint8 images, (N, channels, height, width): an array, a tensor, a .npy file or a
                DataLoader.
            group_size: Number of examples per group, b, for a statistic per group.
            batch_size: Examples evaluated at once; changes rounding only.

        Returns:
            float64, (N // b, F); a statistic per example has b = 1.

        Raises:
            DataError: The images have another type or shape, or are too few.
            BenchError: A statistic per example got a group size, or one that is fitted no fit.
            UnsupportedError: The statistic does not apply to the model.
        """
        if self.per == "example" and group_size != 1:
            raise BenchError(
                f"{self.name} has a row per example; a scorer takes groups of b as (N / b, b, F)"
            )
        if isinstance(self._made, FittedStatistic) and not self._is_fitted:
            raise BenchError(f"{self.name} is fitted to ID examples first: fit(model, x)")
        images, ready = self._ready(model, x)
        if not 1 <= group_size <= len(images):
            raise DataError(f"a group needs {group_size} examples, but x has {len(images)}")
        chunks = (batch_size, _device(ready), lambda amount: None)
        return evaluate(self._made, ready, images, group_size, *chunks)

    def _ready(self, model: Any, x: Any) -> tuple[Tensor, DensityModel]:
        images = torch.from_numpy(as_images(x, "x").copy())  # a file is mapped read-only
        return images, adapted("model", as_model("model", model), Images(*images.shape[1:]))


def _device(model: Any) -> torch.device:
    """Return the device of the parameters or buffers of a model."""
    module: nn.Module = model
    tensors = [*module.parameters(), *module.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")
