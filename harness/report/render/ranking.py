"""Ranked scorers with costs, or models with bits per dimension, in every supported format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from harness.metrics.ranks import LEAST_SHARE, Ranked
from harness.plan.costs import Cost
from harness.report.ranking import Density, RankingTable, Unranked, densities, ranking_table
from harness.report.render.documents import Printing, render_document
from harness.report.render.sheets import CellText, TextTable, as_notes, auroc_text, cell_texts
from harness.report.tables import BITS_SIGNS
from harness.results import STATUS_WORDS, Result, bits_unit_of
from harness.text import one_line

COSTS = ("s/example", "extra training", "extra passes")
RANKED = ("mean rank", "mean AUROC", "numbers")
APART = ("mean AUROC", "numbers", "without")
COLUMNS = ("mean_rank", "mean_auroc", "numbers")
NONE = "-"
MEASURED = (
    "Costs were measured during computation: seconds per example for evaluating all statistics "
    "that a scorer reads, including fits; seconds for training other models that a scorer reads, "
    "per training scored; number of statistics read beyond the model's own log-probability."
)
BITS_RANKED = (
    "{unit} is the mean over in-distribution sets, epochs and seeds; its rank compares models "
    "with the same kind of likelihood only, where all of them have a number."
)
BITS_KINDS = {
    "exact": "Without a sign: from an exact log-probability.",
    "lower_bound": "≤ is an upper bound of {unit}, from a lower bound of the log-probability.",
    "estimate": "≈ is an estimate, no bound.",
    "unnormalized": "There is no {unit} for an unnormalized log-probability ({models}).",
}


@dataclass(frozen=True)
class _Beside:
    """Columns beside the ranks.

    Attributes:
        header: Names in tables.
        columns: Names in CSV.
        values: For a scorer or model, the values by CSV column.
        cells: For a scorer or model, the cells below the header.
        caption: Sentences that explain the columns.
    """

    header: Sequence[str]
    columns: Sequence[str]
    values: Callable[[str], Mapping[str, object]]
    cells: Callable[[str], list[CellText]]
    caption: Sequence[str]


def render_ranking(
    results: Sequence[Result],
    costs: Mapping[str, Cost],
    **printing: Unpack[Printing],
) -> str:
    """Render the ranking of the scorers in the requested format.

    Costs are measurements and differ between runs of the same suite. In JSON, costs are in a
    separate field.

    Arguments:
        results: Results, whose order determines the order of scorers without a rank.
        costs: Costs by scorer.
        printing: Options for printing; `csv` has a line per scorer, `json` has everything.
    """
    beside = _Beside(
        COSTS,
        tuple(vars(Cost(None, None, 0))),
        lambda name: vars(costs.get(name, Cost(None, None, 0))),
        lambda name: _costs(costs.get(name)),
        [MEASURED],
    )
    found = {"costs": {name: vars(cost) for name, cost in costs.items()}}
    return _rendered(ranking_table(results), beside, found, printing)


def render_model_ranking(results: Sequence[Result], **printing: Unpack[Printing]) -> str:
    """Render the ranking of the models, with bits per dimension; see `render_ranking`."""
    found, unit = densities(results), bits_unit_of(results)
    beside = _Beside(
        (unit, f"{unit} rank"),
        tuple(Density(None, None, None, 0).to_json()),
        lambda name: found[name].to_json(),
        lambda name: _density(found[name]),
        [
            BITS_RANKED.format(unit=unit),
            *_kinds(found, unit),
        ],
    )
    more = {"bits_per_dim": {name: density.to_json() for name, density in found.items()}}
    return _rendered(ranking_table(results, "model"), beside, more, printing)


def _kinds(found: Mapping[str, Density], unit: str) -> Iterator[str]:
    """Yield a sentence for each kind of likelihood of the models."""
    for kind, text in BITS_KINDS.items():
        models = [one_line(name) for name, x in found.items() if x.likelihood == kind]
        if models:
            yield text.format(unit=unit, models=", ".join(models))


def _rendered(
    table: RankingTable, beside: _Beside, found: Mapping[str, Any], printing: Printing
) -> str:
    best = "*" if printing["format"] == "table" else "Bold"
    sheets = [] if table.ranked is None else [_ranked(table, table.ranked, beside, best)]
    if table.apart:
        sheets.append(_unranked_table(table, beside))
    listed = table.to_json()
    rows = [
        {"mean_rank": None, **row, **beside.values(row[table.by])}
        for row in [*listed[f"{table.by}s"], *listed["apart"]]
    ]
    return render_document(
        printing,
        found={"ranking": listed, **found},
        rows=rows,
        columns=(table.by, *COLUMNS, *beside.columns),
        sheets=sheets,
    )


def _ranked(table: RankingTable, ranked: Ranked[str], beside: _Beside, best: str) -> TextTable:
    lowest = next(iter(ranked.mean_ranks.values()))
    apart = ranked.critical_difference

    def mark(rank: float) -> str:
        if rank == lowest:
            return "*"
        return "~" if apart is not None and rank - lowest < apart else ""

    return TextTable(
        title=f"{table.by.capitalize()}s by mean rank",
        header=(table.by, *RANKED, *beside.header),
        body=[
            [*ranked_cells(table, ranked, name, mark(rank)), *beside.cells(name)]
            for name, rank in ranked.mean_ranks.items()
        ],
        lead=1,
        left=1,
        caption=[*_caption(table, ranked, best), *beside.caption],
        notes=as_notes(table.notes),
    )


def ranked_cells(
    table: RankingTable, ranked: Ranked[str], name: str, mark: str = ""
) -> list[CellText]:
    """Format the name and the cells below the `RANKED` header."""
    return [
        *cell_texts(name),
        CellText(f"{ranked.mean_ranks[name]:.2f}", mark),
        auroc_text(ranked.means[name]),
        _numbers(table, name),
    ]


def _unranked_table(table: RankingTable, beside: _Beside) -> TextTable:
    return TextTable(
        title=f"{table.by.capitalize()}s without a rank",
        header=(table.by, *APART, *beside.header),
        body=[
            [
                *cell_texts(name),
                CellText(NONE) if found.auroc is None else auroc_text(found.auroc),
                _numbers(table, name),
                CellText(_reasons(found)),
                *beside.cells(name),
            ]
            for name, found in table.apart.items()
        ],
        lead=1,
        left=1,
        caption=_why_apart(table),
        notes=[],
    )


def _why_apart(table: RankingTable) -> list[str]:
    """Explain the table of scorers or models without a rank, one sentence per line."""
    if table.ranked is None:
        return [
            f"Nothing is ranked: a ranking needs two {table.by}s, and blocks {_block(table)} in "
            f"which all ranked {table.by}s have a number. --only selects a part of a suite."
        ]
    return [
        f"With these {table.by}s, fewer than {100 * LEAST_SHARE:g} % of the blocks would have a "
        f"number for all ranked {table.by}s.",
        f"AUROC is the mean over different blocks here than for the ranked {table.by}s.",
    ]


def _block(table: RankingTable) -> str:
    other = "model" if table.by == "scorer" else "scorer"
    return f"({other}, data sets, {table.unit}, group size, seed)"


def _reasons(found: Unranked) -> str:
    """Count the missing numbers by reason."""
    counts = (f"{count} {STATUS_WORDS.get(why, why)}" for why, count in found.reasons.items())
    return ", ".join(counts) or NONE


def _numbers(table: RankingTable, name: str) -> CellText:
    return CellText(f"{table.numbers[name]}/{table.blocks}")


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


def _density(density: Density) -> list[CellText]:
    sign = BITS_SIGNS.get(density.likelihood or "", "")
    bits, rank = density.bits_per_dim, density.rank
    return [
        CellText(NONE if bits is None else f"{sign}{bits:.3f}"),
        CellText(NONE if rank is None else f"{rank:.2f} of {density.models}"),
    ]


def _caption(table: RankingTable, ranked: Ranked[str], best: str) -> list[str]:
    """Explain the table, one sentence per line."""
    pairs = "the only pair" if ranked.pairs == 1 else f"{ranked.pairs} pairs"
    other = "models" if table.by == "scorer" else "scorers"
    lines = [
        f"Mean rank over {pairs} of ID and OOD set, 1 is best: {table.by}s are ranked by mean "
        f"AUROC in each pair, over {other}, {table.unit}s, group sizes and seeds; mean AUROC is "
        "the mean over the pairs.",
        f"Ranked over the {ranked.blocks} of {table.blocks} blocks {_block(table)} in which all "
        f"ranked {table.by}s have a number.",
    ]
    if ranked.critical_difference is None or ranked.friedman is None:
        lines.append(f"{best} is the best; with a single pair, nothing can be tested.")
    else:
        lines.append(
            f"{best} is the best; ~ does not differ significantly from the best: mean ranks "
            f"differ if at least {ranked.critical_difference:.2f} apart (Nemenyi, p = 0.05). "
            f"Friedman's test of no difference at all: p = {ranked.friedman[1]:.2g}."
        )
    return lines
