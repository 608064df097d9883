"""Which number of a column is the best, and which cannot be told from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal, TypeAlias

from harness.metrics import LEVEL, Z_95, p_value, paired_with_first, z_ratio
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
    high = result.auroc_high
    return high is not None and high < 0.5 and number(result) is not None


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
    found: list[Mark | None] = ["untested" if cell else None for cell in aurocs]
    compared = [
        place
        for place, cell in enumerate(aurocs)
        if place != best and cell.keys() == against.seeds.keys()
    ]
    for place, mark in zip(compared, against.compare([column[i] for i in compared]), strict=True):
        found[place] = mark
    found[best] = "best"
    return found


class _Best:
    """The best of a column, to be compared with the others; seeds without a number left out."""

    def __init__(self, seeds: Seeds) -> None:
        self.seeds = seeds
        self._shapes = {seed: _shape(result) for seed, result in seeds.items()}

    def compare(self, others: Sequence[Seeds]) -> list[Mark]:
        """The paired DeLong tests of the mean difference over the seeds.

        Its standard error is the mean of the seeds' standard errors, not that of independent
        seeds.
        """
        untested = [self._without_test(seeds) for seeds in others]
        tested = [seeds for seeds, mark in zip(others, untested, strict=True) if mark is None]
        p_values = iter(self._p_values(tested))
        return [mark or ("tied" if next(p_values) > LEVEL else "worse") for mark in untested]

    def _p_values(self, others: Sequence[Seeds]) -> list[float]:
        if not others:
            return []
        tests = []
        for seed, best in self.seeds.items():
            results = [best, *(seeds[seed] for seeds in others)]
            ins = [result.scores_in for result in results if result.scores_in is not None]
            outs = [result.scores_out for result in results if result.scores_out is not None]
            tests.append(list(zip(*paired_with_first(ins, outs), strict=True)))
        means = [tuple(map(fmean, zip(*seeds, strict=True))) for seeds in zip(*tests, strict=True)]
        return [p_value(z_ratio(difference, se)) for difference, se in means]

    def _without_test(self, others: Seeds) -> Mark | None:
        """The mark if no test is needed, or none can be made; None if one is to be made."""
        if self._is_certain(others):
            return "worse"
        shapes = {seed: _shape(others[seed]) for seed in self.seeds}
        return "untested" if None in shapes.values() or shapes != self._shapes else None

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


def _shape(result: Result) -> tuple[int, int] | None:
    """How many ID and OOD groups have scores; None if there are no scores."""
    if result.scores_in is None or result.scores_out is None:
        return None
    return len(result.scores_in), len(result.scores_out)
