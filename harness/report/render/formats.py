"""Results in every text format supported by `bench report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Unpack

from harness.errors import BenchError, ScoreError
from harness.metrics.estimates import Estimate, estimate
from harness.report.render.arranged import arranged_sheets, arrangement
from harness.report.render.digest import MOST_CELLS, digest_sheets
from harness.report.render.documents import (
    Printing,
    csv_text,
    json_head,
    json_text,
    render_sheets,
)
from harness.report.render.published import published_sheets
from harness.report.render.sheets import Style, sheet
from harness.report.significance import number
from harness.report.tables import auroc_tables
from harness.results import Cell, Published, Result

OVER_SEEDS = ("seeds", "se", *(field.name for field in fields(Estimate)))
"""Numbers about the mean AUROC over the seeds of a place."""


def render(
    results: Sequence[Result],
    *,
    standard_errors: bool = False,
    show_all: bool = False,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    **printing: Unpack[Printing],
) -> str:
    """Render results in the requested format, ending in a newline unless empty.

    The same results give the same bytes: the text depends on neither time nor machine.

    Arguments:
        results: Results, whose order determines the order of scorers, data sets and rows.
        standard_errors: Whether the tables show standard errors.
        show_all: Whether a `table` lists every result; otherwise more than `MOST_CELLS` results
            are printed in a digest.
        rows: Axes that make the rows of tables: names in `COLUMNS` but for the seed.
        columns: Axes that make the columns of tables.
        printing: Options for printing; `csv` and `json` hold one row or object per result, all
            other formats hold AUROC tables and comparisons with published values.

    Raises:
        ScoreError: A number is not finite and cannot be represented in JSON.
        BenchError: Rows and columns are asked for that no table has.
    """
    format = printing["format"]
    asked = arrangement(rows, columns)
    if asked and format in ("json", "csv"):
        raise BenchError(
            f"{format} has a row for each result: --rows and --columns are for tables"
        )
    if format == "json":
        return _json(results, json_head(printing))
    if format == "csv":
        return _csv(results)
    options: Style = {
        "standard_errors": standard_errors,
        "best": "*" if format == "table" else "Bold",
    }
    if asked:
        sheets = arranged_sheets(auroc_tables(results), asked, **options)
    elif format == "table" and len(results) > MOST_CELLS and not show_all:
        sheets = digest_sheets(results)
    else:
        sheets = [sheet(table, **options) for table in auroc_tables(results)]
        sheets += published_sheets(results)
    names = {"title": printing["title"], "suite": printing["suite"]}
    return render_sheets(sheets, **names, format=format, console=printing.get("console"))


def _json(results: Sequence[Result], head: Mapping[str, Any]) -> str:
    over_seeds = _over_seeds(results)
    found = [
        result.to_json() | {"over_seeds": over_seeds.get(_place(result))} for result in results
    ]
    try:
        return json_text({**head, "results": found})
    except ValueError as error:
        for result, values in zip(results, found, strict=True):
            for key, value in values.items():
                if _not_finite(value):
                    raise ScoreError(f"{_name(result)}: {key} is not finite") from error
        raise


def _not_finite(value: object) -> bool:
    try:
        json_text(value)
    except ValueError:
        return True
    return False


def _name(result: Result) -> str:
    cell = result.cell
    return (
        f"{cell.model}, {cell.in_dataset} against {cell.out_dataset}, {cell.scorer}, "
        f"{result.unit} {cell.epoch}, group size {cell.group_size}, seed {cell.seed}"
    )


def _csv(results: Sequence[Result]) -> str:
    """Format a row per result, with the JSON fields except provenance."""
    return csv_text(csv_columns(), csv_rows(results))


def csv_columns() -> list[str]:
    """List the columns of the CSV format."""
    blank = Result(Cell("", "", "", "", 0, 0, 0), "failed")
    return [key for key in _flat(blank, {}) if key != "provenance"]


def csv_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return a row per result, with the columns of the CSV format; None for a missing number."""
    over_seeds = _over_seeds(results)
    columns = csv_columns()
    found = (_flat(result, over_seeds.get(_place(result), {})) for result in results)
    return [{key: row[key] for key in columns} for row in found]


def _place(result: Result) -> Cell:
    return result.cell._replace(seed=0)


def _over_seeds(results: Sequence[Result]) -> dict[Cell, dict[str, float | int | None]]:
    """Estimate the mean AUROC over the seeds of each place, with the parts of its error.

    The results must be for the same groups with each seed, as those of a suite are.
    """
    places: dict[Cell, dict[int, Result]] = {}
    for result in results:
        if number(result) is not None:
            places.setdefault(_place(result), {})[result.cell.seed] = result
    estimates = {
        place: (len(seeds), estimate(list(seeds.values())))
        for place, seeds in places.items()
        if len(seeds) > 1
    }
    return {
        place: {"seeds": seeds, "se": found.se, **vars(found)}
        for place, (seeds, found) in estimates.items()
        if found is not None
    }


def _flat(result: Result, over_seeds: Mapping[str, object]) -> dict[str, object]:
    """Return the JSON fields for a result, with a separate column for each number."""
    values = result.to_json()
    values |= {f"over_seeds_{name}": over_seeds.get(name) for name in OVER_SEEDS}
    published = values.pop("published") or {}
    values.pop("beaten_by")
    names = [field.name for field in fields(Published)]
    values |= {f"published_{name}": published.get(name) for name in names}
    return values | {"beaten_by": "; ".join(beaten.scorer for beaten in result.beaten_by)}
