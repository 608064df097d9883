"""Trivial baselines, and the cells beaten by a baseline."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from harness.contracts import Baseline, Scorer
from harness.metrics.intervals import LEVEL
from harness.metrics.paired import are_comparable, is_surely_different, p_values_each
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
    pairs = [
        (result, other)
        for result in results
        if result.cell.scorer not in baselines
        for name in sorted(baselines)
        if (other := by_cell.get(result.cell._replace(scorer=name))) is not None
        and _difference(other, result) > 0
    ]
    found: dict[Cell, list[Beaten]] = {}
    for (result, other), beyond in zip(pairs, _beyond_error(pairs), strict=True):
        beaten = Beaten(other.cell.scorer, _difference(other, result), beyond)
        found.setdefault(result.cell, []).append(beaten)
    return [
        replace(result, beaten_by=tuple(found[result.cell])) if result.cell in found else result
        for result in results
    ]


def _difference(a: Result, b: Result) -> float:
    """Return AUROC of a minus AUROC of b; 0 if a number is missing."""
    if a.metrics is None or b.metrics is None:
        return 0.0
    return a.metrics.auroc - b.metrics.auroc


def _beyond_error(pairs: Sequence[tuple[Result, Result]]) -> list[bool | None]:
    """Say whether each pair differs significantly (p <= 0.05); None if the test is impossible."""
    found: list[bool | None] = [is_surely_different(*pair) or None for pair in pairs]
    open_ = [
        (place, ([a], [b]))
        for place, (a, b) in enumerate(pairs)
        if found[place] is None and are_comparable([a], [b])
    ]
    p_values = p_values_each([pair for _, pair in open_])
    for (place, _), p in zip(open_, p_values, strict=True):
        found[place] = None if p is None else p <= LEVEL
    return found
