"""What figures read: the results of one training and the stored statistics behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.domain import bits_per_dim
from harness.metrics.placements import Floats
from harness.plan.jobs import ByRole, ChainId, PlannedCell, StatisticJob
from harness.plan.plan import Plan
from harness.results import Cell, Metrics, Result
from harness.store.layout import STATISTICS, VALUES
from harness.store.records import Store


@dataclass(frozen=True)
class TrainingResults:
    """The results of one training that have a number, with the plan of each.

    Attributes:
        chain: The training.
        cells: In the order of the plan; every one has its `Result` in `results`.
    """

    chain: ChainId
    cells: tuple[PlannedCell, ...]
    results: Mapping[Cell, Result]
    plan: Plan
    store: Store

    @property
    def outs(self) -> list[str]:
        """The OOD data sets, in the order of the plan."""
        return list(dict.fromkeys(planned.cell.out_dataset for planned in self.cells))

    @property
    def scorers(self) -> list[str]:
        """The scorers, in the order of the plan."""
        return list(dict.fromkeys(planned.cell.scorer for planned in self.cells))

    @property
    def epochs(self) -> list[int]:
        """The epochs, ascending."""
        return sorted({planned.cell.epoch for planned in self.cells})

    @property
    def group_sizes(self) -> list[int]:
        """The group sizes, ascending."""
        return sorted({planned.cell.group_size for planned in self.cells})

    def metrics(self, cell: Cell) -> Metrics:
        """The numbers of one of the cells."""
        metrics = self.results[cell].metrics
        assert metrics is not None, "cells without a number are left out"
        return metrics

    def by_epoch(self, out: str, scorer: str, group_size: int) -> dict[int, Result]:
        """The results of one row of a table, by epoch, ascending."""
        found = {
            cell.epoch: result
            for cell, result in self.results.items()
            if (cell.out_dataset, cell.scorer, cell.group_size) == (out, scorer, group_size)
        }
        return dict(sorted(found.items()))

    def with_bits(self, out: str) -> dict[int, PlannedCell]:
        """A cell of each epoch whose bits per dimension are known on both sides, ascending."""
        found = {
            planned.cell.epoch: planned
            for planned in self.cells
            if planned.cell.out_dataset == out and self.metrics(planned.cell).ovl is not None
        }
        return dict(sorted(found.items()))

    def bits(self, planned: PlannedCell) -> tuple[Floats, Floats]:
        """Bits per dimension of each example scored: float64 (n,) ID and (m,) OOD."""
        assert planned.log_prob is not None, "its OVL is known"
        dims = self.plan.chains[self.chain].domain.dims
        in_, out = (bits_per_dim(self._values(job).ravel(), dims) for job in planned.log_prob)
        return in_, out

    def layers(self, out: str, epoch: int, group_size: int) -> tuple[Floats, Floats] | None:
        """Squared gradient norms of the layers, float64 (M, L), of ID and OOD groups."""
        jobs = self._layer_jobs(out, epoch, group_size)
        return jobs and (self._values(jobs.in_), self._values(jobs.out))

    def layer_names(self) -> list[str]:
        """The names of the layers; empty if no scorer reads their gradients."""
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


def stored_values(plan: Plan, store: Store, job: StatisticJob) -> Floats:
    """The values of a statistic, float64, a row for each example or group."""
    return store.read_array(STATISTICS, str(plan.keys(store).statistic_key(job)), VALUES)


def layer_names(plan: Plan, store: Store, job: StatisticJob) -> list[str]:
    """The names of the layers whose norms a stored statistic has."""
    key = str(plan.keys(store).statistic_key(job))
    names: list[str] = store.manifest(STATISTICS, key).facts["features"]
    return names


def layer_jobs(plan: Plan, planned: PlannedCell) -> ByRole | None:
    """The gradient norms of the layers of its own model that a cell reads; None if it has none."""
    own = chain_of(planned.cell)
    for jobs in planned.reads.values():
        is_own = jobs.in_.chain == own and jobs.in_.epoch == planned.cell.epoch
        if is_own and plan.chains[own].jobs[jobs.in_].has_layer_norms:
            return jobs
    return None


def chain_of(cell: Cell) -> ChainId:
    """The training that a cell is about."""
    return ChainId(cell.model, cell.in_dataset, cell.seed)


def training_results(plan: Plan, results: Sequence[Result], store: Store) -> list[TrainingResults]:
    """The story of each training that has any number, in the order of the plan."""
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
