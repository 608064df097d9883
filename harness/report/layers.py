"""Which layers carry a score: the AUROC of each one's own term, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.metrics.roc import AurocEstimate, delong
from harness.plan.plan import Plan
from harness.report.tables import ModelTable
from harness.results import Cell, Result
from harness.scoring.score import CellTerms, score_terms
from harness.store.records import Store


@dataclass(frozen=True)
class Layer:
    """One layer, or other term of a score.

    Attributes:
        estimate: AUROC of its term alone, OOD positive, with its DeLong error and interval.
    """

    name: str
    estimate: AurocEstimate


@dataclass(frozen=True)
class CellLayers:
    """The layers of one cell, in descending order of their AUROC; of equal ones the first first.

    Attributes:
        auroc: Of the whole score.
        n_in: ID groups scored; `n_out` OOD groups.
    """

    cell: Cell
    auroc: float
    layers: tuple[Layer, ...]
    n_in: int
    n_out: int


@dataclass(frozen=True)
class LayerTable(ModelTable):
    """The cells of one scorer on one model, in data set, group size and seed.

    Attributes:
        seed: None where the suite has one only.
    """

    scorer: str
    seed: int | None
    cells: tuple[CellLayers, ...]


def layer_tables(plan: Plan, results: Iterable[Result], store: Store) -> list[LayerTable]:
    """The layers of every cell that has a number and a scorer that tells its terms.

    Tables and rows are in the order of the plan, epochs ascending.
    """
    aurocs = {result.cell: result.metrics.auroc for result in results if result.metrics}
    tables: dict[Cell, list[CellLayers]] = {}
    for terms in score_terms(plan, store, aurocs):
        row = terms.cell._replace(out_dataset="", epoch=0)
        tables.setdefault(row, []).append(_cell_layers(terms, aurocs))
    several = len({row.seed for row in tables}) > 1
    return [
        LayerTable(
            row.model,
            row.in_dataset,
            row.group_size,
            row.scorer,
            row.seed if several else None,
            tuple(by_out(cells)),
        )
        for row, cells in tables.items()
    ]


def by_out(cells: list[CellLayers]) -> list[CellLayers]:
    """One OOD data set after the other, each with its epochs."""
    outs = list(dict.fromkeys(cell.cell.out_dataset for cell in cells))
    return sorted(cells, key=lambda cell: (outs.index(cell.cell.out_dataset), cell.cell.epoch))


def to_json(cell: CellLayers, layer: Layer) -> dict[str, Any]:
    """A layer of a cell as `bench report --layers --format json` prints it."""
    found = asdict(layer.estimate)
    return {
        **cell.cell.as_row(),
        "layer": layer.name,
        "auroc": found.pop("auroc"),
        **{f"auroc_{name}": value for name, value in found.items()},
        "auroc_of_score": cell.auroc,
        "n_in": cell.n_in,
        "n_out": cell.n_out,
    }


def _cell_layers(terms: CellTerms, aurocs: Mapping[Cell, float]) -> CellLayers:
    layers = [
        Layer(name, delong(values, terms.terms_out[name]))
        for name, values in terms.terms_in.items()
    ]
    layers.sort(key=lambda layer: -layer.estimate.auroc)
    n_in, n_out = (len(next(iter(side.values()))) for side in (terms.terms_in, terms.terms_out))
    return CellLayers(terms.cell, aurocs[terms.cell], tuple(layers), n_in, n_out)
