"""Methods over many data sets: mean ranks, Friedman's test, Nemenyi's critical difference.

References:
    | Statistical comparisons of classifiers over multiple data sets (Demšar, 2006)
    | https://www.jmlr.org/papers/v7/demsar06a.html

SciPy takes up to a second to import, so the functions import it: most commands rank nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeAlias, TypeVar

import numpy as np

from harness.metrics.placements import Floats
from harness.metrics.roc import LEVEL
from harness.results import Cell

Method = TypeVar("Method", str, tuple[str, str])

Pair: TypeAlias = tuple[str, str]
"""ID set and OOD set."""

Block: TypeAlias = tuple[Pair, tuple[str, int, int, int]]
"""A pair, and model, epoch, group size and seed."""


def ranks(values: Floats) -> Floats:
    """Ranks within each row, 1 the highest; equal values share the mean of their ranks.

    Arguments:
        values: float64, (N, k), a row for each data set, a column for each method; higher is
            better.

    Returns:
        float64, (N, k).
    """
    # Not `scipy.stats.rankdata`, whose import takes two seconds that a digest need not wait.
    above = (values[:, np.newaxis, :] > values[:, :, np.newaxis]).sum(axis=2)
    equal = (values[:, np.newaxis, :] == values[:, :, np.newaxis]).sum(axis=2)
    found: Floats = above + (equal + 1) / 2
    return found


def friedman(ranked: Floats) -> tuple[float, float]:
    """Friedman's χ² of no difference between the methods, and its p-value.

    χ² = 12 N / (k (k + 1)) [ Σ_j R_j² - k (k + 1)² / 4 ]   (Demšar, 2006, section 3.2.1), R_j the
    mean rank of method j, on k - 1 degrees of freedom. Without a correction for ties, which would
    make it larger.

    Arguments:
        ranked: float64, (N, k), as `ranks` returns them.
    """
    from scipy.special import chdtrc

    n, k = ranked.shape
    squares = float((ranked.mean(axis=0) ** 2).sum())
    statistic = max(0.0, 12 * n / (k * (k + 1)) * (squares - k * (k + 1) ** 2 / 4))
    return statistic, float(chdtrc(k - 1, statistic))


def critical_difference(k: int, n: int) -> float:
    """Mean ranks of two of k methods over n data sets differ if they are so far apart.

    CD = q (k (k + 1) / (6 n))^½, q the quantile of the studentized range of k at 1 - LEVEL and
    infinitely many degrees of freedom, divided by √2 (Nemenyi's test; Demšar, 2006, section
    3.2.2).
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - LEVEL, k, math.inf)) / math.sqrt(2)
    return q * math.sqrt(k * (k + 1) / (6 * n))


def block_of(cell: Cell) -> Block:
    """The block of a cell: all of it but the scorer."""
    place = (cell.model, cell.epoch, cell.group_size, cell.seed)
    return (cell.in_dataset, cell.out_dataset), place


@dataclass(frozen=True)
class Ranked(Generic[Method]):
    """Methods with their mean ranks over pairs of data sets, 1 the best.

    The tests are made when they are asked for: they import `scipy.stats`.

    Attributes:
        mean_ranks: By method, the best first.
        aurocs: Mean AUROC by method, over the same pairs.
        pairs: How many pairs, N.
        blocks: How many blocks, of which each pair's AUROC is the mean.
        ranks: float64, (N, k), of each method in each pair.
    """

    mean_ranks: dict[Method, float]
    aurocs: dict[Method, float]
    pairs: int
    blocks: int
    ranks: Floats = field(repr=False, compare=False)

    @property
    def is_tested(self) -> bool:
        """Whether there are two pairs and two methods at least."""
        return self.pairs > 1 and len(self.mean_ranks) > 1

    @cached_property
    def critical_difference(self) -> float | None:
        """Mean ranks so far apart differ, by Nemenyi's test; None if they are not tested."""
        if not self.is_tested:
            return None
        return critical_difference(len(self.mean_ranks), self.pairs)

    @cached_property
    def friedman(self) -> tuple[float, float] | None:
        """χ² of no difference at all, and its p-value; None if they are not tested."""
        return friedman(self.ranks) if self.is_tested else None


def rank_methods(
    blocks: Mapping[Block, Mapping[Method, float]], methods: Sequence[Method]
) -> Ranked[Method] | None:
    """Rank methods over the pairs (ID set, OOD set).

    The AUROC of a pair is the mean over its blocks: those share their examples, so they are no
    further evidence, and would make the critical difference too small. Pairs that share one of
    their data sets still do, so it is on the small side yet. Only blocks that have all methods
    count; a pair without any is left out.

    Arguments:
        blocks: AUROC by method.
        methods: Which of them are ranked.

    Returns:
        None if no block has all of them.
    """
    pairs: dict[Pair, list[list[float]]] = {}
    for (pair, _), found in blocks.items():
        if found.keys() >= set(methods):
            pairs.setdefault(pair, []).append([found[method] for method in methods])
    if not pairs or not methods:
        return None
    values = np.array([np.mean(rows, axis=0) for rows in pairs.values()])
    ranked = ranks(values)
    means = ranked.mean(axis=0).tolist()
    order = sorted(range(len(methods)), key=lambda j: (means[j], methods[j]))
    return Ranked(
        {methods[j]: means[j] for j in order},
        {methods[j]: float(values[:, j].mean()) for j in order},
        len(pairs),
        sum(map(len, pairs.values())),
        ranked,
    )
