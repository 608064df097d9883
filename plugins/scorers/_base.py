"""Common parts of the scorers: types, the check that a scorer was fitted, common inputs.

Options of a scorer are the fields of a dataclass (`kw_only=True`, and `eq=False`, because arrays
do not compare to a single truth value). Attributes that `fit` sets end in `_`; in a dataclass they
are fields with `init=False`, so that they are not options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


class OneStatistic:
    """A scorer that reads one statistic.

    Attributes:
        statistic: Name of the statistic; an option of scorers of which a suite may name a variant.
    """

    name: ClassVar[str]
    statistic: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """The statistic named by `statistic`."""
        return (self.statistic,)


class NamedColumns(OneStatistic):
    """A scorer of one statistic that needs the names of its columns.

    Attributes:
        names: The names, such as those of layers; None before `name_features`.
    """

    names: Sequence[str] | None = None

    def name_features(self, features: Mapping[str, Sequence[str]]) -> None:
        """Told the names of the columns."""
        self.names = tuple(features[self.statistic])


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
