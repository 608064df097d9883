"""Which number of a column is the best, and which cannot be told from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal, TypeAlias

from harness.metrics import LEVEL, Z_95, Wins, p_value, paired, win_counts, z_ratio
from harness.results import Result

Seeds: TypeAlias = Mapping[int, Result]
"""The results of one cell of a table, by seed."""

Mark: TypeAlias = Literal["best", "tied", "worse", "untested"]
"""How a number stands to the best of its column.

`tied`: cannot be told from the best; `worse`: can; `untested`: was not compared, because scores or
some of the seeds are missing.
"""


def number(result: Result) -> float | None:
    """The AUROC of a result, None unless it is ok: a failed cell never looks like a number."""
    value = result.auroc if result.status == "ok" else None
    return value if value is not None and math.isfinite(value) else None


def numbers(seeds: Seeds) -> dict[int, float]:
    """The AUROC of each seed that has one."""
    found = {seed: number(result) for seed, result in seeds.items()}
    return {seed: auroc for seed, auroc in found.items() if auroc is not None}


def is_wrong_way(result: Result) -> bool:
    """Whether the AUROC is below 0.5 beyond its 95 % interval: OOD scores below ID."""
    return number(result) is not None and result.auroc_high is not None and result.auroc_high < 0.5


def marks(column: Sequence[Seeds]) -> list[Mark | None]:
    """The mark of each cell of a column, None where there is no number.

    The best is the first highest mean over the seeds. A cell that lacks seeds which others of the
    column have is neither the best nor compared with it.
    """
    aurocs = [numbers(seeds) for seeds in column]
    most = max(len(cell) for cell in aurocs)
    if not most:
        return [None] * len(column)
    means = [fmean(cell.values()) if len(cell) == most else -math.inf for cell in aurocs]
    best = means.index(max(means))
    against = _Best({seed: column[best][seed] for seed in aurocs[best]})
    found: list[Mark | None] = []
    for place, (cell, seeds) in enumerate(zip(aurocs, column, strict=True)):
        if place == best:
            found.append("best")
        elif cell.keys() != against.seeds.keys():
            found.append("untested" if cell else None)
        else:
            found.append(against.compare(seeds))
    return found


class _Best:
    """The best of a column, to be compared with the others; seeds without a number left out."""

    def __init__(self, seeds: Seeds) -> None:
        self.seeds = seeds
        self._wins: dict[int, Wins] = {}

    def compare(self, others: Seeds) -> Mark:
        """The paired DeLong test of the mean difference over the seeds.

        Its standard error is the mean of the seeds' standard errors, not that of independent
        seeds.
        """
        if self._is_certain(others):
            return "worse"
        found = []
        for seed, best in self.seeds.items():
            other = others[seed]
            if best.scores_in is None or best.scores_out is None:
                return "untested"
            if other.scores_in is None or other.scores_out is None:
                return "untested"
            if best.scores_in.shape != other.scores_in.shape:
                return "untested"
            if best.scores_out.shape != other.scores_out.shape:
                return "untested"
            if seed not in self._wins:
                self._wins[seed] = win_counts(best.scores_in, best.scores_out)
            found.append(paired(self._wins[seed], win_counts(other.scores_in, other.scores_out)))
        difference, se = fmean(x.difference for x in found), fmean(x.se for x in found)
        return "tied" if p_value(z_ratio(difference, se)) > LEVEL else "worse"

    def _is_certain(self, others: Seeds) -> bool:
        """Whether the test is sure to tell the two apart, which saves most tests of a table.

        The standard error of a difference is at most the sum of the two (Cauchy and Schwarz).
        """
        difference = errors = 0.0
        for seed, a in self.seeds.items():
            b = others[seed]
            if a.auroc is None or b.auroc is None or a.auroc_se is None or b.auroc_se is None:
                return False
            difference += a.auroc - b.auroc
            errors += a.auroc_se + b.auroc_se
        return difference > Z_95 * errors
