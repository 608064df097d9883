"""Mean pixel value of each example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oodbench import DensityModel, Per

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class MeanIntensity:
    """Mean of all values of an example, 1/(C H W) Σ_{c,i,j} x[c, i, j], in levels.

    It reads no model.
    """

    per: Per = "example"
    reads_model = False
    fake_features = ("mean_intensity",)

    def features(self, model: DensityModel | None) -> Sequence[str]:
        """The one column, `"mean_intensity"`."""
        return ("mean_intensity",)

    def __call__(self, model: DensityModel | None, groups: Tensor) -> NDArray[np.float64]:
        """Mean value of each example.

        Arguments:
            model: Not read; may be None.
            groups: uint8, (M, 1, C, H, W).

        Returns:
            float64, (M, 1), in levels, from 0 to levels - 1.
        """
        values = groups.flatten(1).to("cpu").numpy().mean(axis=1, dtype="float64")
        return values.reshape(-1, 1)
