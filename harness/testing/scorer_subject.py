"""A scorer under test, and helpers shared by the checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.contracts import NeedsFeatureNames, Scorer, Side
from harness.registry.registry import Registry
from harness.testing.checks import NotApplicable
from harness.testing.fake_statistics import (
    FakeStatistic,
    Layout,
    Statistics,
    base_name,
    copied,
    draw,
)

FIT_GROUPS = 60
GROUPS = 40


@dataclass(frozen=True)
class ScorerUnderTest:
    """A scorer under test, with made-up statistics for its inputs.

    Attributes:
        make: Returns a new scorer with its options.
        registry: Where statistics are looked up.
        layouts: Layouts of the statistics that declare no made-up values.
    """

    make: Callable[[], Scorer]
    registry: Registry
    layouts: Mapping[str, Layout]

    def build(self) -> Scorer:
        """Build a new scorer, and pass column names to scorers that need them."""
        scorer = self.make()
        if isinstance(scorer, NeedsFeatureNames):
            fakes = {name: self.fake(name) for name in scorer.inputs}
            scorer.name_features({name: fake.features for name, fake in fakes.items() if fake})
        return scorer

    def fake(self, name: str) -> FakeStatistic | None:
        """Return the made-up statistic for an input; None for an unknown statistic."""
        for known in (name, base_name(name)):
            if known in self.layouts:
                return FakeStatistic.of_layout(self.layouts[known])
        return FakeStatistic.declared(self.registry, base_name(name))

    def data(
        self, *, seed: int, side: Side = "in", groups: int = GROUPS, size: int = 5
    ) -> Statistics:
        """Draw statistics under the names that the scorer reads."""
        fakes = {}
        for name in self.build().inputs:
            fake = self.fake(name)
            if fake is None:
                raise NotApplicable(f"the kit does not know the statistic {name!r}")
            fakes[name] = fake
        return draw(fakes, groups=groups, size=size, side=side, seed=seed)

    def fit_data(self, *, seed: int = 0, size: int = 5) -> Statistics:
        """Draw in-distribution statistics for the fit."""
        return self.data(seed=seed, groups=FIT_GROUPS, size=size)

    def fitted(self, *, seed: int = 0, size: int = 5) -> Scorer:
        """Return a new, fitted scorer."""
        scorer = self.build()
        scorer.fit(self.fit_data(seed=seed, size=size))
        return scorer

    def scores(self, statistics: Statistics) -> NDArray[np.float64]:
        """Score groups with a newly fitted scorer."""
        return self.fitted().score(copied(statistics))

    def settled(self, statistics: Statistics) -> NDArray[np.float64]:
        """Return scores if two scorers agree; otherwise skip: `deterministic` reports this."""
        first, second = self.fitted(), self.fitted()
        scores = first.score(copied(statistics))
        if differs(second.score(copied(statistics)), scores):
            raise NotApplicable("two scorers with the same fit differ: see `deterministic`")
        return scores


def differs(found: NDArray[np.float64], expected: NDArray[np.float64]) -> bool:
    """Return True if scores differ by more than rounding in a reordered sum."""
    if found.shape != expected.shape:
        return True
    return not np.allclose(found, expected, rtol=1e-7, atol=1e-9, equal_nan=True)
