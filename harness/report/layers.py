"""Layer-wise AUROC: each layer judged by the score term from this layer alone, in plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.metrics.estimates import Estimate, estimate_of
from harness.metrics.evidence import evidence_of_scores
from harness.plan.jobs import ChainId
from harness.plan.plan import Plan
from harness.report.tables import ModelTable
from harness.results import Cell, Result
from harness.scoring.score import CellTerms, score_terms
from harness.store.records import Store


@dataclass(frozen=True)
class Layer:
    """A layer, or another term in a score.

    Attributes:
        estimate: AUROC for this term alone, OOD positive; the error covers other test examples,
            not another fit.
    """

    name: str
    estimate: Estimate


@dataclass(frozen=True)
class CellLayers:
    """The layers in a cell, sorted by descending AUROC; ties keep the original layer order.

    Attributes:
        auroc: AUROC of the whole score.
        n_in: ID groups scored; `n_out` counts the OOD groups.
    """

    cell: Cell
    auroc: float
    layers: tuple[Layer, ...]
    n_in: int
    n_out: int


@dataclass(frozen=True)
class LayerTable(ModelTable):
    """The cells for a scorer on a model, in-distribution data set, group size and seed.

    Attributes:
        seed: Training seed, or None if the suite has only a single seed.
        unit: What the epochs axis counts.
    """

    scorer: str
    seed: int | None
    cells: tuple[CellLayers, ...]
    unit: str


def layer_tables(plan: Plan, results: Iterable[Result], store: Store) -> list[LayerTable]:
    """Compute the layers for every cell with a number whose scorer exposes score terms.

    Tables and rows follow the plan order, with ascending epochs.
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
            plan.unit(ChainId(row.model, row.in_dataset, row.seed)),
        )
        for row, cells in tables.items()
    ]


def by_out(cells: list[CellLayers]) -> list[CellLayers]:
    """Sort cells by OOD data set, keeping the order in which data sets appear, then by epoch."""
    outs = list(dict.fromkeys(cell.cell.out_dataset for cell in cells))
    return sorted(cells, key=lambda cell: (outs.index(cell.cell.out_dataset), cell.cell.epoch))


def to_json(cell: CellLayers, layer: Layer) -> dict[str, Any]:
    """Convert a layer in a cell to JSON for `bench report --layers`."""
    found = layer.estimate
    return {
        **cell.cell.as_row(),
        "layer": layer.name,
        "auroc": found.auroc,
        "auroc_se": found.se,
        "auroc_low": found.low,
        "auroc_high": found.high,
        "auroc_of_score": cell.auroc,
        "n_in": cell.n_in,
        "n_out": cell.n_out,
    }


def _cell_layers(terms: CellTerms, aurocs: Mapping[Cell, float]) -> CellLayers:
    layers = [
        Layer(name, estimate_of(evidence_of_scores(values, terms.terms_out[name])))
        for name, values in terms.terms_in.items()
    ]
    layers.sort(key=lambda layer: -layer.estimate.auroc)
    n_in, n_out = (len(next(iter(side.values()))) for side in (terms.terms_in, terms.terms_out))
    return CellLayers(terms.cell, aurocs[terms.cell], tuple(layers), n_in, n_out)
