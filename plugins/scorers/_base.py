"""Common parts of the scorers: array types, the check for a missing fit, and base classes.

The options of a scorer are the fields of a dataclass (`kw_only=True`, and `eq=False`, because
arrays do not compare to a single truth value). Attributes set by `fit` end in `_`; in a dataclass
they are fields with `init=False`, so they are not options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from oodbench import NotFittedError, ScoreError

T = TypeVar("T")
Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Statistics = Mapping[str, Array]
"""Stored statistics by name: (M, b, F) for M groups with b examples each, or (M, F) per group."""


def fitted(value: T | None, scorer: str, wanted: str = "scores") -> T:
    """Return an attribute set by `fit`, or raise an error if the scorer was not fitted.

    Arguments:
        value: The attribute; None before the fit.
        scorer: Name of the scorer in the message.
        wanted: Result requested from the scorer, as named in the message.

    Raises:
        NotFittedError: `fit` was not called.
    """
    if value is None:
        raise NotFittedError(f"{scorer} was asked for {wanted} before it was fitted")
    return value


class OneStatistic:
    """Base class for scorers with a single input.

    Attributes:
        statistic: Name of the statistic to read; an option if a suite may define a variant.
    """

    name: ClassVar[str]
    statistic: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """The statistic named by the attribute `statistic`."""
        return (self.statistic,)

    def _column(self, statistics: Statistics) -> Array:
        """Return the only column of a statistic of examples, (M, b, 1) in the mapping, as (M, b).

        Raises:
            ScoreError: The statistic has several columns, or is not per example.
        """
        values = statistics[self.statistic]
        if values.ndim != 3 or values.shape[2] != 1:
            per = "example" if values.ndim == 3 else "group"
            raise ScoreError(
                f"{self.name} needs a statistic with 1 column per example; {self.statistic} has "
                f"{values.shape[-1]} per {per}"
            )
        return values[:, :, 0]


class NamedColumns(OneStatistic):
    """Base class for scorers with a single input and a use for the names of the columns.

    Attributes:
        names: Column names, for example names of layers; None before `name_features`.
    """

    names: Sequence[str] | None = None

    def name_features(self, features: Mapping[str, Sequence[str]]) -> None:
        """Store the column names of the statistic."""
        self.names = tuple(features[self.statistic])


class NothingToFit:
    """Base class for scorers without parameters to fit.

    `fit` only records the call, so every scorer has to be fitted before it can score.

    Attributes:
        fitted_: True after the fit, None before.
    """

    name: ClassVar[str]

    fitted_: Literal[True] | None = None

    def fit(self, statistics: Statistics) -> Self:
        """Record the call; no parameters are estimated.

        Arguments:
            statistics: Not read.
        """
        self.fitted_ = True
        return self
