"""Early stopping in plain data: the best epoch, the earliest equally good epoch, the last epoch.

Choosing the best epoch and judging the choice on the same groups would be biased. Even-numbered
groups on each side therefore choose the epoch, and odd-numbered groups judge the choice. Groups
are consecutive examples in a recorded random draw, so parity is a recorded random split, for ID
and OOD groups alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean, median
from typing import Any, NamedTuple

from harness.metrics.intervals import LEVEL, Z_95
from harness.metrics.paired import delong_difference, holm, p_value, z_ratio
from harness.metrics.placements import Floats
from harness.metrics.roc import auroc
from harness.report.significance import Seeds, metrics_of, number
from harness.report.tables import ModelTable, by_table, provenance_notes
from harness.results import Metrics, Result

CHOOSE, JUDGE = slice(0, None, 2), slice(1, None, 2)
"""Groups used to choose the best epoch, and groups used to judge the choice."""

SPLIT = "even-numbered groups of each side choose the best epoch, odd-numbered groups judge it"

LEAST = 4
"""Minimum number of groups per side: a paired test needs two in the judging half."""


class Verdict(NamedTuple):
    """Comparison between the epochs in a row. JSON and CSV have a column for each field.

    Attributes:
        best_epoch: The epoch with the highest AUROC on the choosing half, averaged over the seeds;
            the first epoch if several are equal.
        earliest_epoch: The first epoch not significantly worse than the best on the judging half,
            by paired DeLong tests for all epochs before the best, Holm-corrected over all tests.
        auroc_best: Best-epoch AUROC on the judging half; `auroc_last` is the last-epoch AUROC.
        difference: Best-epoch AUROC minus last-epoch AUROC on the judging half; `difference_low`
            and `difference_high` are the DeLong 95 % interval.
        training_saved: Share of training saved by the earliest epoch: 1 - earliest / last.
        n_in: ID groups in the judging half; `n_out` counts the OOD groups.
    """

    best_epoch: int
    earliest_epoch: int
    last_epoch: int
    auroc_best: float
    auroc_last: float
    difference: float
    difference_low: float
    difference_high: float
    training_saved: float
    n_in: int
    n_out: int


@dataclass(frozen=True)
class EpochRow:
    """A scorer against an OOD data set.

    Attributes:
        verdict: None if fewer than two epochs can be compared.
        compared: Number of epochs compared.
        left_out: Number of epochs skipped because some seed lacks scores for the same groups.
        along: All metrics at each epoch, ascending, on all groups: means over the seeds with a
            number, or None if any such seed lacks the metric.
    """

    out_dataset: str
    scorer: str
    verdict: Verdict | None
    compared: int
    left_out: int
    along: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class EpochTable(ModelTable):
    """Early stopping for a model on an in-distribution data set at a group size."""

    rows: tuple[EpochRow, ...]
    seeds: int
    notes: tuple[str, ...]


def epoch_tables(results: Sequence[Result]) -> list[EpochTable]:
    """Make a table for each model, in-distribution data set and group size, in result order.

    Rows are sorted by OOD data set, then scorer, in the order of the results. If two results are
    for the same cell, the later result counts. With several seeds, AUROC, differences and standard
    errors are means over the seeds, like in the AUROC tables.
    """
    return [_table(*key, group) for key, group in by_table(results).items()]


@dataclass(frozen=True)
class EarlyEnough:
    """Early stopping for a scorer: medians over all rows with this scorer.

    Attributes:
        rows: Number of rows with a verdict.
    """

    scorer: str
    rows: int
    best: float
    earliest: float
    last: float
    saved: float


def early_enough(results: Sequence[Result], most: int) -> tuple[list[EarlyEnough], int, int]:
    """Summarise early stopping for each scorer.

    Arguments:
        results: Results whose order determines the order of the scorers.
        most: Approximate maximum number of results to judge. Beyond the maximum, rows are sampled
            at random: the same rows in every call and for every scorer.

    Returns:
        The scorers, the count of judged places (model, data sets, group size), and the total
        count of places.
    """
    places: dict[tuple[str, str, str, int], list[Result]] = {}
    for result in results:
        cell = result.cell
        place = (cell.model, cell.in_dataset, cell.out_dataset, cell.group_size)
        places.setdefault(place, []).append(result)
    count = min(len(places), max(1, most * len(places) // max(1, len(results))))
    chosen = Random(0).sample(list(places), count)
    verdicts: dict[str, list[Verdict]] = {result.cell.scorer: [] for result in results}
    for place in chosen:
        for row in (row for table in epoch_tables(places[place]) for row in table.rows):
            if row.verdict is not None:
                verdicts[row.scorer].append(row.verdict)
    return [_in_short(*item) for item in verdicts.items() if item[1]], count, len(places)


def _in_short(scorer: str, verdicts: Sequence[Verdict]) -> EarlyEnough:
    columns = ((v.best_epoch, v.earliest_epoch, v.last_epoch, v.training_saved) for v in verdicts)
    return EarlyEnough(scorer, len(verdicts), *map(median, zip(*columns, strict=True)))


def to_json(table: EpochTable, row: EpochRow) -> dict[str, Any]:
    """Convert a row to JSON for `bench report --epochs`; without a verdict, values are null."""
    verdict = row.verdict or (None,) * len(Verdict._fields)
    return {
        "model": table.model,
        "in": table.in_dataset,
        "out": row.out_dataset,
        "scorer": row.scorer,
        "group_size": table.group_size,
        "seeds": table.seeds,
        "epochs_compared": row.compared,
        "epochs_left_out": row.left_out,
        **dict(zip(Verdict._fields, verdict, strict=True)),
    }


def _table(model: str, in_dataset: str, group_size: int, results: Sequence[Result]) -> EpochTable:
    rows: dict[str, dict[str, dict[int, dict[int, Result]]]] = {}
    for result in results:
        cell = result.cell
        epochs = rows.setdefault(cell.out_dataset, {}).setdefault(cell.scorer, {})
        epochs.setdefault(cell.epoch, {})[cell.seed] = result
    return EpochTable(
        model=model,
        in_dataset=in_dataset,
        group_size=group_size,
        rows=tuple(
            _row(out, scorer, epochs)
            for out, scorers in rows.items()
            for scorer, epochs in scorers.items()
        ),
        seeds=len({result.cell.seed for result in results}),
        notes=provenance_notes(results),
    )


def _row(out: str, scorer: str, epochs: Mapping[int, Seeds]) -> EpochRow:
    usable = _comparable(epochs)
    verdict = _verdict(usable) if len(usable) > 1 else None
    along = tuple({"epoch": epoch, **_means(epochs[epoch])} for epoch in sorted(epochs))
    return EpochRow(out, scorer, verdict, len(usable), len(epochs) - len(usable), along)


def _means(seeds: Seeds) -> dict[str, float | None]:
    """Average each metric over the seeds with a number."""
    known = [metrics for result in seeds.values() if (metrics := metrics_of(result)) is not None]
    columns = zip(*known, strict=True) if known else [(None,)] * len(Metrics._fields)
    return {
        name: None if None in values else fmean(values)
        for name, values in zip(Metrics._fields, columns, strict=True)
    }


def _comparable(epochs: Mapping[int, Seeds]) -> dict[int, Seeds]:
    """Select the epochs, ascending, that share groups and seeds with the last complete epoch."""
    groups = {epoch: _groups(epochs[epoch]) for epoch in sorted(epochs)}
    most = max(len(found) for found in groups.values())
    same = [found for found in groups.values() if found and len(found) == most][-1:]
    return {epoch: epochs[epoch] for epoch, found in groups.items() if found in same}


def _groups(seeds: Seeds) -> tuple[tuple[Any, ...], ...]:
    """Identify the groups scored at an epoch, for each seed with enough scores to be judged."""
    return tuple(
        (seed, *map(len, result.scores), result.provenance.get("draw_seed"))
        for seed, result in sorted(seeds.items())
        if number(result) is not None
        and result.scores is not None
        and min(map(len, result.scores)) >= LEAST
    )


def _verdict(epochs: Mapping[int, Seeds]) -> Verdict:
    last = max(epochs)
    best = max(epochs, key=lambda epoch: _auroc(epochs[epoch], CHOOSE))  # max takes the first
    earlier = [epoch for epoch in epochs if epoch < best]
    tests = [_difference(epochs[best], epochs[epoch]) for epoch in earlier]
    adjusted = holm([p_value(z_ratio(*test)) for test in tests])
    worse = {
        epoch
        for epoch, (difference, _), p in zip(earlier, tests, adjusted, strict=True)
        if difference > 0 and p <= LEVEL
    }
    earliest = next(epoch for epoch in [*earlier, best] if epoch not in worse)
    difference, se = _difference(epochs[best], epochs[last])
    scores_in, scores_out = next(_halves(epochs[best], JUDGE))
    return Verdict(
        best_epoch=best,
        earliest_epoch=earliest,
        last_epoch=last,
        auroc_best=_auroc(epochs[best], JUDGE),
        auroc_last=_auroc(epochs[last], JUDGE),
        difference=difference,
        difference_low=difference - Z_95 * se,
        difference_high=difference + Z_95 * se,
        training_saved=1.0 - earliest / last,
        n_in=len(scores_in),
        n_out=len(scores_out),
    )


def _halves(seeds: Seeds, half: slice) -> Iterator[tuple[Floats, Floats]]:
    """Yield ID and OOD scores for half of the groups, seed by seed."""
    for _, result in sorted(seeds.items()):
        if result.scores is not None:
            yield result.scores[0][half], result.scores[1][half]


def _auroc(seeds: Seeds, half: slice) -> float:
    return fmean(auroc(*sides) for sides in _halves(seeds, half))


def _difference(a: Seeds, b: Seeds) -> tuple[float, float]:
    """Compute the AUROC difference a - b on the judging half, and the mean standard error."""
    pairs = zip(_halves(a, JUDGE), _halves(b, JUDGE), strict=True)
    found = [delong_difference(*of_a, *of_b) for of_a, of_b in pairs]
    return fmean(x.difference for x in found), fmean(x.se for x in found)
