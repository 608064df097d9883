"""Digest for suites with more results than anybody reads in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.report.enough import MARGIN
from harness.report.epochs import early_enough
from harness.report.ranking import RankingTable, ranking_table
from harness.report.render.ranking import RANKED, ranked_cells
from harness.report.render.sheets import (
    BEATEN,
    WRONG_WAY,
    WRONG_WAY_ROUND,
    CellText,
    TextTable,
    auroc_text,
    cell_texts,
    reasons,
)
from harness.report.significance import is_wrong_way, number
from harness.report.tables import failures
from harness.results import Cell, Result, unit_of
from harness.text import one_line

MOST_CELLS = 2_000
"""Maximum number of results printed in full; beyond the maximum, a digest is printed."""

EXTREMES = 10
"""Number of cells in each list of best and worst cells."""

MOST_JUDGED = 5_000
"""Approximate number of results tested for the early-stopping summary, to limit run time."""


def digest_sheets(results: Sequence[Result]) -> list[TextTable]:
    """Make the digest: ranking, best cells, worst cells, and early stopping."""
    last = list({result.cell: result for result in results}.values())
    sheets = []
    if len({result.cell.scorer for result in last}) > 1:
        sheets += _ranking(ranking_table(last))
    known = [result for result in last if number(result) is not None]
    sheets += [
        _extremes("Best cells", "highest", sorted(known, key=_auroc, reverse=True)),
        _extremes("Worst cells", "lowest", sorted(known, key=_auroc)),
        *_early_enough(last),
    ]
    rest = (
        f"This is a digest of {len(last):,} cells: --format csv has all numbers, "
        "--html FILE makes a page that sorts and filters them, and --all prints all tables."
    )
    final = replace(sheets[-1], notes=[*sheets[-1].notes, *reasons(failures(last)), "", rest])
    return [*sheets[:-1], final]


def _ranking(table: RankingTable) -> list[TextTable]:
    """Make the table of mean ranks; empty if no scorers can be ranked."""
    if table.ranked is None:
        return []
    body = [ranked_cells(table, table.ranked, scorer) for scorer in table.ranked.mean_ranks]
    caption = [
        f"Mean rank over the pairs of ID and OOD set ({table.ranked.pairs}), 1 is best; "
        "--ranking scorers tests the differences.",
        *(f"{one_line(name)} is not ranked, because numbers are missing." for name in table.apart),
    ]
    header = (table.by, *RANKED)
    return [TextTable("Scorers by mean rank", header, body, 1, 1, caption, ())]


def _auroc(result: Result) -> float:
    return number(result) or 0.0


def _extremes(title: str, extreme: str, results: Sequence[Result]) -> TextTable:
    """List the first cell for each scorer, model and pair of data sets."""
    firsts: dict[Cell, Result] = {}
    for result in results:
        firsts.setdefault(result.cell._replace(epoch=0, group_size=0, seed=0), result)
    shown = list(firsts.values())[:EXTREMES]
    caption = [
        f"Cells with the {extreme} AUROC, at most one for each scorer, model and pair of data "
        "sets."
    ]
    if any(is_wrong_way(result) for result in shown):
        caption.append(WRONG_WAY_ROUND)
    if any(result.beaten_by for result in shown):
        caption.append(f"{BEATEN} is beaten by a trivial baseline.")
    places = ("scorer", "model", "in", "out", unit_of(results), "group size", "seed")
    return TextTable(
        title, ["AUROC", *places], [_row(result) for result in shown], 1, 5, caption, ()
    )


def _row(result: Result) -> list[CellText]:
    cell = result.cell
    flags = WRONG_WAY * is_wrong_way(result) + BEATEN * bool(result.beaten_by)
    names = (cell.scorer, cell.model, cell.in_dataset, cell.out_dataset)
    shown = cell_texts(*names, cell.epoch, cell.group_size, cell.seed)
    return [auroc_text(_auroc(result), flags=flags), *shown]


def _early_enough(results: Sequence[Result]) -> list[TextTable]:
    """Make the early-stopping table; empty if no epochs can be compared."""
    found, judged, places = early_enough(results, MOST_JUDGED)
    if not found:
        return []
    body = [
        [
            *cell_texts(early.scorer, f"{early.shown} of {early.rows}"),
            CellText("-" if early.epoch is None else f"{early.epoch:g}"),
            CellText("-" if early.saved is None else f"{100 * early.saved:.0f} %"),
        ]
        for early in found
    ]
    unit = unit_of(results)
    drawn = f"drawn at random from {places:,}" if judged < places else "with none left out"
    caption = [
        f"shown: combinations in which an {unit} before the last is shown not to be worse than "
        f"the last by {MARGIN:g} or more; {unit} and saved share of training are medians over "
        "these.",
        f"{judged:,} combinations of model, data sets and group size, {drawn}; --epochs lists "
        "each combination.",
    ]
    header = ("scorer", "shown", unit, "saved")
    return [TextTable("How early is enough", header, body, 1, 1, caption, ())]
