"""Statistics of the images alone; they read no model."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from oodbench import DensityModel, Per

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class _ImageStatistic(ABC):
    """One number for each example, from its values alone.

    A subclass has `name`, that of its one column, and `measured`.
    """

    per: Per = "example"
    reads_model = False
    name: str

    @property
    def fake_features(self) -> Sequence[str]:
        """Name of the only column of made-up values."""
        return (self.name,)

    def features(self, model: DensityModel | None) -> Sequence[str]:
        """The one column, named as the statistic."""
        return (self.name,)

    def __call__(self, model: DensityModel | None, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate each example.

        Arguments:
            model: Not read; may be None.
            groups: uint8, (M, 1, C, H, W).

        Returns:
            float64, (M, 1), never negative.
        """
        values = self.measured(groups[:, 0].to("cpu").numpy())
        return values.astype(np.float64).reshape(-1, 1)

    @abstractmethod
    def measured(self, x: NDArray[np.uint8]) -> NDArray[Any]:
        """The number of each example, (M,), of x, (M, C, H, W)."""


class MeanIntensity(_ImageStatistic):
    """Mean of all values of an example, 1/(C H W) Σ_{c,i,j} x[c, i, j], in levels.

    It reads no model.
    """

    name = "mean_intensity"

    def measured(self, x: NDArray[np.uint8]) -> NDArray[Any]:
        """Mean value of each example, in levels, from 0 to levels - 1."""
        return x.reshape(len(x), -1).mean(axis=1, dtype=np.float64)


class TotalVariation(_ImageStatistic):
    """Sum of the differences between neighbouring pixels of an example, in levels.

    TV(x) = Σ_{c,i,j} |x[c, i+1, j] - x[c, i, j]| + |x[c, i, j+1] - x[c, i, j]|

    over all pairs within the image: anisotropic, each channel by itself. It reads no model.
    """

    name = "total_variation"

    def measured(self, x: NDArray[np.uint8]) -> NDArray[Any]:
        """Total variation of each example, in levels."""
        levels = x.astype(np.int64)
        return sum(abs(np.diff(levels, axis=axis)).sum(axis=(1, 2, 3)) for axis in (2, 3))


class PNGBits(_ImageStatistic):
    """Bits of the lossless PNG of an example: 8 times the bytes of the file.

    Pillow writes it with zlib's level 9 and otherwise as it does by default. One channel is a
    grey image, three are a colour image; with any other number each channel is a grey image of
    its own, and the sizes are added. Values are 8-bit samples whatever the bits of the domain.
    The header of some 60 bytes is part of each file, and the same for all examples of a domain.

    Another version of zlib may find other encodings, a few bytes longer or shorter. As with the
    versions of torch, whose rounding differs, that is no part of the key: each stored value
    records Pillow's version, which has its zlib with it. It reads no model.
    """

    name = "png_bits"

    def measured(self, x: NDArray[np.uint8]) -> NDArray[Any]:
        """Size of each example, in bits."""
        return np.array([8 * sum(map(_png_bytes, _pictures(example))) for example in x])


def _pictures(x: NDArray[np.uint8]) -> Sequence[NDArray[np.uint8]]:
    """What is written as one file each: (H, W) or (H, W, 3)."""
    if len(x) == 3:
        return [np.ascontiguousarray(x.transpose(1, 2, 0))]
    return list(x)


def _png_bytes(picture: NDArray[np.uint8]) -> int:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=9)
    return file.tell()
