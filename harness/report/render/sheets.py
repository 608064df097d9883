"""Text tables, shared by every format: cells, title, caption and notes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict, Unpack

from harness.report.notes import coverage
from harness.report.tables import BITS_SIGNS, Average, Failure, Table, TableCell
from harness.results import BITS_UNIT, STATUS_WORDS
from harness.text import counted, one_line

WRONG_WAY, BEATEN = "!", "#"
WRONG_WAY_ROUND = f"{WRONG_WAY} is the wrong way round: the 95 % interval lies below 0.5."
NOT_RANKED = "models with another sign are not ranked against this one by {unit}."
MOST_REASONS = 20
"""Maximum number of reasons for missing numbers under a table; JSON has all reasons."""


class CellText(NamedTuple):
    """Text for a cell: a number or a name, with marks and an optional error or interval.

    Attributes:
        mark: Relation to the best number in the column.
        beside: Text shown after the number, such as a standard error.
        flags: Warnings about the number: `WRONG_WAY`, `BEATEN`.
        auroc: The AUROC shown in the cell, which determines the shade on colour terminals.
    """

    text: str
    mark: str = ""
    beside: str = ""
    flags: str = ""
    auroc: float | None = None

    @property
    def best(self) -> bool:
        """True for the best number in the column, which is printed in bold."""
        return self.mark == "*"

    @property
    def plain(self) -> str:
        """The complete text, without styles."""
        return self.text + self.mark + self.flags + self.beside


def cell_texts(*values: object) -> list[CellText]:
    """Make a cell for each name or whole number."""
    return [CellText(one_line(str(value))) for value in values]


def auroc_text(auroc: float, beside: str = "", flags: str = "") -> CellText:
    """Make a cell for an AUROC, with flags and the text shown after the number."""
    return CellText(f"{auroc:.3f}", beside=beside, flags=flags, auroc=auroc)


def interval_text(low: float | None, high: float | None) -> str:
    """Format a 95 % interval in brackets, after a blank; a dash if it is unknown."""
    return " [-]" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"


@dataclass(frozen=True)
class TextTable:
    """A table in the form printed by every renderer.

    Attributes:
        body: Cells row by row; each row matches the length of `header`.
        lead: Number of leading columns that describe a row, repeated in every part of a split
            table.
        left: Number of leading columns aligned left; all other columns are aligned right.
        caption: Explanation, one sentence per line.
        notes: Remarks that a reader must know, one per line.
    """

    title: str
    header: Sequence[str]
    body: Sequence[Sequence[CellText]]
    lead: int
    left: int
    caption: Sequence[str]
    notes: Sequence[str]


class Style(TypedDict):
    """Style of AUROCs in tables: standard errors, and the mark of the best numbers."""

    standard_errors: bool
    best: str


def sheet(table: Table, **style: Unpack[Style]) -> TextTable:
    """Format an AUROC table for printing."""
    return TextTable(
        title=table.heading,
        header=["scorer", table.unit, table.bits_unit, *map(one_line, table.out_datasets)],
        body=[
            [
                *cell_texts(row.scorer, row.epoch),
                _bits_per_dim(row.bits_per_dim, table),
                *(auroc_cell(cell, table.seeds, style["standard_errors"]) for cell in row.cells),
            ]
            for row in table.rows
        ],
        lead=2,
        left=1,
        caption=_caption(table, style),
        notes=[*as_notes(table.notes), *reasons(table.failures)],
    )


def as_notes(notes: Iterable[str]) -> list[str]:
    """Format remarks about the numbers in a table, one per line."""
    return [f"Note: {one_line(note)}" for note in notes]


def _caption(table: Table, style: Style) -> list[str]:
    """Explain an AUROC table, one sentence per line."""
    cells = [cell for row in table.rows for cell in row.cells]
    lines = about_cells(
        cells, _beaten(table), scope="of its column", n_fit=table.n_fit, seeds=table.seeds, **style
    )
    return [*lines, *_about_bits(table), *missing(cells), *_sizes(table)]


def about_cells(
    cells: Sequence[TableCell],
    beaten: Sequence[str],
    *,
    scope: str,
    n_fit: Sequence[int],
    seeds: int,
    **style: Unpack[Style],
) -> list[str]:
    """Explain the numbers in cells, one sentence per line.

    Arguments:
        cells: The cells.
        beaten: What is said about numbers beaten by a trivial baseline.
        scope: Among what the best number is the best.
        n_fit: Counts of fit groups of the scorers that are fitted.
        seeds: Number of seeds.
        style: How AUROCs are printed.
    """
    marks = {cell.mark for cell in cells}
    lines = [
        "AUROC with out-of-distribution as the positive class: higher is better for detection, "
        "0.5 is chance."
    ]
    if "best" in marks:
        lines.append(
            f"{style['best']} is the best {scope}; ~ does not differ significantly from the best "
            "(paired test, p > 0.05, corrected for the choice of the best on these same groups)."
        )
    if untested := sum(cell.mark == "untested" for cell in cells):
        lines.append(
            f"{untested} of {sum(cell.mark is not None for cell in cells)} numbers could not be "
            "compared with the best: fewer than 10 groups on a side, or scores, refits or some "
            "of the seeds are missing."
        )
    if marks - {None}:
        lines.append(coverage(n_fit, seeds))
    if any(cell.wrong_way for cell in cells):
        lines.append(WRONG_WAY_ROUND)
    return [*lines, *beaten, *_how_sure(cells, seeds, style["standard_errors"])]


def missing(cells: Iterable[TableCell]) -> list[str]:
    """Explain the dash."""
    is_missing = any(cell.status is None for cell in cells)
    return ["A dash marks a missing result."] if is_missing else []


def _about_bits(table: Table) -> list[str]:
    """Say what the bits are for the model of a table: a bound, an estimate, or undefined."""
    unit, not_ranked = table.bits_unit, NOT_RANKED.format(unit=table.bits_unit)
    if table.likelihood == "unnormalized":
        return [
            f'There is no {unit}: {table.model} does not declare likelihood = "exact" (or '
            '"lower_bound", "estimate"), so log_prob need not be the log of a probability.'
        ]
    if not any(row.bits_per_dim for row in table.rows):
        return []
    exact = "; the log-probability is exact" if table.likelihood == "exact" else ""
    lines = [f"{unit} is the mean over the in-distribution examples at that {table.unit}{exact}."]
    if table.likelihood in ("exact", "lower_bound") and unit == BITS_UNIT:
        lines.append(
            "If the density is continuous, it is evaluated at integer pixels plus uniform noise; "
            "the mean is then, in expectation, at least the bits/dim of the integer images."
        )
    if table.likelihood == "lower_bound":
        lines.append(
            f"{BITS_SIGNS['lower_bound']} is an upper bound of {unit}, from a lower bound of "
            f"the log-probability; {not_ranked}"
        )
    if table.likelihood == "estimate":
        lines.append(f"{BITS_SIGNS['estimate']} is an estimate, no bound; {not_ranked}")
    return lines


def reasons(failures: Sequence[Failure]) -> list[str]:
    """List the reasons for missing numbers, one per line."""
    lines = [_failure(failure) for failure in failures[:MOST_REASONS]]
    if (more := len(failures) - MOST_REASONS) > 0:
        lines.append(f"and {more} more reasons, which --format json lists")
    return lines


def auroc_cell(cell: TableCell, seeds: int, standard_errors: bool) -> CellText:
    """Format a number with its marks, or the reason for a missing number."""
    if cell.auroc is None:
        return CellText("-" if cell.status is None else STATUS_WORDS[cell.status])
    error = ""
    if standard_errors and cell.estimate is not None:
        se = cell.estimate.se
        error = f" ({se:.3f})" if seeds > 1 else f"±{se:.3f}"
    mark = {"best": "*", "tied": "~"}.get(cell.mark or "", "")
    flags = WRONG_WAY * cell.wrong_way + BEATEN * bool(cell.beaten_by)
    shown = _average(cell.auroc, seeds, mark, error, flags)
    return shown._replace(auroc=cell.auroc.mean)


def _bits_per_dim(average: Average | None, table: Table) -> CellText:
    shown = _average(average, table.seeds)
    sign = "" if average is None else BITS_SIGNS.get(table.likelihood or "", "")
    return shown._replace(text=sign + shown.text)


def _average(
    average: Average | None, seeds: int, mark: str = "", error: str = "", flags: str = ""
) -> CellText:
    if average is None:
        return CellText("-")
    spread = "" if average.spread is None else f" ±{average.spread:.3f}"
    lacking = f" [{average.seeds}/{seeds}]" if average.seeds < seeds else ""
    return CellText(f"{average.mean:.3f}", mark, spread + error + lacking, flags)


def beaten_numbers(cells: Iterable[TableCell]) -> str:
    """Count the numbers beaten by a trivial baseline; empty without any."""
    beaten = [cell for cell in cells if cell.beaten_by]
    if not beaten:
        return ""
    beyond = sum(any(found.beyond_error for found in cell.beaten_by) for cell in beaten)
    return (
        f"{BEATEN} is beaten by a trivial baseline: {counted(len(beaten), 'number')}, {beyond} "
        "beyond error (paired test, p <= 0.05)"
    )


def _beaten(table: Table) -> list[str]:
    """Count the numbers beaten by a trivial baseline, and name the largest lead."""
    found = [
        (beaten, row, out)
        for row in table.rows
        for out, cell in zip(table.out_datasets, row.cells, strict=True)
        for beaten in cell.beaten_by
    ]
    if not found:
        return []
    worst, row, out = max(found, key=lambda item: item[0].difference)
    line = (
        f"{beaten_numbers(cell for row in table.rows for cell in row.cells)}; worst: {row.scorer} "
        f"at {table.unit} {row.epoch} against {out}, {worst.difference:.3f} below {worst.scorer}."
    )
    return [one_line(line)]


def _how_sure(cells: Sequence[TableCell], seeds: int, standard_errors: bool) -> list[str]:
    """Explain the text shown after the numbers."""
    lines = []
    shown = standard_errors and any(cell.estimate is not None for cell in cells)
    if seeds > 1:
        lines.append(f"Mean ± standard deviation over {seeds} seeds.")
        averages = [cell.auroc for cell in cells if cell.auroc is not None]
        if any(average.seeds < seeds for average in averages):
            lines.append(f"[k/{seeds}] is the mean of k seeds: the other seeds have no number.")
        if shown:
            lines.append("In parentheses: the standard error of the mean.")
    elif shown:
        lines.append("± is the standard error.")
    return lines


def _sizes(table: Table) -> list[str]:
    if not table.n_in:
        return []
    outs = [size_range(sizes) for sizes in table.n_out]
    counted = [
        f"{size} {one_line(name)}"
        for name, size in zip(table.out_datasets, outs, strict=True)
        if size
    ]
    out = f", {outs[0]} out" if len(set(outs)) == 1 else f"; out: {', '.join(counted)}"
    of_fit = f"; fitted to {size_range(table.n_fit)}" if table.n_fit else ""
    return [f"Groups scored: {size_range(table.n_in)} in{out}{of_fit}."]


def size_range(sizes: Collection[int]) -> str:
    """Format a single size, or the smallest and largest of several; empty without sizes."""
    if not sizes:
        return ""
    least, most = min(sizes), max(sizes)
    return f"{least} to {most}" if least < most else str(least)


def _failure(failure: Failure) -> str:
    message = one_line(failure.message)
    return f"{STATUS_WORDS[failure.status]} ({counted(failure.count, 'result')})" + (
        f": {message}" if message else ""
    )
