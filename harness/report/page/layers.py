"""Layer gradients, ID against OOD, for the cells on the page."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

from harness.errors import StoreError
from harness.metrics.placements import Floats
from harness.plan.jobs import ChainId, PlannedCell, StatisticJob
from harness.plan.plan import Plan
from harness.report.figures.layers import LayerBand, layer_band
from harness.report.figures.series import layer_jobs, layer_names, stored_values
from harness.report.page.budget import ByteBudget
from harness.results import Cell
from harness.store.records import Store

MOST_GROUPS = 1000
"""Maximum number of groups for the quantiles in a band: the first groups in a random draw."""

MOST_BANDS = 5000
"""Maximum number of bands; reading the file behind each band takes a millisecond."""

STEPS = 65534
"""Quantisation steps between the smallest and largest value in a band; 65535 means no value."""


class LayerBands:
    """Collector for the layer bands of cells; each band is stored once.

    Arguments:
        plan: Plan with known data sets.
        store: Store with the statistics.
        budget: Byte budget for the bands.
    """

    def __init__(self, plan: Plan, store: Store, budget: ByteBudget) -> None:
        self.plan, self.store, self.budget = plan, store, budget
        self.bands: list[dict[str, Any]] = []
        self.names: list[list[str]] = []
        self._pairs: dict[Cell, tuple[int, int]] = {}
        self._places: dict[StatisticJob, int | None] = {}
        self._names: dict[ChainId, int] = {}

    def add(self, planned: PlannedCell) -> None:
        """Add the bands for a cell, if the scorer reads layers, within the budget."""
        jobs = layer_jobs(self.plan, planned)
        if jobs is None:
            return
        in_, out = self._place(jobs.in_), self._place(jobs.out)
        if in_ is not None and out is not None:
            self._pairs.setdefault(_without_scorer(planned.cell), (in_, out))

    def data(self) -> dict[str, Any]:
        """Return everything collected.

        Returns:
            `rows`: ID and OOD indices into `bands`, by row, including rows with scorers that do
            not read layers; `bands`: packed bands, each with an index into `names`; `names`: layer
            names by model.
        """
        cells = [_without_scorer(planned.cell) for planned in self.plan.cells]
        rows = {row: self._pairs[cell] for row, cell in enumerate(cells) if cell in self._pairs}
        return {"rows": rows, "bands": self.bands, "names": self.names}

    def _place(self, job: StatisticJob) -> int | None:
        if job not in self._places:
            self._places[job] = self._make(job)
        return self._places[job]

    def _make(self, job: StatisticJob) -> int | None:
        if self.budget.left <= 0 or len(self.bands) >= MOST_BANDS:
            return None
        try:
            names = self._layers(job)
            if not self.budget.take(8 * len(self.names[names])):
                return None
            values = stored_values(self.plan, self.store, job)
        except StoreError:
            return None
        self.bands.append({"names": names, **packed_band(layer_band(values[:MOST_GROUPS]))})
        return len(self.bands) - 1

    def _layers(self, job: StatisticJob) -> int:
        """Return the index of the model's layer names in `names`."""
        if job.chain not in self._names:
            names = layer_names(self.plan, self.store, job)
            self._names[job.chain] = len(self.names)
            self.names.append(names)
        return self._names[job.chain]


def _without_scorer(cell: Cell) -> Cell:
    return cell._replace(scorer="")


def packed_band(band: LayerBand) -> dict[str, Any]:
    """Pack a band into `least`, `most` and `steps`: base64 of little-endian uint16, (3, L)."""
    rows = np.stack([band.low, band.middle, band.high])
    finite = rows[np.isfinite(rows)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    width = (most - least) or 1.0
    steps = np.full(rows.shape, 65535, "<u2")
    known = np.isfinite(rows)
    steps[known] = np.round((rows[known] - least) / width * STEPS)
    return {"least": least, "most": most, "steps": base64.b64encode(steps.tobytes()).decode()}


def unpacked_band(packed: dict[str, Any]) -> Floats:
    """Unpack a band to the values drawn by the page: float64, (3, L), NaN for missing values."""
    steps = np.frombuffer(base64.b64decode(packed["steps"]), "<u2").reshape(3, -1)
    width = (packed["most"] - packed["least"]) or 1.0
    return np.where(steps == 65535, math.nan, packed["least"] + steps / STEPS * width)
