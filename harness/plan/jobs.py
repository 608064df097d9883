"""Chains, statistic jobs and planned cells: the parts of a plan.

A *chain* is one training (model, data set, seed) with all its epochs, and the statistics of its
checkpoints. Chains are independent of each other; cells read the statistics of one or more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from harness.data.roles import Draw
from harness.domain import Images
from harness.results import Cell
from harness.suite import Component, ModelComponent, ScorerComponent


class ChainId(NamedTuple):
    """One training: a model on the train split of a data set from a seed."""

    model: str
    dataset: str
    seed: int

    def __str__(self) -> str:
        seed = f" (seed {self.seed})" if self.seed else ""
        return f"{self.model} on {self.dataset}{seed}"


class StatisticJob(NamedTuple):
    """One statistic of one checkpoint over the groups of one draw.

    `epoch` is None for a statistic of the examples alone, which any chain may compute;
    `group_size` is None for a statistic per example; `fit` is the draw that a fitted statistic is
    fitted on, None for any other.
    """

    chain: ChainId
    epoch: int | None
    statistic: str
    draw: Draw
    group_size: int | None
    fit: Draw | None = None

    def datasets(self) -> tuple[str, ...]:
        """The data sets whose test examples it reads."""
        return (self.draw.dataset, *(() if self.fit is None else (self.fit.dataset,)))

    def details(self) -> str:
        """Its group size and, where the model is not trained on that, what it is fitted on."""
        groups = "" if self.group_size is None else f", b = {self.group_size}"
        if self.fit is None or self.fit.dataset == self.chain.dataset:
            return groups
        return f"{groups}, fitted on {self.fit.dataset}"

    def __str__(self) -> str:
        where = f"{self.draw.dataset} ({self.draw.role})"
        epoch = "" if self.epoch is None else f" epoch {self.epoch}"
        return f"{self.chain}{epoch}: {self.statistic} of {where}{self.details()}"


class ByRole(NamedTuple):
    """The jobs of one statistic over the examples of each role."""

    fit: StatisticJob
    in_: StatisticJob
    out: StatisticJob


Reads: TypeAlias = Mapping[str, ByRole]
"""The jobs of each input of a scorer."""


@dataclass
class Chain:
    """A training with what is to be computed from its checkpoints."""

    id: ChainId
    model: ModelComponent
    domain: Images
    epochs: set[int] = field(default_factory=set)
    jobs: dict[StatisticJob, Component] = field(default_factory=dict)


class PlannedCell(NamedTuple):
    """A cell, the scorer it is scored by, and the statistics that it reads by role.

    Attributes:
        log_prob: The jobs of the roles in and out that give bits per dimension, if there are any.
        number: Its place among all cells of the suite, whichever of them are selected.
    """

    cell: Cell
    scorer: ScorerComponent
    reads: Reads
    log_prob: tuple[StatisticJob, StatisticJob] | None
    notes: tuple[str, ...]
    number: int

    def jobs(self) -> Iterator[StatisticJob]:
        """Every job that the cell needs."""
        for jobs in self.reads.values():
            yield from jobs
        yield from self.log_prob or ()
