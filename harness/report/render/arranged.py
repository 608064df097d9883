"""AUROC tables with other rows and columns, for example a column for each epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.errors import BenchError
from harness.report.render.sheets import (
    TextTable,
    about_cells,
    as_notes,
    auroc_cell,
    beaten_numbers,
    cell_texts,
    missing,
    reasons,
)
from harness.report.tables import Table, TableCell
from harness.results import COLUMNS, likelihoods_in_words
from harness.text import known_names, one_line

AXES = COLUMNS[:-1]
"""Axes for rows and columns; the seed is none, because numbers are means over the seeds."""

SCOPE = "for its model, data sets and group size, over scorers and {unit}s"


@dataclass(frozen=True)
class Arrangement:
    """Axes of rows and of columns; each combination of values of all other axes has a table."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]


class _Entry(NamedTuple):
    """A number, the value of each axis for this number, and the table of this number."""

    values: dict[str, object]
    cell: TableCell
    table: Table


def arrangement(rows: Sequence[str], columns: Sequence[str]) -> Arrangement | None:
    """Complete the axes asked for; None if none are asked for.

    Rows are OOD set, scorer and epoch by default, columns the OOD sets or else the epochs; an
    axis of the columns makes no rows.

    Raises:
        BenchError: An axis is unknown, or stands in both rows and columns.
    """
    for option, axes in (("--rows", rows), ("--columns", columns)):
        for axis in axes:
            if axis not in AXES:
                hint = known_names(axis, AXES)
                raise BenchError(f"{option}: there is no {axis!r} to arrange by ({hint})")
    if both := [axis for axis in rows if axis in columns]:
        raise BenchError(f"{both[0]} cannot make both rows and columns: name it once")
    if not rows and not columns:
        return None
    down = tuple(dict.fromkeys(rows)) or tuple(
        axis for axis in ("out", "scorer", "epoch") if axis not in columns
    )
    across = (
        tuple(dict.fromkeys(columns))
        or tuple(axis for axis in ("out", "epoch", "scorer") if axis not in down)[:1]
    )
    return Arrangement(down, across)


def arranged_sheets(
    tables: Sequence[Table], asked: Arrangement, *, standard_errors: bool, best: str
) -> list[TextTable]:
    """Arrange the numbers of AUROC tables in other tables; marks stay as they were.

    Arguments:
        tables: The tables, in result order.
        asked: Rows and columns.
        standard_errors: Whether the tables show standard errors.
        best: Style for the best numbers.
    """
    others = [axis for axis in AXES if axis not in (*asked.rows, *asked.columns)]
    groups: dict[tuple[object, ...], list[_Entry]] = {}
    for entry in _entries(tables):
        groups.setdefault(tuple(entry.values[axis] for axis in others), []).append(entry)
    return [
        _sheet(dict(zip(others, key, strict=True)), found, asked, standard_errors, best)
        for key, found in groups.items()
    ]


def _entries(tables: Sequence[Table]) -> Iterator[_Entry]:
    for table in tables:
        for row in table.rows:
            for out, cell in zip(table.out_datasets, row.cells, strict=True):
                place = (table.model, table.in_dataset, out, row.scorer, row.epoch)
                values = dict(zip(AXES, (*place, table.group_size), strict=True))
                yield _Entry(values, cell, table)


def _sheet(
    fixed: dict[str, object],
    found: Sequence[_Entry],
    asked: Arrangement,
    standard_errors: bool,
    best: str,
) -> TextTable:
    rows, columns = _keys(found, asked.rows), _keys(found, asked.columns)
    cells = {(_key(entry, asked.rows), _key(entry, asked.columns)): entry.cell for entry in found}
    tables = list(dict.fromkeys(id(entry.table) for entry in found))
    parts = [next(entry.table for entry in found if id(entry.table) == key) for key in tables]
    unit, seeds = parts[0].unit, max(part.seeds for part in parts)
    n_fit = sorted({size for part in parts for size in part.n_fit})
    shown = [[cells.get((row, column), TableCell(None)) for column in columns] for row in rows]
    axes = {"epoch": unit, "group_size": "b"}
    return TextTable(
        title=_title(fixed, unit),
        header=[
            *(axes.get(axis, axis) for axis in asked.rows),
            *(_heading(asked.columns, column, unit) for column in columns),
        ],
        body=[
            [*cell_texts(*row), *(auroc_cell(cell, seeds, standard_errors) for cell in line)]
            for row, line in zip(rows, shown, strict=True)
        ],
        lead=len(asked.rows),
        left=len(asked.rows),
        caption=_caption(
            [cell for line in shown for cell in line],
            likelihoods_in_words({part.model: part.likelihood for part in parts}),
            scope=SCOPE.format(unit=unit),
            best=best,
            standard_errors=standard_errors,
            n_fit=tuple(n_fit),
            seeds=seeds,
        ),
        notes=[
            *as_notes(dict.fromkeys(note for part in parts for note in part.notes)),
            *reasons([failure for part in parts for failure in part.failures]),
        ],
    )


def _caption(cells: Sequence[TableCell], likelihoods: str, **about: Any) -> list[str]:
    beaten = beaten_numbers(cells)
    return [
        *about_cells(cells, [f"{beaten}."] if beaten else [], **about),
        *([f"{likelihoods[0].upper()}{likelihoods[1:]}."] if likelihoods else []),
        *missing(cells),
    ]


def _key(entry: _Entry, axes: Sequence[str]) -> tuple[object, ...]:
    return tuple(entry.values[axis] for axis in axes)


def _keys(found: Sequence[_Entry], axes: Sequence[str]) -> list[tuple[object, ...]]:
    """List the rows or columns: names in result order, numbers ascending."""
    orders: list[dict[object, int]] = []
    for axis in axes:
        values = list(dict.fromkeys(entry.values[axis] for entry in found))
        if axis in ("epoch", "group_size"):
            values.sort(key=lambda value: int(str(value)))
        orders.append({value: place for place, value in enumerate(values)})
    keys = dict.fromkeys(_key(entry, axes) for entry in found)
    return sorted(keys, key=lambda key: [order[x] for order, x in zip(orders, key, strict=True)])


def _heading(axes: Sequence[str], column: Sequence[object], unit: str) -> str:
    """Name a column, with a word before a number, as in `epoch 4`."""
    before = {"epoch": f"{unit} ", "group_size": "b = "}
    return one_line(
        ", ".join(f"{before.get(a, '')}{x}" for a, x in zip(axes, column, strict=True))
    )


def _title(fixed: dict[str, object], unit: str) -> str:
    words = {
        "model": "{}",
        "in": "in-distribution {}",
        "out": "against {}",
        "scorer": "{}",
        "epoch": f"{unit} {{}}",
        "group_size": "group size {}",
    }
    return one_line(", ".join(words[axis].format(x) for axis, x in fixed.items())) or "AUROC"
