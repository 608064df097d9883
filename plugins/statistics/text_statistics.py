"""Statistics computed from the bytes of a text alone, without a model."""

from __future__ import annotations

import zlib
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from oodbench import UnsupportedError
from plugins.statistics.per_example import ExampleStatistic

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _ByteStatistic(ExampleStatistic):
    """Base class for a number computed from the bytes of a window of text, (M, T)."""

    of, axes = "text", 1

    def measured(self, x: NDArray[Any]) -> NDArray[Any]:
        """Compute the number for each window, (M,), from tokens x, (M, T).

        Raises:
            UnsupportedError: The tokens are no bytes.
        """
        if x.max() > 255:
            raise UnsupportedError(f"{self.name} is of bytes; the examples have a token {x.max()}")
        return self.measured_bytes(x.astype(np.uint8))

    @abstractmethod
    def measured_bytes(self, x: NDArray[np.uint8]) -> NDArray[Any]:
        """Compute the number for each window, (M,), from x, uint8, (M, T)."""


class MeanByte(_ByteStatistic):
    """Mean byte of a window, 1/T Σ_t x[t], from 0 to 255.

    The model is not read.
    """

    name = "mean_byte"

    def measured_bytes(self, x: NDArray[np.uint8]) -> NDArray[Any]:
        """Compute the mean byte per window."""
        return x.mean(axis=1, dtype=np.float64)


class ZlibBits(_ByteStatistic):
    """Bits of a window compressed by zlib's level 9: 8 times the size in bytes.

    The header and the checksum take 6 bytes. Another zlib version may find other encodings, a few
    bytes longer or shorter. The model is not read.
    """

    name = "zlib_bits"

    def measured_bytes(self, x: NDArray[np.uint8]) -> NDArray[Any]:
        """Compute the compressed size per window, in bits."""
        return np.array([8 * len(zlib.compress(window.tobytes(), 9)) for window in x])
