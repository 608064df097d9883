"""The domain of a data set or a model, and the only unit conversion in the project."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_DIMS = 2**26
BYTES = 256
"""Size of the vocabulary of bytes."""

Examples: TypeAlias = "NDArray[np.unsignedinteger[Any]]"
"""Stored examples, (N, *domain.shape), of the dtype `domain.dtype`."""


class Domain(ABC):
    """Description of an example, shared by models and data sets: integers from 0 to levels - 1.

    `Images` and `Tokens` are domains. The fields of a domain enter keys; everything else follows
    from the fields. Code that serves every domain reads only the members named here.

    Attributes:
        example: Word for an example, such as `"image"`.
        input_dtype: Name of the torch dtype of the examples that a model gets.

    Example:
        >>> from oodbench import Domain, Images
        >>> domain: Domain = Images(channels=1, height=8, width=8)
        >>> domain.shape, domain.levels, domain.dtype, domain.unit, domain.example
        ((1, 8, 8), 256, 'uint8', 'bits/dim', 'image')
    """

    example: ClassVar[str]
    input_dtype: ClassVar[str]

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of the array for an example."""

    @property
    @abstractmethod
    def levels(self) -> int:
        """Number of possible values for each integer."""

    @property
    @abstractmethod
    def dtype(self) -> str:
        """Name of the NumPy dtype of stored examples."""

    @property
    @abstractmethod
    def unit(self) -> str:
        """The unit of bits per dimension by name, such as `"bits/dim"`."""

    @property
    def dims(self) -> int:
        """Number of integers in an example."""
        return math.prod(self.shape)

    def _check(self, **sizes: int) -> None:
        """Raise `ValueError` unless all sizes are positive and an example is small enough."""
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, not {size}")
        if self.dims > MOST_DIMS:
            raise ValueError(f"an example has at most {MOST_DIMS:,} dimensions, not {self.dims:,}")


@dataclass(frozen=True)
class Images(Domain):
    """Discrete images: `channels` x `height` x `width` integers from 0 to 2**bits - 1.

    Examples are always uint8, for every value of `bits`, so `bits` is at most 8.

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

    example: ClassVar[str] = "image"
    input_dtype: ClassVar[str] = "uint8"

    def __post_init__(self) -> None:
        self._check(channels=self.channels, height=self.height, width=self.width)
        if not 1 <= self.bits <= 8:
            raise ValueError(f"bits must be 1 to 8, not {self.bits}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (self.channels, self.height, self.width)

    @property
    def levels(self) -> int:
        """Number of possible values for each integer, 2**bits."""
        return int(2**self.bits)

    @property
    def dtype(self) -> str:
        """Name of the NumPy dtype of stored images, for every number of bits."""
        return "uint8"

    @property
    def unit(self) -> str:
        """Unit in which people read bits per dimension."""
        return "bits/dim"

    def __str__(self) -> str:
        size = f"{self.channels}x{self.height}x{self.width}"
        return size if self.bits == 8 else f"{size} at {self.bits} bits"


@dataclass(frozen=True)
class Tokens(Domain):
    """Text: windows of exactly `length` tokens, integers from 0 to vocabulary - 1.

    The tokens are the bytes of the text, or come from a tokenizer. Stored tokens are uint8, uint16
    or uint32, whatever the vocabulary needs; a model gets int64, because torch cannot index with
    unsigned integers.

    Example:
        >>> from oodbench import Tokens
        >>> domain = Tokens(length=64)
        >>> domain.shape, domain.levels, domain.dtype, domain.unit
        ((64,), 256, 'uint8', 'bits/byte')
        >>> str(Tokens(length=64, vocabulary=50_000)), Tokens(64, 50_000).dtype
        ('64 tokens of 50,000', 'uint16')
    """

    length: int
    vocabulary: int = BYTES

    example: ClassVar[str] = "window"
    input_dtype: ClassVar[str] = "int64"

    def __post_init__(self) -> None:
        self._check(length=self.length)
        if not 2 <= self.vocabulary <= 2**32:
            raise ValueError(f"vocabulary must be 2 to {2**32:,}, not {self.vocabulary:,}")

    @property
    def shape(self) -> tuple[int]:
        """(length,)."""
        return (self.length,)

    @property
    def levels(self) -> int:
        """Number of possible tokens."""
        return self.vocabulary

    @property
    def dtype(self) -> str:
        """Name of the smallest NumPy dtype for the vocabulary."""
        return next(f"uint{bits}" for bits in (8, 16, 32) if self.vocabulary <= 2**bits)

    @property
    def is_bytes(self) -> bool:
        """Whether the tokens are the bytes of a text."""
        return self.vocabulary == BYTES

    @property
    def unit(self) -> str:
        """Unit in which people read bits per dimension."""
        return "bits/byte" if self.is_bytes else "bits/token"

    def __str__(self) -> str:
        kind = "bytes" if self.is_bytes else f"tokens of {self.vocabulary:,}"
        return f"{self.length:,} {kind}"


def image_hint(array: NDArray[Any]) -> str:
    """Return how an array becomes images, uint8, (N, channels, height, width); may be empty."""
    if array.dtype.kind == "f":
        return "; for numbers from 0 to 1: (255 * x).round().astype(np.uint8)"
    if array.ndim == 3:
        return "; x[:, None] adds the channel"
    if array.ndim == 4 and array.shape[1] > 4 and array.shape[3] <= 4:
        return "; x.transpose(0, 3, 1, 2) moves the channels"
    return ""


def domain_of(fields: Mapping[str, Any]) -> Domain:
    """Return the domain with the given fields, as stored with a data set.

    Raises:
        TypeError: No domain has these fields.
        ValueError: The values are invalid.
    """
    return Tokens(**fields) if "vocabulary" in fields else Images(**fields)


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
