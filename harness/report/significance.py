"""Marks for the numbers in a column: the best, and numbers that do not differ significantly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Literal, TypeAlias

from harness.metrics.intervals import LEVEL, Z_95
from harness.metrics.paired import p_value, paired_each, z_ratio
from harness.metrics.placements import Sides
from harness.results import Metrics, Result, Status

Seeds: TypeAlias = Mapping[int, Result]
"""The results of one cell of a table, by seed."""

Numbers: TypeAlias = Mapping[int, float]
"""The AUROC of a cell of a table by seed, of the seeds that have one."""

Mark: TypeAlias = Literal["best", "tied", "worse", "untested"]
"""Relation of a number to the best number of a column.

`tied`: does not differ significantly from the best; `worse`: differs significantly; `untested`:
was not compared, because scores or some of the seeds are missing.
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
    return metrics is not None and metrics.auroc_high < 0.5


def marks(
    columns: Sequence[Sequence[Seeds]], aurocs: Sequence[Sequence[Numbers]]
) -> list[list[Mark | None]]:
    """Mark each cell in several columns; cells without a number have the mark None.

    The best cell has the highest mean over the seeds; the first cell wins a tie. A cell that lacks
    seeds present elsewhere in the column is neither best nor compared with the best.

    Arguments:
        columns: The cells by column.
        aurocs: The result of `numbers` for each cell.
    """
    marked = [_Column(*column) for column in zip(columns, aurocs, strict=True)]
    tests = iter(paired_each([pair for column in marked for pair in column.pairs()]))
    for column in marked:
        column.conclude(tests)
    return [column.marks for column in marked]


class _Column:
    """Comparison between the best cell and all other cells in a column.

    Attributes:
        marks: A mark for each cell; cells in `tested` get their final mark in `conclude`.
        tested: Indices of the cells whose comparison with the best needs a test.
        best: Results of the best cell by seed, without seeds lacking a number.
    """

    def __init__(self, cells: Sequence[Seeds], aurocs: Sequence[Numbers]) -> None:
        self.cells = cells
        self.marks: list[Mark | None] = ["untested" if known else None for known in aurocs]
        self.tested: list[int] = []
        self.best: Seeds = {}
        most = max(map(len, aurocs))
        if most:
            means = [_mean(known) if len(known) == most else -math.inf for known in aurocs]
            best = means.index(max(means))
            self.best = {seed: cells[best][seed] for seed in aurocs[best]}
            self._compare(aurocs, best)
            self.marks[best] = "best"

    def pairs(self) -> Iterator[tuple[Sides, Sides]]:
        """Yield the scores to compare, for each cell in `tested` and each seed."""
        for place in self.tested:
            for seed, best in self.best.items():
                yield _sides(best), _sides(self.cells[place][seed])

    def conclude(self, tests: Iterator[tuple[float, float]]) -> None:
        """Mark the tested cells, given the differences and standard errors of `pairs`.

        The test uses the mean difference over the seeds. The standard error is the mean of the
        standard errors per seed, because seeds share examples and are not independent.
        """
        for place in self.tested:
            seeds = [next(tests) for _ in self.best]
            difference, se = map(fmean, zip(*seeds, strict=True))
            self.marks[place] = "tied" if p_value(z_ratio(difference, se)) > LEVEL else "worse"

    def _compare(self, aurocs: Sequence[Numbers], best: int) -> None:
        """Mark the cells that are certain without a test, and collect the cells to test."""
        seeds = self.best.keys()
        shapes = [_shape(result) for result in self.best.values()]
        for place, (cell, known) in enumerate(zip(self.cells, aurocs, strict=True)):
            if place == best or known.keys() != seeds:
                continue
            if self._is_certain(cell):
                self.marks[place] = "worse"
            elif None not in shapes and [_shape(cell[seed]) for seed in seeds] == shapes:
                self.tested.append(place)

    def _is_certain(self, cell: Seeds) -> bool:
        """Check whether a cell is certainly significantly worse; this saves most tests.

        The standard error of a difference is at most the sum of both errors (Cauchy and Schwarz).
        """
        difference = errors = 0.0
        for seed, best in self.best.items():
            a, b = best.metrics, cell[seed].metrics
            if a is None or b is None:
                return False
            difference += a.auroc - b.auroc
            errors += a.auroc_se + b.auroc_se
        return difference > Z_95 * errors


def _mean(known: Numbers) -> float:
    """Average over the seeds; the input must not be empty."""
    values = known.values()
    return next(iter(values)) if len(values) == 1 else fmean(values)


def _shape(result: Result) -> tuple[int, int] | None:
    """Count the ID and OOD groups with scores; None without scores."""
    return None if result.scores is None else (len(result.scores[0]), len(result.scores[1]))


def _sides(result: Result) -> Sides:
    assert result.scores is not None, "only what has a shape is tested"
    return result.scores
