"""Statistics computed from the images alone, without a model."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from plugins.statistics.per_example import ExampleStatistic

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _ImageStatistic(ExampleStatistic):
    """Base class for a number computed from the pixel values, uint8, (M, C, H, W)."""

    of, axes = "images", 3


class MeanIntensity(_ImageStatistic):
    """Mean pixel value per example, 1/(C H W) Σ_{c,i,j} x[c, i, j], in levels.

    The model is not read.
    """

    name = "mean_intensity"

    def measured(self, x: NDArray[np.uint8]) -> NDArray[Any]:
        """Compute the mean value per example, in levels, from 0 to levels - 1."""
        return x.reshape(len(x), -1).mean(axis=1, dtype=np.float64)


class TotalVariation(_ImageStatistic):
    """Summed absolute differences between neighbouring pixels, in levels.

    TV(x) = Σ_{c,i,j} |x[c, i+1, j] - x[c, i, j]| + |x[c, i, j+1] - x[c, i, j]|

    over all pairs within the image: anisotropic, each channel by itself. The model is not read.
    """

    name = "total_variation"

    def measured(self, x: NDArray[np.uint8]) -> NDArray[Any]:
        """Compute the total variation per example, in levels."""
        levels = x.astype(np.int64)
        return sum(abs(np.diff(levels, axis=axis)).sum(axis=(1, 2, 3)) for axis in (2, 3))


class PNGBits(_ImageStatistic):
    """Bits in the lossless PNG file per example: 8 times the file size in bytes.

    Pillow writes the file with zlib's level 9 and otherwise with its default settings. A single
    channel makes a grey image and three channels a colour image; with any other number, each
    channel makes a separate grey image, and the sizes are added. Values are written with 8 bits
    whatever the bits per value in the domain. Each file includes a header, some 60 bytes, equal
    for all examples in a domain.

    Another zlib version may find other encodings, a few bytes longer or shorter. Like the torch
    version, which changes the rounding, the Pillow version is not part of the key; each stored
    value records the Pillow version, and with it the bundled zlib. The model is not read.
    """

    name = "png_bits"

    def measured(self, x: NDArray[np.uint8]) -> NDArray[Any]:
        """Compute the file size per example, in bits."""
        return np.array([8 * sum(map(_png_bytes, _pictures(example))) for example in x])


def _pictures(x: NDArray[np.uint8]) -> Sequence[NDArray[np.uint8]]:
    """List the pictures to write, a file each: (H, W) or (H, W, 3)."""
    if len(x) == 3:
        return [np.ascontiguousarray(x.transpose(1, 2, 0))]
    return list(x)


def _png_bytes(picture: NDArray[np.uint8]) -> int:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=9)
    return file.tell()
