"""Results as text in every format that `bench report` knows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from harness.errors import ScoreError
from harness.report.render import sheets as text
from harness.report.render.digest import MOST_CELLS, render_digest
from harness.report.render.documents import Format, csv_text, render_sheets
from harness.report.render.published import published_sheets
from harness.report.tables import auroc_tables
from harness.results import Cell, Published, Result

if TYPE_CHECKING:
    from rich.console import Console


def render(
    results: Sequence[Result],
    *,
    suite: str,
    title: str,
    format: Format,
    standard_errors: bool = False,
    show_all: bool = False,
    console: Console | None = None,
) -> str:
    """Results in one of the formats, ending in a newline unless empty.

    The same results give the same bytes: nothing tells the time or the machine.

    Arguments:
        results: In the order in which scorers, data sets and rows shall stand.
        suite: Name of the suite, which JSON records.
        title: Heading of the tables.
        format: `csv` and `json` hold one row or object per result; the others AUROC tables, and
            tables of the results for which values were published.
        standard_errors: Whether the tables show the DeLong standard errors.
        show_all: Whether a `table` has every result even if nobody could read so many; otherwise
            more than `MOST_CELLS` are shown by their digest.
        console: Where a `table` will be printed; decides its width, styles and encoding. Without
            one, lines are as long as they need to be. Write the text to `console.file` as it is.

    Raises:
        ScoreError: A number that is not finite, which JSON could not hold.
    """
    if format == "json":
        return _json(results, suite)
    if format == "csv":
        return _csv(results)
    if format == "table" and len(results) > MOST_CELLS and not show_all:
        return render_digest(results, title=title, console=console)
    best = "*" if format == "table" else "Bold"
    sheets = [
        text.sheet(table, standard_errors=standard_errors, best=best)
        for table in auroc_tables(results)
    ]
    sheets += published_sheets(results)
    return render_sheets(sheets, title=title, format=format, console=console)


def _json(results: Sequence[Result], suite: str) -> str:
    """`{"suite", "results"}`; NaN is not JSON, and null would be read as something else."""
    found = [result.to_json() for result in results]
    try:
        return json.dumps({"suite": suite, "results": found}, indent=2, allow_nan=False) + "\n"
    except ValueError as error:
        for result, values in zip(results, found, strict=True):
            for key, value in values.items():
                if _not_finite(value):
                    raise ScoreError(f"{_name(result.cell)}: {key} is not finite") from error
        raise


def _not_finite(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return True
    return False


def _name(cell: Cell) -> str:
    return (
        f"{cell.model}, {cell.in_dataset} against {cell.out_dataset}, {cell.scorer}, "
        f"epoch {cell.epoch}, group size {cell.group_size}, seed {cell.seed}"
    )


def _csv(results: Sequence[Result]) -> str:
    """A row per result: what JSON holds, without the provenance."""
    blank = Result(Cell("", "", "", "", 0, 0, 0), "failed")
    columns = [key for key in _flat(blank) if key != "provenance"]
    return csv_text(columns, [_flat(result) for result in results])


def _flat(result: Result) -> dict[str, object]:
    """Return the JSON fields of a result, with each published number in its own column."""
    values = result.to_json()
    published = values.pop("published") or {}
    values.pop("beaten_by")
    names = [field.name for field in fields(Published)]
    values |= {f"published_{name}": published.get(name) for name in names}
    return values | {"beaten_by": "; ".join(beaten.scorer for beaten in result.beaten_by)}
