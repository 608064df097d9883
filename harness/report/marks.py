"""Which number of a column is the best, and which cannot be told from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal, TypeAlias

from harness.metrics import LEVEL, Z_95, delong_difference, p_value, z_ratio
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
    return [
        "best" if i == best else _mark(aurocs[best], column[best], cell, seeds)
        for i, (cell, seeds) in enumerate(zip(aurocs, column, strict=True))
    ]


def _mark(
    best: Mapping[int, float], best_seeds: Seeds, cell: Mapping[int, float], seeds: Seeds
) -> Mark | None:
    if not cell:
        return None
    if cell.keys() != best.keys():
        return "untested"
    return _compare([(best_seeds[seed], seeds[seed]) for seed in best])


def _compare(pairs: Sequence[tuple[Result, Result]]) -> Mark:
    """The paired DeLong test of the mean difference over the seeds, (best, other) of each.

    Its standard error is the mean of the seeds' standard errors, not that of independent seeds.
    """
    if _certain(pairs):
        return "worse"
    found = []
    for a, b in pairs:
        if a.scores_in is None or a.scores_out is None:
            return "untested"
        if b.scores_in is None or b.scores_out is None:
            return "untested"
        if a.scores_in.shape != b.scores_in.shape or a.scores_out.shape != b.scores_out.shape:
            return "untested"
        found.append(delong_difference(a.scores_in, a.scores_out, b.scores_in, b.scores_out))
    difference, se = fmean(x.difference for x in found), fmean(x.se for x in found)
    return "tied" if p_value(z_ratio(difference, se)) > LEVEL else "worse"


def _certain(pairs: Sequence[tuple[Result, Result]]) -> bool:
    """Whether the test is sure to tell the two apart, which saves most of the tests of a table.

    The standard error of a difference is at most the sum of the two (Cauchy and Schwarz).
    """
    difference = errors = 0.0
    for a, b in pairs:
        if a.auroc is None or b.auroc is None or a.auroc_se is None or b.auroc_se is None:
            return False
        difference += a.auroc - b.auroc
        errors += a.auroc_se + b.auroc_se
    return difference > Z_95 * errors
