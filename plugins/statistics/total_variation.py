"""Total variation of each example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oodbench import DensityModel, Per

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class TotalVariation:
    """Sum of the differences between neighbouring pixels of an example, in levels.

    TV(x) = Σ_{c,i,j} |x[c, i+1, j] - x[c, i, j]| + |x[c, i, j+1] - x[c, i, j]|

    over all pairs within the image: anisotropic, each channel by itself. It reads no model.
    """

    per: Per = "example"
    reads_model = False
    fake_features = ("total_variation",)

    def features(self, model: DensityModel | None) -> Sequence[str]:
        """The one column, `"total_variation"`."""
        return ("total_variation",)

    def __call__(self, model: DensityModel | None, groups: Tensor) -> NDArray[np.float64]:
        """Total variation of each example.

        Arguments:
            model: Not read; may be None.
            groups: uint8, (M, 1, C, H, W).

        Returns:
            float64, (M, 1), in levels, never negative.
        """
        x = groups[:, 0].to("cpu").numpy().astype("int64")  # (M, C, H, W)
        down = abs(x[:, :, 1:] - x[:, :, :-1]).sum(axis=(1, 2, 3))
        right = abs(x[:, :, :, 1:] - x[:, :, :, :-1]).sum(axis=(1, 2, 3))
        return (down + right).astype("float64").reshape(-1, 1)
