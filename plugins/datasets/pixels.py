"""Integer arithmetic on pixels: exact, so the same on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def luma(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Gray values of colours, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded half up.

    Arguments:
        colours: uint8, (..., 3), R, G, B as stored (gamma-encoded).

    Returns:
        uint8, (...); a gray colour, R = G = B, keeps its value.
    """
    weighted = colours.astype(np.uint32) @ np.array([299, 587, 114], np.uint32)
    return ((weighted + 500) // 1000).astype(np.uint8)


def shrink(picture: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """A picture whose every pixel is the mean of factor x factor pixels, rounded half up.

    What is left over at the right and at the bottom is cut off.

    Arguments:
        picture: uint8, (H, W, C).
        factor: At least 1.

    Returns:
        uint8, (H // factor, W // factor, C).
    """
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    whole = picture[: height * factor, : width * factor].astype(np.int64)
    sums = whole.reshape(height, factor, width, factor, picture.shape[2]).sum(axis=(1, 3))
    area = factor * factor
    means: NDArray[np.uint8] = ((sums + area // 2) // area).astype(np.uint8)
    return means
