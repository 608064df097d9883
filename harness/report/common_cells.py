"""Scorers compared over the cells that they have in common.

Here a cell has every coordinate except the scorer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from harness.metrics.ranks import compared
from harness.report.significance import number, status_of
from harness.results import Cell, Result


@dataclass(frozen=True)
class Comparison:
    """Mean AUROC of the compared scorers over their common cells.

    Attributes:
        means: Mean AUROC by scorer, the highest first; of equals, a trivial baseline is last.
        common: By scorer, the results in the common cells.
        cells: Number of cells in which a scorer has a number.
        failed: Number of cells in which the first scorer failed or lacks data, and another
            compared scorer has a number.
        apart: Scorers with numbers that are not compared.
    """

    means: dict[str, float]
    common: dict[str, Mapping[Cell, Result]]
    cells: int
    failed: int
    apart: list[str]

    @property
    def first(self) -> str:
        """The scorer with the highest mean."""
        return next(iter(self.means))

    @property
    def is_shown(self) -> bool:
        """Whether the first scorer would be first for any numbers in place of its failures.

        In each of these cells another scorer could gain at most 1. So no scorer wins by failing.
        """
        first, second, *_ = self.means.values()
        lead = (first - second) * len(self.common[self.first])
        return not self.failed or lead > self.failed


def compare(results: Sequence[Result], baselines: Collection[str]) -> Comparison | None:
    """Compare the scorers chosen by `harness.metrics.ranks.compared` over their common cells.

    A cell that is missing because nobody asked for it, or because the scorer does not apply there,
    says nothing about a scorer.

    Arguments:
        results: At most one for each cell.
        baselines: Names of the scorers that are trivial baselines.

    Returns:
        None without common cells.
    """
    cells: dict[Cell, dict[str, Result]] = {}
    for result in results:
        if number(result) is not None:
            cells.setdefault(_place(result), {})[result.cell.scorer] = result
    scorers = compared(cells.values())
    if not scorers:
        return None
    shared = {cell: found for cell, found in cells.items() if found.keys() >= set(scorers)}
    common = {name: {cell: found[name] for cell, found in shared.items()} for name in scorers}
    means = {name: fmean(map(_auroc, found.values())) for name, found in common.items()}
    order = sorted(scorers, key=lambda name: (-means[name], name in baselines))
    others = set(order[1:])
    failed = sum(
        result.cell.scorer == order[0]
        and status_of(result) in ("failed", "missing_data")
        and not others.isdisjoint(cells.get(_place(result), ()))
        for result in results
    )
    known = dict.fromkeys(name for found in cells.values() for name in found)
    return Comparison(
        {name: means[name] for name in order},
        {name: common[name] for name in order},
        len(cells),
        failed,
        [name for name in known if name not in scorers],
    )


def _place(result: Result) -> Cell:
    return result.cell._replace(scorer="")


def _auroc(result: Result) -> float:
    return number(result) or 0.0
