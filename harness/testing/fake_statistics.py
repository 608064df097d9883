"""Made-up statistics, in and out of distribution, for testing scorers."""

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
    """Return positive values with a different level per column, 50 times larger for "out"."""
    level = np.linspace(-4.0, 6.0, noise.shape[-1]) + (4.0 if side == "out" else 0.0)
    values: NDArray[np.float64] = np.exp(level + 0.7 * noise)
    return values


@dataclass(frozen=True)
class FakeStatistic:
    """Made-up values for one statistic.

    Attributes:
        per: Whether a row belongs to an example or to a group.
        features: Names of the F columns.
        values: Turns standard normal noise into values with the same shape, for one side.
        is_declared: Whether the statistic itself declares the made-up values, so that scorers
            can be expected to detect the side "out".
    """

    per: Per
    features: Sequence[str]
    values: Callable[[NDArray[np.float64], Side], NDArray[np.float64]] = log_normal
    is_declared: bool = False

    @classmethod
    def of_layout(cls, layout: Layout) -> FakeStatistic:
        """Return a fake for a statistic with known layout only; column names are made up."""
        per, columns = layout
        return cls(per, [f"column {place}" for place in range(columns)])

    @classmethod
    def declared(cls, registry: Registry, name: str) -> FakeStatistic | None:
        """Return the made-up values that a registered statistic declares, or None."""
        if name not in registry.names("statistics"):
            return None
        statistic = registry.get("statistics", name).load()()
        if not isinstance(statistic, HasFakeFeatures):
            return None
        values = statistic.fake_values if isinstance(statistic, HasFakeValues) else log_normal
        return cls(statistic.per, statistic.fake_features, values, is_declared=True)


def base_name(name: str) -> str:
    """Return the plain statistic name, without model, epoch and seed.

    For example, `log_prob` for `log_prob@other:4/1`.
    """
    return re.split("[@:/]", name, maxsplit=1)[0]


def draw(
    fakes: Mapping[str, FakeStatistic], *, groups: int, size: int, side: Side, seed: int
) -> Statistics:
    """Draw statistics for groups without evaluating a model.

    Arguments:
        fakes: Made-up statistics, under the names that the scorer reads.
        groups: Number of groups, M.
        size: Number of examples per group, b.
        side: Whether the groups are in or out of distribution.
        seed: The same seed and size give the same statistics.

    Returns:
        float64, (M, b, F) per example or (M, F) per group, with the same keys as `fakes`.
    """
    statistics = {}
    for name, fake in fakes.items():
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        rows = (groups, size) if fake.per == "example" else (groups,)
        statistics[name] = fake.values(rng.standard_normal((*rows, len(fake.features))), side)
    return statistics


def copied(statistics: Mapping[str, NDArray[np.float64]]) -> Statistics:
    """Return the same statistics in newly allocated arrays."""
    return {name: values.copy() for name, values in statistics.items()}


def taken(statistics: Mapping[str, NDArray[np.float64]], groups: Sequence[int]) -> Statistics:
    """Return the selected groups, in the given order."""
    return {name: values[list(groups)] for name, values in statistics.items()}


class Lure(Mapping[str, NDArray[np.float64]]):
    """A mapping that mixes the inputs with decoys which a scorer must not read.

    Every name has a value: an input maps to its statistic, and any other name, such as "out" or
    "log_prob@out", maps to a statistic from the other side. Iteration includes some decoys too.

    Attributes:
        asked: Names requested that are not inputs. Decoys that iteration has listed before do not
            count, because copying the whole mapping is not a deliberate request.
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
