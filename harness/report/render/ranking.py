"""Ranked scorers with costs, in every format supported by `bench report --ranking`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from harness.metrics.ranks import Ranked
from harness.plan.costs import Cost
from harness.report.ranking import RankingTable, Unranked, ranking_table
from harness.report.render.documents import Printing, render_document
from harness.report.render.sheets import CellText, TextTable, as_notes, auroc_text, cell_texts
from harness.results import STATUS_WORDS, Result

COSTS = ("s/example", "extra training", "extra passes")
RANKED = ("scorer", "mean rank", "mean AUROC", "numbers")
APART = ("scorer", "mean AUROC", "numbers", "without")
COLUMNS = ("scorer", "mean_rank", "mean_auroc", "numbers", *vars(Cost(None, None, 0)))
NONE = "-"
MEASURED = (
    "Costs were measured during computation: seconds per example for evaluating all statistics "
    "that a scorer reads, including fits; seconds for training other models that a scorer reads, "
    "per training scored; number of statistics read beyond the model's own log-probability."
)


def render_ranking(
    results: Sequence[Result],
    costs: Mapping[str, Cost],
    **printing: Unpack[Printing],
) -> str:
    """Render the ranking in the requested format.

    Costs are measurements and differ between runs of the same suite. In JSON, costs are in a
    separate field.

    Arguments:
        results: Results, whose order determines the order of scorers without a rank.
        costs: Costs by scorer.
        printing: Options for printing; `csv` has a line per scorer, `json` has everything.
    """
    table = ranking_table(results)
    best = "*" if printing["format"] == "table" else "Bold"
    sheets = [] if table.ranked is None else [_ranked(table, table.ranked, costs, best)]
    if table.apart:
        sheets.append(_unranked_table(table, costs))
    return render_document(
        printing,
        found={
            "ranking": table.to_json(),
            "costs": {name: vars(cost) for name, cost in costs.items()},
        },
        rows=_rows(table, costs),
        columns=COLUMNS,
        sheets=sheets,
    )


def _rows(table: RankingTable, costs: Mapping[str, Cost]) -> list[dict[str, Any]]:
    found = table.to_json()
    blank = Cost(None, None, 0)
    return [
        {"mean_rank": None, **row, **vars(costs.get(row["scorer"], blank))}
        for row in [*found["scorers"], *found["apart"]]
    ]


def _ranked(
    table: RankingTable, ranked: Ranked[str], costs: Mapping[str, Cost], best: str
) -> TextTable:
    lowest = next(iter(ranked.mean_ranks.values()))
    apart = ranked.critical_difference

    def mark(rank: float) -> str:
        if rank == lowest:
            return "*"
        return "~" if apart is not None and rank - lowest < apart else ""

    return TextTable(
        title="Scorers by mean rank",
        header=(*RANKED, *COSTS),
        body=[
            [*ranked_cells(table, ranked, scorer, mark(rank)), *_costs(costs.get(scorer))]
            for scorer, rank in ranked.mean_ranks.items()
        ],
        lead=1,
        left=1,
        caption=[*_caption(table, ranked, best), MEASURED],
        notes=as_notes(table.notes),
    )


def ranked_cells(
    table: RankingTable, ranked: Ranked[str], scorer: str, mark: str = ""
) -> list[CellText]:
    """Format the cells below the `RANKED` header."""
    return [
        *cell_texts(scorer),
        CellText(f"{ranked.mean_ranks[scorer]:.2f}", mark),
        auroc_text(ranked.aurocs[scorer]),
        _numbers(table, scorer),
    ]


def _unranked_table(table: RankingTable, costs: Mapping[str, Cost]) -> TextTable:
    return TextTable(
        title="Scorers without a rank, because numbers are missing",
        header=(*APART, *COSTS),
        body=[
            [
                *cell_texts(scorer),
                CellText(NONE) if found.auroc is None else auroc_text(found.auroc),
                _numbers(table, scorer),
                CellText(_reasons(found)),
                *_costs(costs.get(scorer)),
            ]
            for scorer, found in table.apart.items()
        ],
        lead=1,
        left=1,
        caption=["AUROC is the mean over different blocks here than for the ranked scorers."],
        notes=[],
    )


def _reasons(found: Unranked) -> str:
    """Count the missing numbers by reason."""
    return ", ".join(
        f"{count} {STATUS_WORDS.get(why, why)}" for why, count in found.reasons.items()
    )


def _numbers(table: RankingTable, scorer: str) -> CellText:
    return CellText(f"{table.numbers[scorer]}/{table.blocks}")


def _costs(cost: Cost | None) -> list[CellText]:
    if cost is None:
        return [CellText(NONE)] * len(COSTS)
    return [
        CellText(NONE if cost.seconds_per_example is None else f"{cost.seconds_per_example:.2g}"),
        CellText(_seconds(cost.extra_training)),
        CellText(str(cost.extra_passes)),
    ]


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return NONE
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def _caption(table: RankingTable, ranked: Ranked[str], best: str) -> list[str]:
    """Explain the table, one sentence per line."""
    pairs = "the only pair" if ranked.pairs == 1 else f"{ranked.pairs} pairs"
    lines = [
        f"Mean rank over {pairs} of ID and OOD set, 1 is best: scorers are ranked by mean "
        "AUROC in each pair, over models, epochs, group sizes and seeds.",
        f"Ranked over the {ranked.blocks} of {table.blocks} blocks (model, data sets, epoch, "
        "group size, seed) in which all ranked scorers have a number.",
    ]
    if ranked.critical_difference is None or ranked.friedman is None:
        lines.append(
            f"{best} is the best; with fewer than two pairs or scorers, nothing can be tested."
        )
    else:
        lines.append(
            f"{best} is the best; ~ does not differ significantly from the best: mean ranks "
            f"differ if at least {ranked.critical_difference:.2f} apart (Nemenyi, p = 0.05). "
            f"Friedman's test of no difference at all: p = {ranked.friedman[1]:.2g}."
        )
    return lines
