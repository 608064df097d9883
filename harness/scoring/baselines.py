"""Trivial baselines: which cells one of them beats."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from harness.contracts import Baseline, Scorer
from harness.metrics.paired import paired_test
from harness.metrics.roc import LEVEL, Z_95
from harness.plan.plan import Plan
from harness.results import Beaten, Cell, Result


def is_baseline(scorer: Scorer) -> bool:
    """Whether a scorer declares itself a trivial baseline."""
    return isinstance(scorer, Baseline) and scorer.baseline is True


def baseline_names(plan: Plan) -> set[str]:
    """The scorers of a plan that are baselines, by the names that the suite gives them."""
    scorers = {planned.cell.scorer: planned.scorer for planned in plan.cells}
    return {name for name, scorer in scorers.items() if is_baseline(scorer.build())}


def flag_beaten(results: Sequence[Result], baselines: Collection[str]) -> list[Result]:
    """The results, each told which baselines beat it: have a higher AUROC in the same cell.

    The same cell is that of the same model, ID and OOD set, epoch, group size and seed. A baseline
    itself is not judged.

    Arguments:
        results: With the scores of their groups, for the paired test.
        baselines: Names of scorers.
    """
    if not baselines:
        return list(results)
    by_cell = {result.cell: result for result in results if result.cell.scorer in baselines}
    return [
        replace(result, beaten_by=beaten)
        if (beaten := _beaten(result, by_cell, baselines))
        else result
        for result in results
    ]


def _beaten(
    result: Result, by_cell: Mapping[Cell, Result], baselines: Collection[str]
) -> tuple[Beaten, ...]:
    if result.metrics is None or result.cell.scorer in baselines:
        return ()
    found = []
    for name in sorted(baselines):
        other = by_cell.get(result.cell._replace(scorer=name))
        if other is not None and other.metrics is not None:
            difference = other.metrics.auroc - result.metrics.auroc
            if difference > 0:
                errors = other.metrics.auroc_se + result.metrics.auroc_se
                is_beyond = _is_beyond_error(other, result, difference, errors)
                found.append(Beaten(name, difference, is_beyond))
    return tuple(found)


def _is_beyond_error(a: Result, b: Result, difference: float, errors: float) -> bool | None:
    """Whether the paired DeLong test tells a from b (p <= 0.05); None if it cannot be made.

    The standard error of a difference is at most the sum of the two (Cauchy and Schwarz), which
    saves the test where that is enough.
    """
    if difference > Z_95 * errors:
        return True
    test = paired_test(a, b)
    return None if test is None else test.p_value <= LEVEL
