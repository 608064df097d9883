"""Early stopping, in every format supported by `bench report --epochs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from harness.report.epochs import SPLIT, EpochRow, EpochTable, Verdict, epoch_tables, to_json
from harness.report.render.documents import Printing, render_document
from harness.report.render.sheets import (
    CellText,
    TextTable,
    as_notes,
    auroc_text,
    cell_texts,
    size_range,
)
from harness.results import Result

HEADER = (
    "out",
    "scorer",
    "best epoch",
    "earliest epoch",
    "last epoch",
    "AUROC at best",
    "best - last [95 %]",
    "saved",
)


def render_epochs(results: Sequence[Result], **printing: Unpack[Printing]) -> str:
    """Render early stopping for all results in the requested format."""
    tables = epoch_tables(results)
    rows = [to_json(table, row) for table in tables for row in table.rows]
    along = [list(row.along) for table in tables for row in table.rows]
    whole = [{**row, "along": metrics} for row, metrics in zip(rows, along, strict=True)]
    blank = to_json(EpochTable("", "", 0, (), 0, ()), EpochRow("", "", None, 0, 0))
    return render_document(
        printing,
        found={"split": SPLIT, "epochs": whole},
        rows=rows,
        columns=list(blank),
        sheets=map(sheet, tables),
    )


def sheet(table: EpochTable) -> TextTable:
    """Format an early-stopping table for printing."""
    return TextTable(
        title=f"How early is enough: {table.heading}",
        header=HEADER,
        body=[_cells(row) for row in table.rows],
        lead=2,
        left=2,
        caption=_caption(table),
        notes=as_notes(table.notes),
    )


def _cells(row: EpochRow) -> list[CellText]:
    names = cell_texts(row.out_dataset, row.scorer)
    verdict = row.verdict
    if verdict is None:
        return names + [CellText("-")] * (len(HEADER) - len(names))
    return [
        *names,
        *cell_texts(verdict.best_epoch, verdict.earliest_epoch, verdict.last_epoch),
        auroc_text(verdict.auroc_best),
        _difference(verdict),
        CellText(f"{100 * verdict.training_saved:.0f} %"),
    ]


def _difference(verdict: Verdict) -> CellText:
    if verdict.best_epoch == verdict.last_epoch:
        return CellText("same")
    interval = f" [{verdict.difference_low:+.3f}, {verdict.difference_high:+.3f}]"
    return CellText(f"{verdict.difference:+.3f}", beside=interval)


def _caption(table: EpochTable) -> list[str]:
    """Explain the table, one sentence per line."""
    lines = [
        "The best epoch is chosen by AUROC on half of the groups on each side (even-numbered "
        "groups); everything else is judged on the other half, to avoid selection bias.",
        "The earliest epoch is the first epoch not significantly worse than the best by the "
        "paired DeLong test (p > 0.05, Holm-corrected over the epochs before the best); a "
        "difference that is not significant does not prove equality.",
        "best - last is the difference in AUROC; its 95 % interval is in brackets (DeLong).",
        "saved is the share of training saved by stopping at the earliest epoch, "
        "1 - earliest / last; it means little for an AUROC near 0.5, where no epoch is useful.",
    ]
    if table.seeds > 1:
        lines.append(
            f"Means over {table.seeds} seeds; intervals and tests use the mean standard error."
        )
    verdicts = [row.verdict for row in table.rows if row.verdict]
    if any(
        v.difference_low == v.difference_high and v.best_epoch < v.last_epoch for v in verdicts
    ):
        lines.append(
            "An interval of zero width means that both epochs separate perfectly, and DeLong's "
            "error is 0."
        )
    lacking = sum(row.left_out for row in table.rows)
    if lacking:
        lines.append(
            f"Left out over all rows: {lacking} epochs without scores for the same groups."
        )
    if any(row.verdict is None for row in table.rows):
        lines.append("A dash means that fewer than two epochs can be compared.")
    return lines + _sizes(verdicts)


def _sizes(verdicts: Sequence[Verdict]) -> list[str]:
    if not verdicts:
        return []
    n_in = size_range([verdict.n_in for verdict in verdicts])
    n_out = size_range([verdict.n_out for verdict in verdicts])
    return [f"Judging groups: {n_in} in, {n_out} out."]
