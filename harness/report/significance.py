"""Which number of a column is the best, and which cannot be told from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Literal, TypeAlias

from harness.metrics.paired import p_value, paired_each, z_ratio
from harness.metrics.placements import Sides
from harness.metrics.roc import LEVEL, Z_95
from harness.results import Metrics, Result, Status

Seeds: TypeAlias = Mapping[int, Result]
"""The results of one cell of a table, by seed."""

Numbers: TypeAlias = Mapping[int, float]
"""The AUROC of a cell of a table by seed, of the seeds that have one."""

Mark: TypeAlias = Literal["best", "tied", "worse", "untested"]
"""How a number stands to the best of its column.

`tied`: cannot be told from the best; `worse`: can; `untested`: was not compared, because scores or
some of the seeds are missing.
"""


def metrics_of(result: Result) -> Metrics | None:
    """The numbers of a result, None unless it is ok: a failed cell never looks like a number."""
    metrics = result.metrics if result.status == "ok" else None
    return metrics if metrics is not None and math.isfinite(metrics.auroc) else None


def number(result: Result) -> float | None:
    """The AUROC of a result; None as in `metrics_of`."""
    metrics = metrics_of(result)
    return None if metrics is None else metrics.auroc


def status_of(result: Result) -> Status:
    """The status of a result, of which one that is ok has a number."""
    return "failed" if result.status == "ok" and number(result) is None else result.status


def numbers(seeds: Seeds) -> Numbers:
    """The AUROC of each seed that has one."""
    found = {seed: number(result) for seed, result in seeds.items()}
    return {seed: auroc for seed, auroc in found.items() if auroc is not None}


def is_wrong_way(result: Result) -> bool:
    """Whether the AUROC is below 0.5 beyond its 95 % interval: OOD scores below ID."""
    metrics = metrics_of(result)
    return metrics is not None and metrics.auroc_high < 0.5


def marks(
    columns: Sequence[Sequence[Seeds]], aurocs: Sequence[Sequence[Numbers]]
) -> list[list[Mark | None]]:
    """The mark of each cell of some columns, None where there is no number.

    The best is the first highest mean over the seeds. A cell that lacks seeds which others of the
    column have is neither the best nor compared with it.

    Arguments:
        columns: The cells of each column.
        aurocs: Their `numbers`.
    """
    marked = [_Column(*column) for column in zip(columns, aurocs, strict=True)]
    tests = iter(paired_each([pair for column in marked for pair in column.pairs()]))
    for column in marked:
        column.conclude(tests)
    return [column.marks for column in marked]


class _Column:
    """A column, whose best is compared with the others.

    Attributes:
        marks: Of each cell; those of the cells to be tested are not known yet.
        tested: The places of the cells that only a test can tell from the best.
        best: The results of the best by seed, those without a number left out.
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
        """What is to be tested: of each place each seed."""
        for place in self.tested:
            for seed, best in self.best.items():
                yield _sides(best), _sides(self.cells[place][seed])

    def conclude(self, tests: Iterator[tuple[float, float]]) -> None:
        """Mark the cells that were tested, given the differences and standard errors of `pairs`.

        The test is that of the mean difference over the seeds. Its standard error is the mean of
        the seeds' standard errors, not that of independent seeds.
        """
        for place in self.tested:
            seeds = [next(tests) for _ in self.best]
            difference, se = map(fmean, zip(*seeds, strict=True))
            self.marks[place] = "tied" if p_value(z_ratio(difference, se)) > LEVEL else "worse"

    def _compare(self, aurocs: Sequence[Numbers], best: int) -> None:
        """Mark what is sure without a test, and note what is to be tested against the best."""
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
        """Whether the test is sure to tell a cell from the best: that saves most tests of a table.

        The standard error of a difference is at most the sum of the two (Cauchy and Schwarz).
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
    """The mean over the seeds, of which there is at least one."""
    values = known.values()
    return next(iter(values)) if len(values) == 1 else fmean(values)


def _shape(result: Result) -> tuple[int, int] | None:
    """How many ID and OOD groups have scores; None if there are no scores."""
    return None if result.scores is None else (len(result.scores[0]), len(result.scores[1]))


def _sides(result: Result) -> Sides:
    assert result.scores is not None, "only what has a shape is tested"
    return result.scores
