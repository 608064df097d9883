"""Points within the bins of discrete examples, at which statistics evaluate a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from oodbench import DensityModel, UnsupportedError

if TYPE_CHECKING:
    from torch import Tensor

Noise = Literal["none", "dequantisation"]


def points(model: DensityModel, x: Tensor, noise: Noise) -> Tensor:
    """Return the images to evaluate the model at.

    Arguments:
        model: With `dequantised`, if there is noise.
        x: uint8, (N, *domain.shape).
        noise: `none` for x, or `dequantisation` for `model.dequantised(x)`: the noise of the
            model's training, with a fixed draw for each example, a hash of the example.

    Raises:
        UnsupportedError: There is noise, and the model does not have `dequantised`.
    """
    if noise == "none":
        return x
    if not hasattr(model, "dequantised"):
        name = type(model).__name__
        raise UnsupportedError(
            f'noise = "dequantisation" needs a model with dequantised(x); {name} lacks this method'
        )
    moved: Tensor = model.dequantised(x)
    return moved
