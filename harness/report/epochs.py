"""How early is enough, in plain data: epochs shown not to be worse by a margin.

The rules are in `harness.report.enough`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Any

from harness.report.enough import MARGIN, RULES, Answer, Rule, Search, comparable, means
from harness.report.significance import Seeds
from harness.report.tables import ModelTable, by_table, provenance_notes
from harness.results import Result, unit_of


@dataclass(frozen=True)
class EpochRow:
    """A scorer against an OOD data set.

    Attributes:
        answers: An answer per rule; empty if fewer than two epochs can be compared.
        last_epoch: The last compared epoch; `auroc_last` and `ovl_last` are its numbers.
        n_in: Number of ID groups; `n_out` counts OOD groups.
        compared: Number of epochs compared.
        left_out: Number of epochs skipped because some seed lacks scores for the same groups.
        along: All metrics at each epoch, ascending: means over the seeds with a number, or None if
            any such seed lacks the metric.
    """

    out_dataset: str
    scorer: str
    answers: tuple[Answer, ...]
    last_epoch: int | None = None
    auroc_last: float | None = None
    ovl_last: float | None = None
    n_in: int | None = None
    n_out: int | None = None
    compared: int = 0
    left_out: int = 0
    along: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class EpochTable(ModelTable):
    """How early is enough, for a model on an in-distribution data set at a group size.

    Attributes:
        margin: The largest loss of AUROC that counts as no loss.
        n_fit: Distinct counts of fit groups of the scorers that are fitted.
    """

    margin: float
    rows: tuple[EpochRow, ...]
    seeds: int
    n_fit: tuple[int, ...]
    notes: tuple[str, ...]
    unit: str


def epoch_tables(
    results: Sequence[Result], margin: float = MARGIN, rules: Sequence[Rule] = RULES
) -> list[EpochTable]:
    """Make a table for each model, in-distribution data set and group size, in result order.

    Rows are sorted by OOD data set, then scorer, in the order of the results. If two results are
    for the same cell, the later result counts. With several seeds, numbers are means, and limits
    include the spread between trainings. Time grows with the number of epochs, and for the rule
    `any` with its square.
    """
    return [_table(*key, group, margin, rules) for key, group in by_table(results).items()]


@dataclass(frozen=True)
class EarlyEnough:
    """How early is enough for a scorer, over all rows with an answer.

    Attributes:
        rows: Number of rows.
        shown: Number of rows in which an epoch before the last is enough against the last.
        epoch: Median of these epochs; None without any.
        saved: Median share of training saved in these rows.
    """

    scorer: str
    rows: int
    shown: int
    epoch: float | None
    saved: float | None


def early_enough(results: Sequence[Result], most: int) -> tuple[list[EarlyEnough], int, int]:
    """Summarise for each scorer how early is enough against the last epoch.

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
    answers: dict[str, list[Answer]] = {result.cell.scorer: [] for result in results}
    for place in chosen:
        for row in (
            row for table in epoch_tables(places[place], rules=["last"]) for row in table.rows
        ):
            answers[row.scorer] += row.answers
    return [_in_short(*item) for item in answers.items() if item[1]], count, len(places)


def _in_short(scorer: str, answers: Sequence[Answer]) -> EarlyEnough:
    shown = [(x.epoch, x.training_saved) for x in answers if x.epoch is not None]
    early = [(epoch, saved) for epoch, saved in shown if saved is not None]
    if not early:
        return EarlyEnough(scorer, len(answers), 0, None, None)
    epochs, saved = zip(*early, strict=True)
    return EarlyEnough(scorer, len(answers), len(early), median(epochs), median(saved))


def to_json(table: EpochTable, row: EpochRow, answer: Answer | None) -> dict[str, Any]:
    """Convert an answer to JSON for `bench report --epochs`; without one, its values are null."""
    values = answer or (None,) * len(Answer._fields)
    return {
        "model": table.model,
        "in": table.in_dataset,
        "out": row.out_dataset,
        "scorer": row.scorer,
        "group_size": table.group_size,
        "seeds": table.seeds,
        "unit": table.unit,
        "epochs_compared": row.compared,
        "epochs_left_out": row.left_out,
        "n_in": row.n_in,
        "n_out": row.n_out,
        "margin": table.margin,
        "last_epoch": row.last_epoch,
        "auroc_last": row.auroc_last,
        "ovl_scores_last": row.ovl_last,
        **dict(zip(Answer._fields, values, strict=True)),
    }


def _table(
    model: str,
    in_dataset: str,
    group_size: int,
    results: Sequence[Result],
    margin: float,
    rules: Sequence[Rule],
) -> EpochTable:
    rows: dict[str, dict[str, dict[int, dict[int, Result]]]] = {}
    for result in results:
        cell = result.cell
        epochs = rows.setdefault(cell.out_dataset, {}).setdefault(cell.scorer, {})
        epochs.setdefault(cell.epoch, {})[cell.seed] = result
    n_fit = {result.metrics.n_fit for result in results if result.metrics}
    return EpochTable(
        model=model,
        in_dataset=in_dataset,
        group_size=group_size,
        margin=margin,
        rows=tuple(
            _row(out, scorer, epochs, margin, rules)
            for out, scorers in rows.items()
            for scorer, epochs in scorers.items()
        ),
        seeds=len({result.cell.seed for result in results}),
        n_fit=tuple(sorted(count for count in n_fit if count)),
        notes=provenance_notes(results),
        unit=unit_of(results),
    )


def _row(
    out: str, scorer: str, epochs: Mapping[int, Seeds], margin: float, rules: Sequence[Rule]
) -> EpochRow:
    usable = comparable(epochs)
    along = tuple({"epoch": epoch, **means(epochs[epoch])} for epoch in sorted(epochs))
    left_out = len(epochs) - len(usable)
    if len(usable) < 2:
        return EpochRow(out, scorer, (), compared=len(usable), left_out=left_out, along=along)
    search = Search(usable, margin)
    last = search.numbers[-1]
    return EpochRow(
        out,
        scorer,
        tuple(search.answer(rule) for rule in rules),
        last_epoch=search.epochs[-1],
        auroc_last=last["auroc"],
        ovl_last=last["ovl_scores"],
        n_in=search.evidence.wins_in.shape[-1],
        n_out=search.evidence.wins_out.shape[-1],
        compared=len(usable),
        left_out=left_out,
        along=along,
    )
