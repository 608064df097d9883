"""Tables of the epochs that are early enough, in every format of `bench report --epochs`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Unpack

from harness.report.enough import MARGIN, Answer
from harness.report.epochs import (
    EpochRow,
    EpochTable,
    epoch_tables,
    to_json,
)
from harness.report.notes import coverage
from harness.report.render.documents import Printing, render_document
from harness.report.render.sheets import (
    CellText,
    TextTable,
    as_notes,
    cell_texts,
    size_range,
)
from harness.results import Result

COLUMNS = 9
"""Number of columns of the table."""


def render_epochs(
    results: Sequence[Result], *, margin: float = MARGIN, **printing: Unpack[Printing]
) -> str:
    """Render how early is enough, for all results, in the requested format."""
    tables = epoch_tables(results, margin)
    found = [
        (to_json(table, row, answer), row)
        for table in tables
        for row in table.rows
        for answer in row.answers or (None,)
    ]
    blank = EpochTable("", "", 0, margin, (), 0, (), (), "")
    return render_document(
        printing,
        found={"epochs": [{**values, "along": list(row.along)} for values, row in found]},
        rows=[values for values, _ in found],
        columns=list(to_json(blank, EpochRow("", "", ()), None)),
        sheets=map(sheet, tables),
    )


def sheet(table: EpochTable) -> TextTable:
    """Format a table for printing."""
    return TextTable(
        title=f"How early is enough: {table.heading}",
        header=[
            *("out", "scorer", "rule", table.unit, "AUROC (last)", "OVL (last)"),
            *(f"{table.unit} - last [95 %]", "saved", f"groups for an earlier {table.unit}"),
        ],
        body=[
            _cells(row, answer, table.unit)
            for row in table.rows
            for answer in row.answers or (None,)
        ],
        lead=3,
        left=3,
        caption=_caption(table),
        notes=as_notes(table.notes),
    )


def _cells(row: EpochRow, answer: Answer | None, unit: str) -> list[CellText]:
    names = cell_texts(row.out_dataset, row.scorer)
    if answer is None:
        return names + [CellText("-")] * (COLUMNS - len(names))
    rule = answer.rule if answer.rule == "paper" else f"{answer.rule} {unit}"
    needed = _groups(row, answer.times)
    if answer.epoch is None:
        return [*names, *cell_texts(rule, "not shown"), *_dashes(4), needed]
    saved = answer.training_saved
    return [
        *names,
        *cell_texts(rule, answer.epoch),
        CellText(_beside_last(answer.auroc, row.auroc_last), auroc=answer.auroc),
        CellText(_beside_last(answer.ovl_scores, row.ovl_last)),
        _difference(row, answer),
        CellText("-" if saved is None else f"{100 * saved:.0f} %"),
        needed,
    ]


def _dashes(count: int) -> list[CellText]:
    return [CellText("-")] * count


def _beside_last(value: float | None, last: float | None) -> str:
    shown, at_last = ("-" if x is None else f"{x:.3f}" for x in (value, last))
    return f"{shown} ({at_last})"


def _difference(row: EpochRow, answer: Answer) -> CellText:
    if answer.epoch == row.last_epoch or answer.difference is None:
        return CellText("same")
    low, high = answer.difference_low, answer.difference_high
    interval = "" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]"
    return CellText(f"{answer.difference:+.3f}", beside=interval)


def _groups(row: EpochRow, times: float | None) -> CellText:
    """Format the numbers of groups with which an earlier epoch would be shown."""
    if times is None or row.n_in is None or row.n_out is None:
        return CellText("-")
    n_in, n_out = (math.ceil(times * size) for size in (row.n_in, row.n_out))
    return CellText(f"{n_in:,} in, {n_out:,} out")


def _caption(table: EpochTable) -> list[str]:
    """Explain the table, one sentence per line."""
    margin, unit = f"{table.margin:g}", table.unit
    lines = [
        f"any {unit}: going back from the last {unit}, the earliest that is shown not to be worse "
        f"than any other {unit} by {margin} or more, by one-sided 95 % limits of the difference.",
        f"last {unit}: the same, against the last {unit} only, which is the claim of the paper "
        "(OOD Detection with Immature Models).",
        f"paper: the {unit} with the highest AUROC on these same groups, as the paper chooses it; "
        f"the AUROC of the best of many {unit}s is too high on the groups that chose it.",
        f"not shown: not even the last {unit} can be shown to be within {margin} of all others "
        "with this many groups.",
        f"OVL is the overlap of the scores of ID and OOD groups; in parentheses: the last {unit}.",
        f"saved is the share of training saved, 1 - {unit} / last; a dash if the {unit} is the "
        f"last, if the scores do not depend on training, or if no {unit} is shown to be above "
        "chance.",
        f"groups: about so many would show the next {unit} back, if all AUROCs stayed the same; "
        f"a dash if its AUROC is lower by {margin} or more.",
        coverage(table.n_fit, table.seeds),
    ]
    if lacking := sum(row.left_out for row in table.rows):
        lines.append(
            f"Left out over all rows: {lacking} {unit}s without scores for the same groups."
        )
    if any(not row.answers for row in table.rows):
        lines.append(f"A row of dashes: fewer than two {unit}s can be compared.")
    n_in = size_range([row.n_in for row in table.rows if row.n_in is not None])
    n_out = size_range([row.n_out for row in table.rows if row.n_out is not None])
    return [*lines, f"Groups: {n_in} in, {n_out} out."] if n_in else lines
