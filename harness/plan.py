"""The plan: what a suite asks for, as jobs and cells, and what of it is already stored.

A *chain* is one training (model, data set, seed) with all its epochs, and the statistics of its
checkpoints. Chains are independent of each other; cells read the statistics of one or more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.contracts import FittedStatistic, Statistic
from harness.data import PreparedDataset
from harness.domain import Images
from harness.draw import Draw
from harness.errors import DataError, NothingSelectedError, Problem, StoreError, SuiteError
from harness.keys import (
    checkpoint_key,
    digest,
    examples_statistic_inputs,
    ids_digest,
    statistic_inputs,
    train_inputs,
)
from harness.notes import notes_on_trainings
from harness.only import Only, parse_only
from harness.results import Cell
from harness.store import Store
from harness.suite import Comparison, Component, ModelComponent, ResolvedSuite, ScorerComponent
from harness.suite.components import Input
from harness.suite.references import Reference
from harness.suite.resolve import LOG_PROB

CHECKPOINTS = "checkpoints"
STATISTICS = "statistics"
MOST_CELLS = 1_000_000


@dataclass(frozen=True)
class ChainId:
    """One training: a model on the train split of a data set from a seed."""

    model: str
    dataset: str
    seed: int

    def __str__(self) -> str:
        seed = f" (seed {self.seed})" if self.seed else ""
        return f"{self.model} on {self.dataset}{seed}"


@dataclass(frozen=True)
class StatisticJob:
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


@dataclass
class Chain:
    """A training with what is to be computed from its checkpoints."""

    id: ChainId
    model: ModelComponent
    domain: Images
    epochs: set[int] = field(default_factory=set)
    jobs: dict[StatisticJob, Component] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedCell:
    """A cell, the scorer it is scored by, and the statistics that it reads by role.

    Attributes:
        reads: For each input of the scorer, the jobs of the roles fit, in and out.
        log_prob: The jobs of the roles in and out that give bits per dimension, if there are any.
    """

    cell: Cell
    scorer: ScorerComponent
    reads: Mapping[str, tuple[StatisticJob, StatisticJob, StatisticJob]]
    log_prob: tuple[StatisticJob, StatisticJob] | None
    notes: tuple[str, ...]

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
        if not self.has_data(job) or not self.has_checkpoint_of(store, job):
            return None
        chain = self.chains[job.chain]
        weights = None if job.epoch is None else self._weights_of(store, job.chain, job.epoch)
        self.require_examples(job)
        examples, _ = self.examples(job.draw, self.prepared[job.draw.dataset])
        parts = chain.domain, chain.jobs[job]
        if weights is None:
            return examples_statistic_inputs(*parts, examples, job.group_size)
        fit = self._fit_examples(job)
        return statistic_inputs(chain.model, *parts, weights, examples, job.group_size, fit)

    def _weights_of(self, store: Store, chain: ChainId, epoch: int) -> str:
        key = checkpoint_key(str(self.train_key(chain)), epoch)
        if key not in self._weights:
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


def make_plan(suite: ResolvedSuite, prepared: Mapping[str, PreparedDataset]) -> Plan:
    """Expand a suite into chains, jobs and cells.

    Arguments:
        suite: Resolved; nothing of it is loaded.
        prepared: The data sets that have been opened before, by name.
    """
    builder = _Builder(suite, prepared)
    for comparison in suite.suite.comparisons:
        builder.add(comparison)
    return builder.plan


def select(suite: ResolvedSuite, texts: Sequence[str]) -> ResolvedSuite:
    """The suite with its plan restricted to some cells and what they need.

    Arguments:
        suite: Resolved.
        texts: Selections `KEY=VALUE`; without any, the suite stays as it is.

    Raises:
        BenchError: A key or value is unknown.
        NothingSelectedError: No cell is left.
    """
    cells = [planned.cell for planned in make_plan(suite, {}).cells] if texts else []
    only = parse_only(texts, cells)
    if texts and not any(map(only.takes, cells)):
        raise NothingSelectedError(f"no cell of {suite.path} has {', '.join(only.texts())}")
    return replace(suite, only=only)


def _conflict(suite: ResolvedSuite, cell: Cell) -> Problem:
    about = f"{cell.model}, {cell.in_dataset} against {cell.out_dataset}, {cell.scorer}"
    return Problem(
        f"two comparisons ask for {about} on different examples: n_in, n_fit, n_out, fit_overlap "
        "and draw_seed must be the same, or the model must have another name",
        file=str(suite.path),
        key="comparisons",
    )


class _Builder:
    def __init__(self, suite: ResolvedSuite, prepared: Mapping[str, PreparedDataset]) -> None:
        self.suite = suite
        title, only, reference = suite.suite.title, suite.only, suite.reference
        self.plan = Plan(suite.name, title, {}, [], dict(prepared), only, reference)
        self.seen: dict[Cell, tuple[Draw, Draw, Draw]] = {}
        self.planned: set[Cell] = set()
        self.statistics: dict[str, Statistic] = {}
        self.asked = 0

    def add(self, comparison: Comparison) -> None:
        """Add the cells of a comparison.

        Raises:
            SuiteError: A cell was there before, on other examples; or there are too many.
        """
        self._check_size(comparison)
        for model in comparison.models:
            for in_dataset in comparison.in_datasets:
                for seed in comparison.seeds:
                    self._add_chain(comparison, ChainId(model, in_dataset, seed))

    def _check_size(self, comparison: Comparison) -> None:
        """Refuse what would fill the memory, before it does."""
        rows = math.prod(
            map(len, (comparison.models, comparison.seeds, comparison.epochs))
        ) * math.prod(map(len, (comparison.group_sizes, comparison.scorers)))
        pairs = sum(
            len(self.suite.out_datasets(comparison, name)) for name in comparison.in_datasets
        )
        self.asked += rows * pairs
        if self.asked > MOST_CELLS:
            message = f"the suite asks for more than {MOST_CELLS:,} cells; divide it"
            raise SuiteError([Problem(message, file=str(self.suite.path), key="comparisons")])

    def _add_chain(self, comparison: Comparison, chain: ChainId) -> None:
        outs = self.suite.out_datasets(comparison, chain.dataset)
        for group_size in comparison.group_sizes:
            for name in comparison.scorers:
                scorer = self.suite.scorers[name]
                for epoch in sorted(comparison.epochs):
                    for out in outs:
                        cell = Cell(
                            chain.model, chain.dataset, out, name, epoch, group_size, chain.seed
                        )
                        self._add_cell(comparison, chain, scorer, cell)

    def _add_cell(
        self, comparison: Comparison, chain: ChainId, scorer: ScorerComponent, cell: Cell
    ) -> None:
        draws = (
            Draw.of(comparison, cell.in_dataset, "fit"),
            Draw.of(comparison, cell.in_dataset, "in"),
            Draw.of(comparison, cell.out_dataset, "out"),
        )
        if self.seen.setdefault(cell, draws) != draws:
            raise SuiteError([_conflict(self.suite, cell)])
        if cell in self.planned or not self.suite.only.takes(cell):
            return
        self.planned.add(cell)
        reads = {}
        for item in scorer.inputs:
            fit, in_, out = (self._job(item, cell, draw, draws[0]) for draw in draws)
            reads[item.text] = (fit, in_, out)
        log_prob = None
        if LOG_PROB in self.suite.statistics:
            item = Input(LOG_PROB, LOG_PROB)
            in_, out = (self._job(item, cell, draw, draws[0]) for draw in draws[1:])
            log_prob = (in_, out)
        models = (fit.chain.model for fit, _, _ in reads.values() if fit.epoch is not None)
        notes = notes_on_trainings(self.suite, comparison, cell, (cell.model, *models))
        self.plan.cells.append(PlannedCell(cell, scorer, reads, log_prob, notes))

    def _job(self, item: Input, cell: Cell, draw: Draw, fit: Draw) -> StatisticJob:
        """The job of one input, added to the chain of the model that it reads."""
        name = item.model or cell.model
        seed = cell.seed if item.seed is None else item.seed
        chain = ChainId(name, self.suite.trained_on(name, cell.in_dataset), seed)
        component = self.suite.statistics[item.statistic]
        statistic = self._built(component)
        group_size = None if statistic.per == "example" else cell.group_size
        epoch = cell.epoch if item.epoch is None else item.epoch
        place = (chain, epoch if getattr(statistic, "reads_model", True) else None)
        fitted_on = fit if isinstance(statistic, FittedStatistic) else None
        job = StatisticJob(*place, item.statistic, draw, group_size, fitted_on)
        planned = self.plan.chains.get(chain)
        if planned is None:
            model = self.suite.models[chain.model]
            domain = self.suite.datasets[chain.dataset].dataset.domain
            planned = self.plan.chains[chain] = Chain(chain, model, domain)
        if job.epoch is not None:
            planned.epochs.add(job.epoch)
        planned.jobs.setdefault(job, component)
        return job

    def _built(self, component: Component) -> Statistic:
        if component.name not in self.statistics:
            self.statistics[component.name] = component.build()
        return self.statistics[component.name]
