"""What the scorers share: names of types, the check that they were fitted, common inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from oodbench import NotFittedError

T = TypeVar("T")
Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Statistics = Mapping[str, Array]
"""Stored statistics by name: (M, b, F) of M groups of b examples, or (M, F) of M groups."""


def fitted(value: T | None, scorer: str, wanted: str = "scores") -> T:
    """An attribute that `fit` sets.

    Arguments:
        value: None before the fit.
        scorer: Name of the scorer in the message.
        wanted: What the scorer was asked for.

    Raises:
        NotFittedError: `fit` was not called.
    """
    if value is None:
        raise NotFittedError(f"{scorer} was asked for {wanted} before it was fitted")
    return value


class NothingToFit:
    """A scorer that fits nothing: it only notes that `fit` was called, as for every scorer.

    Attributes:
        fitted_: None before the fit.
    """

    name: ClassVar[str]

    fitted_: Literal[True] | None = None

    def fit(self, statistics: Statistics) -> Self:
        """Nothing to fit.

        Arguments:
            statistics: Not read.
        """
        self.fitted_ = True
        return self
