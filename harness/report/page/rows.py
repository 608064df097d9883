"""Rows for all cells on the page, stored by column: compact, and quick to sort."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.plan.plan import Plan
from harness.report.looks import Looks
from harness.report.render.documents import FORMULA
from harness.report.significance import Mark, metrics_of, status_of
from harness.report.tables import auroc_tables
from harness.results import COLUMNS, Cell, Metrics, Result
from harness.text import one_line

NAMED, COUNTED = COLUMNS[:4], COLUMNS[4:]
DIGITS = 6
"""Number of decimals on the page."""

FEW = 0.1
"""Largest share of distinct numbers in a column that is stored as indices, which are shorter."""


def row_data(plan: Plan, results: Mapping[Cell, Result]) -> dict[str, Any]:
    """Collect all cells in a plan; cells without a result have the status `"pending"`.

    Returns:
        `cells`: number of rows. `columns`: a list for each key and metric, with an entry per cell
        in plan order; a missing number is None, and names, statuses, messages and marks are
        indices into the list under `names`; a constant column is `{"all": value}`, one of few
        distinct numbers `{"of": numbers, "at": indices}`, and any other column of fractions
        `{"millionths": integers}`. `arguments`: for each name, the quoted `--only` value for a
        shell command. `formula`: prefixes that a spreadsheet would read as a formula.
    """
    cells = [planned.cell for planned in plan.cells]
    rows = [cell.as_row() for cell in cells]
    found = [results.get(cell) for cell in cells]
    columns: dict[str, list[Any]] = {}
    names: dict[str, list[str]] = {}
    arguments = {}
    for key in NAMED:
        raw = [str(row[key]) for row in rows]
        columns[key], known = _places(raw)
        names[key] = [one_line(name) for name in known]
        arguments[key] = [shlex.quote(f"{key}={name}") for name in known]
    for key in COUNTED:
        columns[key] = [row[key] for row in rows]
    texts = {
        "status": (status_of(result) if result else "pending" for result in found),
        "message": (one_line(result.message) if result else "" for result in found),
        "mark": _marks(cells, list(results.values())),
        "beaten_by": (_beaten_by(result) if result else "" for result in found),
        "likelihood": ((result.likelihood if result else None) or "" for result in found),
    }
    for key, values in texts.items():
        columns[key], names[key] = _places(values)
    columns |= _numbers(found)
    packed = {key: packed_column(column) for key, column in columns.items()}
    return {
        "cells": len(cells),
        "columns": packed,
        "names": names,
        "arguments": arguments,
        "formula": FORMULA,
    }


def look_data(plan: Plan, looks: Looks) -> dict[str, list[Any]]:
    """Collect the looks in the order of the names in `row_data`.

    Returns:
        `scorer`: slot by scorer, None if not in focus; `in` and `out`: slot by data set;
        `families`: name of the plugin by model.
    """
    cells = [planned.cell for planned in plan.cells]
    plugins = {
        chain.model.name: chain.model.registered.entry.name for chain in plan.chains.values()
    }
    return {
        "scorer": [looks.focus.get(name) for name in dict.fromkeys(x.scorer for x in cells)],
        "in": [looks.datasets[name] for name in dict.fromkeys(x.in_dataset for x in cells)],
        "out": [looks.datasets[name] for name in dict.fromkeys(x.out_dataset for x in cells)],
        "families": [one_line(plugins[name]) for name in dict.fromkeys(x.model for x in cells)],
    }


def packed_column(column: list[Any]) -> Any:
    """Store a column in few bytes, as described in `row_data`."""
    known = dict.fromkeys(column)
    if len(known) == 1:
        return {"all": column[0]}
    if len(known) <= FEW * len(column):
        places = {value: place for place, value in enumerate(known)}
        return {"of": list(known), "at": [places[value] for value in column]}
    if any(isinstance(value, float) for value in known):
        scale = 10**DIGITS
        return {"millionths": [x if x is None else round(x * scale) for x in column]}
    return column


def _beaten_by(result: Result) -> str:
    """List the trivial baselines that beat a scorer, with their leads."""
    return "; ".join(
        f"{one_line(beaten.scorer)} by {beaten.difference:.3f}"
        + {True: "", False: " (within error)", None: " (not tested)"}[beaten.beyond_error]
        for beaten in result.beaten_by
    )


def _numbers(found: Sequence[Result | None]) -> dict[str, list[Any]]:
    metrics = [metrics_of(result) if result else None for result in found]
    published = [x.published if x and y else None for x, y in zip(found, metrics, strict=True)]
    columns: dict[str, list[Any]] = {
        name: [None if item is None else rounded(item[place]) for item in metrics]
        for place, name in enumerate(Metrics._fields)
    }
    return columns | {
        "published": [None if item is None else rounded(item.value) for item in published],
        "published_se": [None if item is None else rounded(item.se) for item in published],
        "within_error": [None if item is None else item.within_error for item in published],
    }


def rounded(value: float | None) -> float | None:
    """Round a number for the page."""
    return None if value is None else round(value, DIGITS)


def _marks(cells: Iterable[Cell], results: Sequence[Result]) -> list[Mark | str]:
    """Look up the mark for each cell in the AUROC tables; all seeds share a mark."""
    found: dict[Cell, Mark | None] = {}
    for table in auroc_tables(results):
        for row in table.rows:
            for out, cell in zip(table.out_datasets, row.cells, strict=True):
                sets = table.model, table.in_dataset, out
                found[Cell(*sets, row.scorer, row.epoch, table.group_size, 0)] = cell.mark
    return [found.get(cell._replace(seed=0)) or "" for cell in cells]


def _places(values: Iterable[str]) -> tuple[list[int], list[str]]:
    """Replace each value by an index into the distinct values, in order of appearance."""
    known: dict[str, int] = {}
    return [known.setdefault(value, len(known)) for value in values], list(known)
