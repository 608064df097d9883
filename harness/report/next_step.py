"""Suggestion of the next cell to look at, by rules in a fixed order.

The suggestion is deterministic: equal results give equal sentences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from harness.report.significance import metrics_of, number
from harness.results import Cell, Result, place
from harness.text import counted


class Interval(NamedTuple):
    """An AUROC with its 95 % interval."""

    auroc: float
    auroc_low: float
    auroc_high: float


def next_look(results: Sequence[Result]) -> list[str]:
    """Suggest the next cell to look at, in one sentence.

    The first applicable rule decides. If no rule applies, the list is empty.

     1. Cells lack a number: report the most frequent reason. Cells with status `unsupported` do
        not count, because nothing can be done about them.
     2. A trivial baseline beats the best scorer of a place beyond error: report the largest lead.
        If no best scorer is beaten, report the largest lead over any scorer.
     3. No scorer with a number is above chance beyond error at any epoch and seed: among the pairs
        (model, ID, OOD, group size) whose highest lower bound of a 95 % interval is at most 0.5,
        report the lowest.
     4. Scorers disagree: report the cell where the 95 % intervals are farthest apart.
     5. The least certain number: report the widest 95 % interval.

    Ties are decided by the order of the results.
    """
    for rule in (_lacking, _beaten, _blind, _disagreement, _widest):
        if found := rule(results):
            return [f"Look next at {found}."]
    return []


def _lacking(results: Sequence[Result]) -> str:
    reasons = Counter(
        (result.status, result.message)
        for result in results
        if number(result) is None and result.status != "unsupported"
    )
    if not reasons:
        return ""
    ((status, message), count), *_ = reasons.most_common(1)
    why = f"failed: {message}" if status in ("ok", "failed") else f"{status}: {message}"
    return f"{counted(count, 'cell')} without a number ({why.strip().removesuffix(':')})"


def _beaten(results: Sequence[Result]) -> str:
    baselines = {beaten.scorer for result in results for beaten in result.beaten_by}
    places: dict[Cell, list[Result]] = {}
    for result in results:
        if number(result) is not None and result.cell.scorer not in baselines:
            places.setdefault(result.cell._replace(scorer=""), []).append(result)
    best = [max(found, key=lambda result: number(result) or 0.0) for found in places.values()]
    for candidates, is_best in ((best, True), (results, False)):
        found = [
            (result, beaten)
            for result in candidates
            for beaten in result.beaten_by
            if beaten.beyond_error and number(result) is not None
        ]
        if found:
            result, beaten = max(found, key=lambda pair: pair[1].difference)
            name = result.cell.scorer
            is_one_of_many = is_best and len(places[result.cell._replace(scorer="")]) > 1
            than = f"every scorer, the best of which is {name}" if is_one_of_many else name
            return (
                f"{place(result)}: the trivial baseline {beaten.scorer} is "
                f"{beaten.difference:.3f} above {than}"
            )
    return ""


def _blind(results: Sequence[Result]) -> str:
    pairs: dict[Cell, list[tuple[Interval, Result]]] = {}
    for metrics, result in _known(results):
        pair = result.cell._replace(scorer="", epoch=0, seed=0)
        pairs.setdefault(pair, []).append((metrics, result))
    if not pairs:
        return ""
    best = [max(found, key=lambda item: item[0].auroc_low) for found in pairs.values()]
    metrics, result = min(best, key=lambda item: item[0].auroc_low)
    if metrics.auroc_low > 0.5:
        return ""
    cell, unit = result.cell, result.unit
    pair_of_cell = pairs[cell._replace(scorer="", epoch=0, seed=0)]
    scorers = {other.cell.scorer for _, other in pair_of_cell}
    none = f"none of the {len(scorers)} scorers" if len(scorers) > 1 else "the only scorer"
    verb = "is" if len(scorers) > 1 else "is not"
    return (
        f"{cell.model}, {cell.in_dataset} against {cell.out_dataset}, group size "
        f"{cell.group_size}: {none} there {verb} above chance beyond error at any {unit}; the "
        f"closest is {cell.scorer} at {unit} {cell.epoch} with {metrics.auroc:.3f}"
    )


def _disagreement(results: Sequence[Result]) -> str:
    cells: dict[Cell, list[tuple[Interval, Result]]] = {}
    for metrics, result in _known(results):
        cells.setdefault(result.cell._replace(scorer=""), []).append((metrics, result))
    widest, pair = 0.0, None
    for found in cells.values():
        best = max(found, key=lambda item: item[0].auroc_low)
        worst = min(found, key=lambda item: item[0].auroc_high)
        gap = best[0].auroc_low - worst[0].auroc_high
        if gap > widest:
            widest, pair = gap, (best, worst)
    if pair is None:
        return ""
    (high_metrics, high), (low_metrics, low) = pair
    return (
        f"{place(high)}, where the scorers disagree most: {high_metrics.auroc:.3f} by "
        f"{high.cell.scorer}, {low_metrics.auroc:.3f} by {low.cell.scorer}"
    )


def _widest(results: Sequence[Result]) -> str:
    known = _known(results)
    if not known:
        return ""
    metrics, result = max(known, key=lambda item: item[0].auroc_high - item[0].auroc_low)
    if metrics.auroc_high == metrics.auroc_low:
        return ""
    return (
        f"{place(result)}, {result.cell.scorer}, the least certain number: {metrics.auroc:.3f} "
        f"with a 95 % interval from {metrics.auroc_low:.3f} to {metrics.auroc_high:.3f}"
    )


def _known(results: Sequence[Result]) -> list[tuple[Interval, Result]]:
    """Return each result that has an interval, and the interval."""
    return [(found, x) for x in results if (found := _interval(x)) is not None]


def _interval(result: Result) -> Interval | None:
    metrics = metrics_of(result)
    if metrics is None or metrics.auroc_low is None or metrics.auroc_high is None:
        return None
    return Interval(metrics.auroc, metrics.auroc_low, metrics.auroc_high)
