"""Chains, statistic jobs and planned cells: the parts of a plan.

A *chain* is a training (model, data set, seed) with all epochs, and the statistics for the
checkpoints. Chains are independent from each other; a cell reads statistics from one or more
chains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from harness.data.roles import Draw
from harness.domain import Domain
from harness.results import Cell
from harness.suite import Component, ModelComponent, ScorerComponent


class ChainId(NamedTuple):
    """A training: a model on the train split of a data set, with a seed."""

    model: str
    dataset: str
    seed: int

    def __str__(self) -> str:
        seed = f" (seed {self.seed})" if self.seed else ""
        return f"{self.model} on {self.dataset}{seed}"


class StatisticJob(NamedTuple):
    """A statistic of a checkpoint, evaluated on the groups of a draw.

    `epoch` is None for a statistic of the examples alone, computable by any chain; `group_size` is
    None for a statistic per example; `fit` is the draw used to fit a fitted statistic, and None
    for any other statistic; `unit` is what the epoch counts, `"epoch"` or `"step"`.
    """

    chain: ChainId
    epoch: int | None
    statistic: str
    draw: Draw
    group_size: int | None
    fit: Draw | None = None
    unit: str = "epoch"

    def datasets(self) -> tuple[str, ...]:
        """List the data sets with test examples for the job."""
        return (self.draw.dataset, *(() if self.fit is None else (self.fit.dataset,)))

    def details(self) -> str:
        """Describe the group size and, if unlike the training data, the data set of the fit."""
        groups = "" if self.group_size is None else f", b = {self.group_size}"
        if self.fit is None or self.fit.dataset == self.chain.dataset:
            return groups
        return f"{groups}, fitted on {self.fit.dataset}"

    def __str__(self) -> str:
        where = f"{self.draw.dataset} ({self.draw.role})"
        epoch = "" if self.epoch is None else f" {self.unit} {self.epoch}"
        return f"{self.chain}{epoch}: {self.statistic} of {where}{self.details()}"


class ByRole(NamedTuple):
    """The jobs of a statistic, by role of the examples."""

    fit: StatisticJob
    in_: StatisticJob
    out: StatisticJob


Reads: TypeAlias = Mapping[str, ByRole]
"""The jobs of each input of a scorer."""

Sides: TypeAlias = tuple[StatisticJob, StatisticJob]
"""The jobs of a statistic with roles in and out."""


@dataclass
class Chain:
    """A training with the jobs to compute from the checkpoints."""

    id: ChainId
    model: ModelComponent
    domain: Domain
    epochs: set[int] = field(default_factory=set)
    jobs: dict[StatisticJob, Component] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """Unit of the numbers of the epochs: `"epoch"` or `"step"`."""
        return "epoch" if self.model.saved is None else self.model.saved.unit


class PlannedCell(NamedTuple):
    """A cell, the scorer, and the statistics to read, by role.

    Attributes:
        midpoint: The jobs for the log-density in the middle of the bin; None if not available.
        dequantised: The jobs for bits per dimension; None if not available. A score does not need
            them.
        number: Position among all cells in the suite, independent of the selection.
    """

    cell: Cell
    scorer: ScorerComponent
    reads: Reads
    midpoint: Sides | None
    dequantised: Sides | None
    notes: tuple[str, ...]
    number: int

    def jobs(self) -> Iterator[StatisticJob]:
        """Yield every job of the cell."""
        yield from self.required()
        yield from self.dequantised or ()

    def required(self) -> Iterator[StatisticJob]:
        """Yield the jobs without which the cell has no result."""
        for jobs in self.reads.values():
            yield from jobs
        yield from self.midpoint or ()
