"""Comparison between our AUROC and published values, formatted for printing."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from harness.metrics.estimates import estimate
from harness.report.render.sheets import CellText, TextTable, as_notes, cell_texts
from harness.report.significance import number
from harness.report.tables import provenance_notes
from harness.results import Published, Result, unit_of
from harness.scoring.published import within_error
from harness.text import one_line

NUMBERS = ("ours", "published", "difference", "within error")
Place = tuple[int, int, str]
"""Row of a table: group size, epoch and OOD data set."""


def published_sheets(results: Sequence[Result]) -> list[TextTable]:
    """Make a table for each model, ID set and scorer with published values.

    Rows are sorted by group size and epoch; OOD data sets keep the order in the results. AUROC and
    standard error are means over the seeds.
    """
    tables: dict[tuple[str, str, str], dict[Place, list[Result]]] = {}
    for cell, result in {result.cell: result for result in results}.items():
        if result.published is not None and number(result) is not None:
            rows = tables.setdefault((cell.model, cell.in_dataset, cell.scorer), {})
            rows.setdefault((cell.group_size, cell.epoch, cell.out_dataset), []).append(result)
    return [_sheet(*key, rows) for key, rows in tables.items()]


def _sheet(model: str, in_dataset: str, scorer: str, rows: dict[Place, list[Result]]) -> TextTable:
    ordered = sorted(rows.items(), key=lambda item: item[0][:2])
    found = [result for _, seeds in ordered for result in seeds]
    compared = [(place, *_compare(seeds)) for place, seeds in ordered]
    return TextTable(
        title=one_line(
            f"Comparison with published values: {model}, in-distribution {in_dataset}, {scorer}"
        ),
        header=("out", "group size", unit_of(found), *NUMBERS),
        body=[_cells(*row) for row in compared],
        lead=3,
        left=1,
        caption=_caption(found, sum(is_within for *_, is_within in compared), len(compared)),
        notes=as_notes(provenance_notes(found)),
    )


def _compare(seeds: Sequence[Result]) -> tuple[Published, float, float, bool]:
    """Return the published value, our AUROC, our error, and whether both agree within error."""
    published = seeds[0].published
    assert published is not None, "rows are made of results that have it"
    ours = fmean(number(result) or 0.0 for result in seeds)
    found = estimate(seeds)
    known = [result.metrics.auroc_se_examples for result in seeds if result.metrics]
    se = fmean(known) if found is None else found.se
    is_within = within_error(ours - published.value, se, published.se)
    return published, ours, se, is_within


def _cells(
    place: Place, published: Published, ours: float, se: float, is_within: bool
) -> list[CellText]:
    group_size, epoch, out = place
    return [
        *cell_texts(out, group_size, epoch),
        CellText(f"{ours:.4f}", beside=f"±{se:.4f}"),
        CellText(f"{published.value:.4f}", beside=f"±{published.se:.4f}"),
        CellText(f"{ours - published.value:+.4f}"),
        CellText("yes" if is_within else "no"),
    ]


def _caption(results: Sequence[Result], within: int, compared: int) -> list[str]:
    """Explain the table, one sentence per line."""
    sources = dict.fromkeys(result.published.source for result in results if result.published)
    seeds = len({result.cell.seed for result in results})
    lines = [
        f"Published: {one_line('; '.join(sources))}.",
        "± is the standard error: for our AUROC as in the tables above; for the published value "
        "by Hanley and McNeil, from the value and the number of groups.",
        f"{within} of {compared} differences, ours minus published, are within error: at most "
        "1.96 standard errors, assuming independent samples.",
    ]
    if seeds > 1:
        lines.append(f"Our AUROC is the mean over {seeds} seeds.")
    return lines
