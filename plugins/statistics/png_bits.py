"""Size of each example as a PNG file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from oodbench import DensityModel, Per

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class PNGBits:
    """Bits of the lossless PNG of an example: 8 times the bytes of the file.

    Pillow writes it with zlib's level 9 and otherwise as it does by default. One channel is a
    grey image, three are a colour image; with any other number each channel is a grey image of
    its own, and the sizes are added. Values are 8-bit samples whatever the bits of the domain.
    The header of some 60 bytes is part of each file, and the same for all examples of a domain.

    Another version of zlib may find other encodings, a few bytes longer or shorter. As with the
    versions of torch, whose rounding differs, that is no part of the key: each stored value
    records Pillow's version, which has its zlib with it. It reads no model.
    """

    per: Per = "example"
    reads_model = False
    fake_features = ("png_bits",)

    def features(self, model: DensityModel | None) -> Sequence[str]:
        """The one column, `"png_bits"`."""
        return ("png_bits",)

    def __call__(self, model: DensityModel | None, groups: Tensor) -> NDArray[np.float64]:
        """Size of each example.

        Arguments:
            model: Not read; may be None.
            groups: uint8, (M, 1, C, H, W).

        Returns:
            float64, (M, 1), in bits, positive.
        """
        examples = groups[:, 0].to("cpu").numpy()
        sizes = [8 * sum(map(_png_bytes, _pictures(x))) for x in examples]
        return np.array(sizes, dtype=np.float64).reshape(-1, 1)


def _pictures(x: NDArray[np.uint8]) -> Sequence[NDArray[np.uint8]]:
    """What is written as one file each: (H, W) or (H, W, 3)."""
    if len(x) == 3:
        return [np.ascontiguousarray(x.transpose(1, 2, 0))]
    return list(x)


def _png_bytes(picture: NDArray[np.uint8]) -> int:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=9)
    return file.tell()
