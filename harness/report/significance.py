"""Marks for the numbers in a column: the best, and numbers that do not differ significantly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Literal, TypeAlias

from harness.metrics.intervals import LEVEL
from harness.metrics.multiple import against_best
from harness.metrics.paired import (
    Trainings,
    are_comparable,
    is_surely_different,
    p_values_each,
)
from harness.results import Metrics, Result, Status

Seeds: TypeAlias = Mapping[int, Result]
"""The results of one cell of a table, by seed."""

Numbers: TypeAlias = Mapping[int, float]
"""The AUROC of a cell of a table by seed, of the seeds that have one."""

ROUNDING = 1e-12
"""Largest difference between equal means over seeds; counts of wins make larger steps."""

Mark: TypeAlias = Literal["best", "tied", "worse", "untested"]
"""Relation of a number to the best number of a column.

`tied`: does not differ significantly from the best; `worse`: differs significantly; `untested`:
was not compared, because groups are too few, or scores or some of the seeds are missing.
"""


def metrics_of(result: Result) -> Metrics | None:
    """Return the metrics if the status is ok and the AUROC is finite, otherwise None.

    A failed cell must never look like a number.
    """
    metrics = result.metrics if result.status == "ok" else None
    return metrics if metrics is not None and math.isfinite(metrics.auroc) else None


def number(result: Result) -> float | None:
    """Return the AUROC if `metrics_of` accepts the result, otherwise None."""
    metrics = metrics_of(result)
    return None if metrics is None else metrics.auroc


def status_of(result: Result) -> Status:
    """Return the status of a result; a result with status ok but without a number has failed."""
    return "failed" if result.status == "ok" and number(result) is None else result.status


def numbers(seeds: Seeds) -> Numbers:
    """Return the AUROC by seed, for all seeds with a number."""
    found = {seed: number(result) for seed, result in seeds.items()}
    return {seed: auroc for seed, auroc in found.items() if auroc is not None}


def is_wrong_way(result: Result) -> bool:
    """Check whether the whole 95 % interval lies below 0.5: OOD groups score below ID groups."""
    metrics = metrics_of(result)
    return metrics is not None and metrics.auroc_high is not None and metrics.auroc_high < 0.5


def marks(
    columns: Sequence[Sequence[Seeds]], aurocs: Sequence[Sequence[Numbers]]
) -> list[list[Mark | None]]:
    """Mark each cell in several columns; cells without a number have the mark None.

    The best cell has the highest mean over the seeds; all cells with exactly this mean are best. A
    cell is `worse` if its test against the best is significant after `against_best`, which allows
    for the choice of the best on the same groups. A cell that lacks seeds present elsewhere in the
    column is neither best nor compared with the best.

    Arguments:
        columns: The cells by column.
        aurocs: The result of `numbers` for each cell.
    """
    marked = [_Column(*column) for column in zip(columns, aurocs, strict=True)]
    tests = iter(p_values_each([pair for column in marked for pair in column.pairs()]))
    for column in marked:
        column.conclude(tests)
    return [column.marks for column in marked]


class _Column:
    """Comparison between the best cell and all other cells in a column.

    Attributes:
        marks: A mark for each cell; cells in `tested` get their final mark in `conclude`.
        tested: Indices of the cells whose comparison with the best needs a test.
        sure: Indices of the cells that differ for certain, without a test.
        best: Results of the best cell by seed, without seeds lacking a number.
    """

    def __init__(self, cells: Sequence[Seeds], aurocs: Sequence[Numbers]) -> None:
        self.cells = cells
        self.marks: list[Mark | None] = ["untested" if known else None for known in aurocs]
        self.tested: list[int] = []
        self.sure: list[int] = []
        self.best: Seeds = {}
        most = max(map(len, aurocs))
        if most:
            means = [_mean(known) if len(known) == most else -math.inf for known in aurocs]
            best = means.index(max(means))
            self.best = {seed: cells[best][seed] for seed in aurocs[best]}
            self._compare(aurocs, means, best)

    def pairs(self) -> Iterator[tuple[Trainings, Trainings]]:
        """Yield the results to compare, for each cell in `tested`."""
        for place in self.tested:
            yield self._trainings(place)

    def conclude(self, tests: Iterator[float | None]) -> None:
        """Mark the tested cells, given the p-values of `pairs`.

        Cells without a test could have been the best too, so they count, with a p-value of 1.
        """
        p_values = dict.fromkeys(self.sure, 0.0)
        p_values |= {place: p for place in self.tested if (p := next(tests)) is not None}
        others = sum(mark is not None for mark in self.marks) - 1 - len(p_values)
        adjusted = against_best([*p_values.values(), *([1.0] * others)])
        for place, p in zip(p_values, adjusted, strict=False):
            self.marks[place] = "tied" if p > LEVEL else "worse"

    def _compare(self, aurocs: Sequence[Numbers], means: Sequence[float], best: int) -> None:
        """Mark the best cells, and collect the cells that need a test."""
        pairs = len(aurocs) * (len(aurocs) - 1) // 2
        for place, known in enumerate(aurocs):
            if known.keys() != self.best.keys():
                continue
            if means[best] - means[place] <= ROUNDING:
                self.marks[place] = "best"
            elif len(known) == 1 and is_surely_different(*self._first(place), pairs):
                self.sure.append(place)
            elif are_comparable(*self._trainings(place)):
                self.tested.append(place)

    def _first(self, place: int) -> tuple[Result, Result]:
        (seed, best), *_ = self.best.items()
        return best, self.cells[place][seed]

    def _trainings(self, place: int) -> tuple[Trainings, Trainings]:
        cell = self.cells[place]
        return list(self.best.values()), [cell[seed] for seed in self.best]


def _mean(known: Numbers) -> float:
    """Average over the seeds; the input must not be empty."""
    values = known.values()
    return next(iter(values)) if len(values) == 1 else fmean(values)
