"""The plan: what a suite asks for, as jobs and cells, and what of it is already stored.

A *chain* is one training (model, data set, seed) with all its epochs, and the statistics of its
checkpoints. Chains are independent of each other; cells read the statistics of one or more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from harness.data import PreparedDataset
from harness.domain import Images
from harness.draw import Draw
from harness.errors import DataError, StoreError
from harness.keys import (
    checkpoint_key,
    digest,
    examples_statistic_inputs,
    ids_digest,
    statistic_inputs,
    train_inputs,
)
from harness.only import Only
from harness.results import Cell
from harness.store import Store
from harness.suite import Asked, Component, ModelComponent, ScorerComponent
from harness.suite.references import Reference

CHECKPOINTS = "checkpoints"
STATISTICS = "statistics"


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


Reads: TypeAlias = Mapping[str, tuple[StatisticJob, StatisticJob, StatisticJob]]
"""For each input of a scorer, the jobs of the roles fit, in and out."""


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


@dataclass
class Plan:
    """Everything that a suite asks for, or the part of it that was selected.

    Attributes:
        only: The selection.
        asked: What all cells of the suite come from.
        reference: Published values, if the suite names some.
        prepared: The data sets that have been opened before.
        missing: Why a data set cannot be had, by name.
        unusable: Why a data set that is there cannot be used, by name.
    """

    suite: str
    title: str
    chains: dict[ChainId, Chain]
    cells: list[PlannedCell]
    prepared: dict[str, PreparedDataset]
    asked: Asked
    only: Only = field(default_factory=Only)
    reference: Reference | None = None
    missing: dict[str, str] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    _train_keys: dict[ChainId, str] = field(default_factory=dict, repr=False)
    _weights: dict[str, str] = field(default_factory=dict, repr=False)
    _ids: dict[Draw, tuple[str, int]] = field(default_factory=dict, repr=False)

    def train_inputs(self, chain: ChainId) -> dict[str, Any] | None:
        """What the training depends on; None if its data set has not been opened yet."""
        prepared = self.prepared.get(chain.dataset)
        if prepared is None:
            return None
        planned = self.chains[chain]
        fingerprint = prepared.fingerprints["train"]
        return train_inputs(planned.model, planned.domain, fingerprint, chain.seed)

    def train_key(self, chain: ChainId) -> str | None:
        """The train key; None if the data set has not been opened yet."""
        if chain not in self._train_keys:
            inputs = self.train_inputs(chain)
            if inputs is None:
                return None
            self._train_keys[chain] = digest(inputs)
        return self._train_keys[chain]

    def has_data(self, job: StatisticJob) -> bool:
        """Whether the data sets whose examples a job reads have been opened."""
        return all(name in self.prepared for name in job.datasets())

    def has_checkpoint(self, store: Store, chain: ChainId, epoch: int) -> bool:
        """Whether an epoch is stored."""
        key = self.train_key(chain)
        return key is not None and store.has(CHECKPOINTS, checkpoint_key(key, epoch))

    def has_checkpoint_of(self, store: Store, job: StatisticJob) -> bool:
        """Whether the checkpoint that a statistic reads is stored, or it reads none."""
        return job.epoch is None or self.has_checkpoint(store, job.chain, job.epoch)

    def statistic_inputs(self, store: Store, job: StatisticJob) -> dict[str, Any] | None:
        """What a statistic depends on; None while its checkpoint or data is not there.

        Raises:
            DataError: The data set has fewer examples than the job asks for.
            StoreError: The checkpoint's manifest is damaged.
        """
        if not self.has_data(job):
            return None
        weights = None
        if job.epoch is not None:
            weights = self.weights_of(store, job.chain, job.epoch)
            if weights is None:
                return None
        chain = self.chains[job.chain]
        self.require_examples(job)
        examples, _ = self.examples(job.draw, self.prepared[job.draw.dataset])
        parts = chain.domain, chain.jobs[job]
        if weights is None:
            return examples_statistic_inputs(*parts, examples, job.group_size)
        fit = self._fit_examples(job)
        return statistic_inputs(chain.model, *parts, weights, examples, job.group_size, fit)

    def weights_of(self, store: Store, chain: ChainId, epoch: int) -> str | None:
        """sha256 of the weights of an epoch; None if it is not stored.

        Raises:
            StoreError: The checkpoint's manifest is damaged.
        """
        key = checkpoint_key(str(self.train_key(chain)), epoch)
        if key not in self._weights:
            if not self.has_checkpoint(store, chain, epoch):
                return None
            manifest = store.manifest(CHECKPOINTS, key)
            if "model.safetensors" not in manifest.files:
                raise StoreError(f"checkpoint {key} lists no weights")
            self._weights[key] = manifest.files["model.safetensors"]["sha256"]
        return self._weights[key]

    def _fit_examples(self, job: StatisticJob) -> dict[str, Any] | None:
        """What enters the key of a fitted statistic of what it is fitted on."""
        if job.fit is None:
            return None
        examples, _ = self.examples(job.fit, self.prepared[job.fit.dataset])
        return {**examples, "part": "the other half" if job.draw.role == "fit" else "second half"}

    def require_examples(self, job: StatisticJob) -> None:
        """See that a data set, if it has been opened, has the examples that a job asks for.

        Raises:
            DataError: It has too few.
        """
        prepared = self.prepared.get(job.draw.dataset)
        if prepared is None:
            return
        _, count = self.examples(job.draw, prepared)
        if job.group_size is not None and count < job.group_size:
            raise DataError(
                f"a group has {job.group_size} examples, but role {job.draw.role!r} of "
                f"{job.draw.dataset!r} only {count}"
            )

    def examples(self, draw: Draw, prepared: PreparedDataset) -> tuple[dict[str, str], int]:
        """Fingerprint of a split and digest of the example numbers drawn from it; how many.

        Raises:
            DataError: The data set has fewer examples than the draw asks for.
        """
        if draw not in self._ids:
            ids = draw.ids(prepared.counts["test"])
            self._ids[draw] = (ids_digest(ids), len(ids))
        ids_key, count = self._ids[draw]
        return {"split": prepared.fingerprints["test"], "ids": ids_key}, count

    def statistic_key(self, store: Store, job: StatisticJob) -> str | None:
        """The statistic key; None while its checkpoint or data is not there."""
        inputs = self.statistic_inputs(store, job)
        return None if inputs is None else digest(inputs)

    def has_statistic(self, store: Store, job: StatisticJob) -> bool:
        """Whether a statistic is stored."""
        try:
            key = self.statistic_key(store, job)
        except (DataError, StoreError):
            return False
        return key is not None and store.has(STATISTICS, key)

    def needed_datasets(self) -> list[str]:
        """Names of all data sets that chains and jobs read."""
        names = {chain.dataset for chain in self.chains}
        for chain in self.chains.values():
            names.update(*(job.datasets() for job in chain.jobs))
        return sorted(names)
