"""Size of an example under a lossless compressor, whatever the domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oodbench import DensityModel, Per
from plugins.statistics.image_statistics import PNGBits
from plugins.statistics.per_example import examples_of
from plugins.statistics.text_statistics import ZlibBits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class CompressedBits:
    """Bits of an example under a lossless compressor: `png_bits` of images, `zlib_bits` of text.

    The model is not read.
    """

    per: Per = "example"
    reads_model = False
    fake_features = ("compressed_bits",)

    def features(self, model: DensityModel | None) -> Sequence[str]:
        """Return the single column, `"compressed_bits"`."""
        return ("compressed_bits",)

    def __call__(self, model: DensityModel | None, groups: Tensor) -> NDArray[np.float64]:
        """Compress each example.

        Arguments:
            model: Ignored; may be None.
            groups: Integers, (M, 1, T) for text and (M, 1, C, H, W) for images.

        Returns:
            float64, (M, 1), in bits.

        Raises:
            UnsupportedError: The tokens are no bytes.
            ValueError: A group contains several examples.
        """
        is_text = examples_of("compressed_bits", groups).dim() == 2
        return (ZlibBits() if is_text else PNGBits())(model, groups)
