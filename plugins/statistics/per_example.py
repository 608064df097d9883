"""Common parts of the statistics that are evaluated per example."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from oodbench import DensityModel, Per, UnsupportedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


def examples_of(name: str, groups: Tensor) -> Tensor:
    """Take the examples, (M, *shape), out of groups with a single example each, (M, 1, *shape).

    Raises:
        ValueError: A group contains several examples; `name` is the statistic in the message.
    """
    size = groups.shape[1]
    if size != 1:
        raise ValueError(f"{name} is per example: expected groups with 1 example, not {size}")
    return groups[:, 0]


class ExampleStatistic(ABC):
    """Base class for a single number per example, computed from the example alone.

    A subclass sets `name`, used for the column, `of` and `axes`, and implements `measured`.

    Attributes:
        name: Name of the statistic.
        of: Kind of the examples, in messages.
        axes: Number of axes of an example.
    """

    per: Per = "example"
    reads_model = False
    name: ClassVar[str]
    of: ClassVar[str]
    axes: ClassVar[int]

    @property
    def fake_features(self) -> Sequence[str]:
        """Name of the only column of made-up values."""
        return (self.name,)

    def features(self, model: DensityModel | None) -> Sequence[str]:
        """Return the single column, named like the statistic."""
        return (self.name,)

    def __call__(self, model: DensityModel | None, groups: Tensor) -> NDArray[np.float64]:
        """Evaluate the statistic per example.

        Arguments:
            model: Ignored; may be None.
            groups: Integers, (M, 1, *shape).

        Returns:
            float64, (M, 1), never negative.

        Raises:
            UnsupportedError: The examples are of another kind.
            ValueError: A group contains several examples.
        """
        x = examples_of(self.name, groups).to("cpu").numpy()
        if x.ndim != 1 + self.axes:
            shape = " x ".join(map(str, x.shape[1:]))
            raise UnsupportedError(
                f"{self.name} is of {self.of}; the examples are {shape} numbers"
            )
        return self.measured(x).astype("float64").reshape(-1, 1)

    @abstractmethod
    def measured(self, x: NDArray[Any]) -> NDArray[Any]:
        """Compute the number for each example, (M,), from integers x, (M, *shape)."""
