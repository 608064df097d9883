"""Input for figures: results by training, and the underlying stored statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.domain import bits_per_dim
from harness.metrics.placements import Floats
from harness.plan.jobs import ByRole, ChainId, PlannedCell, StatisticJob
from harness.plan.plan import Plan
from harness.report.tables import BITS_SIGNS
from harness.results import Cell, Metrics, Result
from harness.store.layout import STATISTICS, VALUES
from harness.store.records import Store


@dataclass(frozen=True)
class TrainingResults:
    """Results with a number for a training, with the planned cells.

    Attributes:
        chain: The training.
        cells: Planned cells, in plan order; every cell has a `Result` in `results`.
    """

    chain: ChainId
    cells: tuple[PlannedCell, ...]
    results: Mapping[Cell, Result]
    plan: Plan
    store: Store

    @property
    def unit(self) -> str:
        """The unit of the axis of epochs: `"epoch"` or `"step"`."""
        return self.plan.unit(self.chain)

    @property
    def outs(self) -> list[str]:
        """The OOD data sets, in plan order."""
        return list(dict.fromkeys(planned.cell.out_dataset for planned in self.cells))

    @property
    def scorers(self) -> list[str]:
        """The scorers, in plan order."""
        return list(dict.fromkeys(planned.cell.scorer for planned in self.cells))

    @property
    def epochs(self) -> list[int]:
        """The epochs, ascending."""
        return sorted({planned.cell.epoch for planned in self.cells})

    @property
    def group_sizes(self) -> list[int]:
        """The group sizes, ascending."""
        return sorted({planned.cell.group_size for planned in self.cells})

    @property
    def bits_name(self) -> str:
        """Bits per dimension, with a sign for an upper bound or an estimate."""
        found = (result.likelihood for result in self.results.values())
        sign = BITS_SIGNS.get(next(filter(None, found), ""))
        name = {"bits/dim": "bits per dimension"}.get(self.bits_unit, self.bits_unit)
        return name + (f" ({sign})" if sign else "")

    @property
    def bits_unit(self) -> str:
        """Unit of bits per dimension."""
        return self.plan.chains[self.chain].domain.unit

    def metrics(self, cell: Cell) -> Metrics:
        """Return the metrics for a cell in `cells`."""
        metrics = self.results[cell].metrics
        assert metrics is not None, "cells without a number are left out"
        return metrics

    def by_epoch(self, out: str, scorer: str, group_size: int) -> dict[int, Result]:
        """Return the results in a table row, by ascending epoch."""
        found = {
            cell.epoch: result
            for cell, result in self.results.items()
            if (cell.out_dataset, cell.scorer, cell.group_size) == (out, scorer, group_size)
        }
        return dict(sorted(found.items()))

    def with_bits(self, out: str) -> dict[int, PlannedCell]:
        """Return a cell for each epoch with known bits per dimension on both sides, ascending."""
        found = {
            planned.cell.epoch: planned
            for planned in self.cells
            if planned.cell.out_dataset == out and self.metrics(planned.cell).ovl is not None
        }
        return dict(sorted(found.items()))

    def bits(self, planned: PlannedCell) -> tuple[Floats, Floats]:
        """Compute bits per dimension for each scored example: float64 (n,) ID and (m,) OOD."""
        assert planned.dequantised is not None, "its OVL is known"
        dims = self.plan.chains[self.chain].domain.dims
        in_, out = (bits_per_dim(self._values(job).ravel(), dims) for job in planned.dequantised)
        return in_, out

    def layers(self, out: str, epoch: int, group_size: int) -> tuple[Floats, Floats] | None:
        """Read squared gradient norms by layer, float64 (M, L), for ID and OOD groups."""
        jobs = self._layer_jobs(out, epoch, group_size)
        return jobs and (self._values(jobs.in_), self._values(jobs.out))

    def layer_names(self) -> list[str]:
        """Return the layer names; empty if no scorer reads layer gradients."""
        for out in self.outs:
            if jobs := self._layer_jobs(out, self.epochs[-1], self.group_sizes[0]):
                return layer_names(self.plan, self.store, jobs.in_)
        return []

    def _layer_jobs(self, out: str, epoch: int, group_size: int) -> ByRole | None:
        for planned in self.cells:
            cell = planned.cell
            if (cell.out_dataset, cell.epoch, cell.group_size) == (out, epoch, group_size):
                if jobs := layer_jobs(self.plan, planned):
                    return jobs
        return None

    def _values(self, job: StatisticJob) -> Floats:
        return stored_values(self.plan, self.store, job)


def by_seeds(trainings: Sequence[TrainingResults]) -> list[list[TrainingResults]]:
    """Group the trainings of a model on a data set with different seeds, in plan order."""
    found: dict[tuple[str, str], list[TrainingResults]] = {}
    for training in trainings:
        chain = training.chain
        found.setdefault((chain.model, chain.dataset), []).append(training)
    return list(found.values())


def trained(seeds: Sequence[TrainingResults]) -> str:
    """Name a model and its ID set, with the number of seeds unless there is a single one."""
    chain = seeds[0].chain
    name = model_name(chain) if len(seeds) == 1 else f"{chain.model} (mean of {len(seeds)} seeds)"
    return f"{name}, in-distribution {chain.dataset}"


def model_name(chain: ChainId) -> str:
    """Name a model, with its seed unless it is 0."""
    return chain.model + (f" (seed {chain.seed})" if chain.seed else "")


def along(
    seeds: Sequence[TrainingResults], out: str, scorer: str, size: int
) -> dict[int, list[Result]]:
    """Return the results in a row of a table by epoch, one for each seed."""
    found: dict[int, list[Result]] = {}
    for training in seeds:
        for epoch, result in training.by_epoch(out, scorer, size).items():
            found.setdefault(epoch, []).append(result)
    return found


def stored_values(plan: Plan, store: Store, job: StatisticJob) -> Floats:
    """Read the stored values of a statistic, float64, with a row for each example or group."""
    return store.read_array(STATISTICS, str(plan.keys(store).statistic_key(job)), VALUES)


def layer_names(plan: Plan, store: Store, job: StatisticJob) -> list[str]:
    """Read the layer names recorded with a stored statistic."""
    key = str(plan.keys(store).statistic_key(job))
    names: list[str] = store.manifest(STATISTICS, key).facts["features"]
    return names


def layer_jobs(plan: Plan, planned: PlannedCell) -> ByRole | None:
    """Find the layer gradient norms that a cell reads from the cell's own model and epoch.

    Returns:
        The jobs by role; None if the cell reads no layer gradients.
    """
    own = chain_of(planned.cell)
    for jobs in planned.reads.values():
        is_own = jobs.in_.chain == own and jobs.in_.epoch == planned.cell.epoch
        if is_own and plan.chains[own].jobs[jobs.in_].has_layer_norms:
            return jobs
    return None


def chain_of(cell: Cell) -> ChainId:
    """Return the training evaluated by a cell."""
    return ChainId(cell.model, cell.in_dataset, cell.seed)


def training_results(plan: Plan, results: Sequence[Result], store: Store) -> list[TrainingResults]:
    """Collect the results for each training with any number, in plan order."""
    numbers = {result.cell: result for result in results if result.status == "ok"}
    chains: dict[ChainId, list[PlannedCell]] = {}
    for planned in plan.cells:
        if planned.cell in numbers:
            chains.setdefault(chain_of(planned.cell), []).append(planned)
    return [
        TrainingResults(
            chain, tuple(cells), {item.cell: numbers[item.cell] for item in cells}, plan, store
        )
        for chain, cells in chains.items()
    ]
