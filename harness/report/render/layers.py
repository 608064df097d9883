"""Layers that carry a score, in every format supported by `bench report --layers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from harness.errors import NothingSelectedError
from harness.plan.plan import Plan
from harness.report.layers import CellLayers, Layer, LayerTable, layer_tables, to_json
from harness.report.render.documents import Printing, render_document
from harness.report.render.sheets import (
    CellText,
    TextTable,
    auroc_text,
    cell_texts,
    interval_text,
    size_range,
)
from harness.results import Result
from harness.store.records import Store
from harness.text import one_line

MOST_LAYERS = 5
"""Maximum number of layers per cell in a table; JSON and CSV have all layers."""


def render_layers(
    results: Sequence[Result], *, plan: Plan, store: Store, **printing: Unpack[Printing]
) -> str:
    """Render the layers that carry the scores in the requested format.

    Raises:
        NothingSelectedError: No scorer among the results exposes score terms.
    """
    tables = layer_tables(plan, results, store)
    if not tables:
        raise NothingSelectedError("no scorer among the results exposes score terms")
    cells = [cell for table in tables for cell in table.cells]
    rows = [to_json(cell, layer) for cell in cells for layer in cell.layers]
    return render_document(
        printing,
        found={"layers": rows},
        rows=rows,
        columns=list(rows[0]),
        sheets=map(sheet, tables),
    )


def sheet(table: LayerTable) -> TextTable:
    """Format a layer table for printing."""
    seed = "" if table.seed is None else f", seed {table.seed}"
    return TextTable(
        title=one_line(f"Layers of {table.scorer}: {table.heading}{seed}"),
        header=["out", table.unit, "layer", "AUROC [95 %]", "all layers"],
        body=[_cells(cell, layer) for cell in table.cells for layer in cell.layers[:MOST_LAYERS]],
        lead=3,
        left=3,
        caption=_caption(table),
        notes=(),
    )


def _cells(cell: CellLayers, layer: Layer) -> list[CellText]:
    found = layer.estimate
    return [
        *cell_texts(cell.cell.out_dataset, cell.cell.epoch, layer.name),
        auroc_text(found.auroc, interval_text(found.low, found.high)),
        auroc_text(cell.auroc),
    ]


def _caption(table: LayerTable) -> list[str]:
    """Explain the table, one sentence per line."""
    counts = size_range([len(cell.layers) for cell in table.cells])
    n_in = size_range([cell.n_in for cell in table.cells])
    n_out = size_range([cell.n_out for cell in table.cells])
    return [
        "AUROC of the score term from each layer alone, OOD positive; the 95 % interval for "
        "other test examples is in brackets. all layers: AUROC of the whole score.",
        f"At most the {MOST_LAYERS} best of {counts} layers are shown; --format json and csv "
        "have all layers.",
        "Layers are chosen on the same groups that judge them, which biases the best of many "
        "upwards; an interval is valid for a layer chosen in advance.",
        f"Groups scored: {n_in} in, {n_out} out.",
    ]
