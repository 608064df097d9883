"""The domain of a data set or a model, and the only unit conversion in the project."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

MOST_DIMS = 2**26


@dataclass(frozen=True)
class Images:
    """Discrete images: `channels` x `height` x `width` integers from 0 to 2**bits - 1.

    The only description of an example shared by models and data sets. Examples are always uint8,
    for every value of `bits`, so `bits` is at most 8.

    Example:
        >>> from oodbench import Images
        >>> domain = Images(channels=3, height=32, width=32)
        >>> domain.shape, domain.dims, domain.levels
        ((3, 32, 32), 3072, 256)
        >>> str(Images(channels=1, height=28, width=28, bits=5))
        '1x28x28 at 5 bits'
    """

    channels: int
    height: int
    width: int
    bits: int = 8

    def __post_init__(self) -> None:
        for name in ("channels", "height", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.dims > MOST_DIMS:
            raise ValueError(f"an example has at most {MOST_DIMS:,} dimensions, not {self.dims:,}")
        if not 1 <= self.bits <= 8:
            raise ValueError(f"bits must be 1 to 8, not {self.bits}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (self.channels, self.height, self.width)

    @property
    def dims(self) -> int:
        """Number of integers in an example."""
        return self.channels * self.height * self.width

    @property
    def levels(self) -> int:
        """Number of possible values for each integer."""
        return int(2**self.bits)

    def __str__(self) -> str:
        size = f"{self.channels}x{self.height}x{self.width}"
        return size if self.bits == 8 else f"{size} at {self.bits} bits"


def bits_per_dim(log_prob: Any, dims: int) -> Any:
    """Convert log-probabilities in nats to bits per dimension, -log_prob / (dims ln 2).

    Arguments:
        log_prob: Log-probability of discrete examples in nats: a number, an array or a tensor.
        dims: Number of dimensions of an example.

    Returns:
        The same kind of value; lower is more probable.

    Example:
        >>> import math
        >>> from oodbench import bits_per_dim
        >>> bits_per_dim(-16 * math.log(2), dims=4)
        4.0
    """
    return -log_prob / (dims * math.log(2))
