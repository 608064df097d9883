"""Methods over many data sets: mean ranks, Friedman's test, Nemenyi's critical difference.

References:
    | Statistical comparisons of classifiers over multiple data sets (Demšar, 2006)
    | https://www.jmlr.org/papers/v7/demsar06a.html

The functions import SciPy themselves, because the import takes up to a second and most commands
rank nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, Literal, TypeAlias, TypeVar

import numpy as np

from harness.metrics.intervals import LEVEL
from harness.metrics.placements import Floats
from harness.results import Cell

Method = TypeVar("Method", str, tuple[str, str])

Pair: TypeAlias = tuple[str, str]
"""ID set and OOD set."""

Block: TypeAlias = tuple[Pair, tuple[str, int, int, int]]
"""A pair of data sets, and model, epoch, group size and seed; the scorer if models are ranked."""

By: TypeAlias = Literal["scorer", "model"]
"""What is ranked."""

LEAST_SHARE = 0.5
"""Minimum share of blocks in which all compared methods have a number; see `compared`."""


def ranks(values: Floats) -> Floats:
    """Rank the values within each row, from 1 for the highest; ties share the mean rank.

    Arguments:
        values: float64, (N, k), a row for each data set, a column for each method; higher is
            better.

    Returns:
        float64, (N, k).
    """
    # Importing `scipy.stats.rankdata` takes two seconds, which a digest can do without.
    above = (values[:, np.newaxis, :] > values[:, :, np.newaxis]).sum(axis=2)
    equal = (values[:, np.newaxis, :] == values[:, :, np.newaxis]).sum(axis=2)
    found: Floats = above + (equal + 1) / 2
    return found


def friedman(ranked: Floats) -> tuple[float, float]:
    """Compute Friedman's χ² for equal methods, and the p-value.

    χ² = 12 N / (k (k + 1)) [ Σ_j R_j² - k (k + 1)² / 4 ]   (Demšar, 2006, section 3.2.1), R_j the
    mean rank of method j, on k - 1 degrees of freedom. A correction for ties, which would increase
    the statistic, is not applied.

    Arguments:
        ranked: float64, (N, k), from `ranks`.
    """
    from scipy.special import chdtrc

    n, k = ranked.shape
    squares = float((ranked.mean(axis=0) ** 2).sum())
    statistic = max(0.0, 12 * n / (k * (k + 1)) * (squares - k * (k + 1) ** 2 / 4))
    return statistic, float(chdtrc(k - 1, statistic))


def critical_difference(k: int, n: int) -> float:
    """Compute the smallest significant difference of mean ranks, for k methods and n data sets.

    CD = q (k (k + 1) / (6 n))^½, with q the quantile of the studentized range for k at 1 - LEVEL
    and infinitely many degrees of freedom, divided by √2 (Nemenyi's test; Demšar, 2006, section
    3.2.2).
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - LEVEL, k, math.inf)) / math.sqrt(2)
    return q * math.sqrt(k * (k + 1) / (6 * n))


def block_of(cell: Cell, by: By = "scorer") -> Block:
    """Return the block of a cell: all coordinates except the ranked one."""
    other = cell.model if by == "scorer" else cell.scorer
    return (cell.in_dataset, cell.out_dataset), (other, cell.epoch, cell.group_size, cell.seed)


def compared(blocks: Collection[Collection[Method]]) -> list[Method]:
    """Choose the methods to compare, by the number of blocks that they have in common.

    Only blocks with numbers for two methods or more compare anything. While the chosen methods
    have fewer than `LEAST_SHARE` of these blocks in common, the methods with the fewest numbers
    are left out: all of them, so that equally available methods are treated alike. If that would
    leave fewer than two methods, all remaining methods are compared, over few blocks.

    Arguments:
        blocks: The methods with a number in each block.

    Returns:
        Two methods or more, in the order of the blocks; empty without common blocks.
    """
    kept = list(dict.fromkeys(method for found in blocks for method in found))
    sets = [set(found) for found in blocks]
    while True:
        sets = [found & set(kept) for found in sets]
        sets = [found for found in sets if len(found) > 1]
        counts = Counter(method for found in sets for method in found)
        kept = [method for method in kept if method in counts]
        complete = sum(len(found) == len(kept) for found in sets)
        more = [method for method in kept if counts[method] > min(counts.values())]
        if complete >= LEAST_SHARE * len(sets) or len(more) < 2:
            return kept if complete else []
        kept = more


@dataclass(frozen=True)
class Ranked(Generic[Method]):
    """Methods with mean ranks over pairs of data sets, 1 the best.

    The tests are computed on demand, because they import `scipy.stats`.

    Attributes:
        mean_ranks: By method, the best first.
        means: Mean value by method, over the same pairs.
        pairs: Number of pairs, N.
        blocks: Number of blocks; the value for a pair is a mean over blocks.
        ranks: float64, (N, k), the rank for each pair and method.
    """

    mean_ranks: dict[Method, float]
    means: dict[Method, float]
    pairs: int
    blocks: int
    ranks: Floats = field(repr=False, compare=False)

    @property
    def is_tested(self) -> bool:
        """True if at least two pairs and two methods exist."""
        return self.pairs > 1 and len(self.mean_ranks) > 1

    @cached_property
    def critical_difference(self) -> float | None:
        """Smallest significant difference of mean ranks, by Nemenyi's test; None if not tested."""
        if not self.is_tested:
            return None
        return critical_difference(len(self.mean_ranks), self.pairs)

    @cached_property
    def friedman(self) -> tuple[float, float] | None:
        """Friedman's χ² for equal methods, and the p-value; None if not tested."""
        return friedman(self.ranks) if self.is_tested else None


def rank_methods(
    blocks: Mapping[Block, Mapping[Method, float]], methods: Sequence[Method]
) -> Ranked[Method] | None:
    """Rank methods over the pairs (ID set, OOD set).

    The value for a pair is the mean over the blocks of the pair: blocks share examples, so further
    blocks are not further evidence and would make the critical difference too small. Pairs that
    share a data set still share examples, so the critical difference remains somewhat too small.
    Only blocks with all methods count; a pair without such blocks is left out.

    Arguments:
        blocks: Value by method, for example the AUROC; higher is better.
        methods: Methods to rank.

    Returns:
        None if every block lacks some method.
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
