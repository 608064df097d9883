"""Made-up statistics, in and out of distribution, to examine scorers with."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.contracts import HasFakeFeatures, HasFakeValues, Per, Side
from harness.registry.registry import Registry

Statistics: TypeAlias = dict[str, NDArray[np.float64]]
Layout: TypeAlias = tuple[Per, int]


def log_normal(noise: NDArray[np.float64], side: Side) -> NDArray[np.float64]:
    """Positive values, each column at a level of its own, larger by a factor of 50 out."""
    level = np.linspace(-4.0, 6.0, noise.shape[-1]) + (4.0 if side == "out" else 0.0)
    values: NDArray[np.float64] = np.exp(level + 0.7 * noise)
    return values


@dataclass(frozen=True)
class FakeStatistic:
    """Made-up values of a statistic.

    Attributes:
        per: Whether a row belongs to an example or to a group.
        features: Names of the F columns.
        values: Values from standard normal noise of the same shape, in or out of distribution.
        is_declared: Whether the statistic itself says what its values look like, so that scorers
            can be expected to find the side "out".
    """

    per: Per
    features: Sequence[str]
    values: Callable[[NDArray[np.float64], Side], NDArray[np.float64]] = log_normal
    is_declared: bool = False

    @classmethod
    def of_layout(cls, layout: Layout) -> FakeStatistic:
        """A statistic of which only the layout is known, with made-up names of columns."""
        per, columns = layout
        return cls(per, [f"column {place}" for place in range(columns)])

    @classmethod
    def declared(cls, registry: Registry, name: str) -> FakeStatistic | None:
        """The made-up values that a registered statistic declares; None if there are none."""
        if name not in registry.names("statistics"):
            return None
        statistic = registry.get("statistics", name).load()()
        if not isinstance(statistic, HasFakeFeatures):
            return None
        values = statistic.fake_values if isinstance(statistic, HasFakeValues) else log_normal
        return cls(statistic.per, statistic.fake_features, values, is_declared=True)


def base_name(name: str) -> str:
    """The statistic's own name, without model, epoch and seed: of `log_prob@other:4/1`."""
    return re.split("[@:/]", name, maxsplit=1)[0]


def draw(
    fakes: Mapping[str, FakeStatistic], *, groups: int, size: int, side: Side, seed: int
) -> Statistics:
    """Statistics of groups that no model was asked for.

    Arguments:
        fakes: Made-up statistics by the names that the scorer reads.
        groups: M.
        size: b, examples in a group.
        side: Whether the groups are in or out of distribution.
        seed: The same seed and size give the same statistics.

    Returns:
        float64, (M, b, F) or (M, F) each, by the names in `fakes`.
    """
    statistics = {}
    for name, fake in fakes.items():
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        rows = (groups, size) if fake.per == "example" else (groups,)
        statistics[name] = fake.values(rng.standard_normal((*rows, len(fake.features))), side)
    return statistics


def copied(statistics: Mapping[str, NDArray[np.float64]]) -> Statistics:
    """The same statistics in arrays of their own."""
    return {name: values.copy() for name, values in statistics.items()}


def taken(statistics: Mapping[str, NDArray[np.float64]], groups: Sequence[int]) -> Statistics:
    """Some of the groups, in the given order."""
    return {name: values[list(groups)] for name, values in statistics.items()}


class Lure(Mapping[str, NDArray[np.float64]]):
    """Statistics among others that their reader has no business with.

    It answers every name: an input with its statistic, any other, such as "out" or
    "log_prob@out", with statistics of the other side. Iteration shows some of those as well.

    Attributes:
        asked: Names asked for that are no inputs, unless iteration had shown them: a copy of the
            whole mapping is no question.
    """

    bait = ("out", "in", "labels")

    def __init__(self, inputs: Statistics, others: Statistics) -> None:
        self.inputs = inputs
        self.other = next(iter(others.values()))
        self.asked: list[str] = []
        self.shown = False

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        if name in self.inputs:
            return self.inputs[name].copy()
        self._note(name)
        return self.other.copy()

    def __contains__(self, name: object) -> bool:
        if name not in self.inputs:
            self._note(str(name))
        return True

    def __iter__(self) -> Iterator[str]:
        self.shown = True
        return iter([*self.inputs, *self.bait])

    def __len__(self) -> int:
        return len(self.inputs) + len(self.bait)

    def _note(self, name: str) -> None:
        if not (self.shown and name in self.bait):
            self.asked.append(name)
