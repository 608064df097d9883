"""What figures read: the results of one training and the stored statistics behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.domain import bits_per_dim
from harness.plan.jobs import ByRole, ChainId, PlannedCell, StatisticJob
from harness.plan.plan import Plan
from harness.report.figures.scale import Floats
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
        for jobs in self._layer_jobs(out, epoch, group_size):
            return self._values(jobs.in_), self._values(jobs.out)
        return None

    def layer_names(self) -> Sequence[str]:
        """The names of the layers; empty if no scorer reads their gradients."""
        for out in self.outs:
            for jobs in self._layer_jobs(out, self.epochs[-1], self.group_sizes[0]):
                key = str(self.plan.keys(self.store).statistic_key(jobs.in_))
                names: list[str] = self.store.manifest(STATISTICS, key).facts["features"]
                return names
        return ()

    def _layer_jobs(self, out: str, epoch: int, group_size: int) -> Iterator[ByRole]:
        for planned in self.cells:
            cell = planned.cell
            if (cell.out_dataset, cell.epoch, cell.group_size) == (out, epoch, group_size):
                for jobs in planned.reads.values():
                    own = jobs.fit.chain == self.chain and jobs.fit.epoch == epoch
                    if own and self.plan.chains[jobs.fit.chain].jobs[jobs.fit].has_layer_norms:
                        yield jobs

    def _values(self, job: StatisticJob) -> Floats:
        key = str(self.plan.keys(self.store).statistic_key(job))
        return self.store.read_array(STATISTICS, key, VALUES)


def training_results(plan: Plan, results: Sequence[Result], store: Store) -> list[TrainingResults]:
    """The story of each training that has any number, in the order of the plan."""
    numbers = {result.cell: result for result in results if result.status == "ok"}
    chains: dict[ChainId, list[PlannedCell]] = {}
    for planned in plan.cells:
        if (cell := planned.cell) in numbers:
            chain = ChainId(cell.model, cell.in_dataset, cell.seed)
            chains.setdefault(chain, []).append(planned)
    return [
        TrainingResults(
            chain, tuple(cells), {item.cell: numbers[item.cell] for item in cells}, plan, store
        )
        for chain, cells in chains.items()
    ]
