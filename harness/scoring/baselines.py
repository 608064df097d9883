"""Trivial baselines, and the cells beaten by a baseline."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from harness.contracts import Baseline, Scorer
from harness.metrics.intervals import LEVEL, Z_95
from harness.metrics.paired import paired_test
from harness.plan.plan import Plan
from harness.results import Beaten, Cell, Result


def is_baseline(scorer: Scorer) -> bool:
    """Return True if a scorer declares itself a trivial baseline."""
    return isinstance(scorer, Baseline) and scorer.baseline is True


def baseline_names(plan: Plan) -> set[str]:
    """List the baselines among the scorers in a plan, by name in the suite."""
    scorers = {planned.cell.scorer: planned.scorer for planned in plan.cells}
    return {name for name, scorer in scorers.items() if is_baseline(scorer.build())}


def flag_beaten(results: Sequence[Result], baselines: Collection[str]) -> list[Result]:
    """Add to each result the baselines with a higher AUROC in the same cell.

    The same cell means the same model, ID and OOD set, epoch, group size and seed. Baselines
    themselves are not judged.

    Arguments:
        results: With group scores, for the paired test.
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
    """Return True if a and b differ significantly by the paired DeLong test (p <= 0.05).

    Returns None if the test is impossible. The standard error of a difference is at most the sum
    of both standard errors (Cauchy and Schwarz), so a large difference needs no test.
    """
    if difference > Z_95 * errors:
        return True
    test = paired_test(a, b)
    return None if test is None else test.p_value <= LEVEL
