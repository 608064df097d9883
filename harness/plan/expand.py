"""Expansion of a suite into a plan: chains, jobs and cells; notes on training data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TypeAlias

from harness.contracts import FittedStatistic, Statistic
from harness.data.folder import PreparedDataset
from harness.data.roles import Draw
from harness.errors import NothingSelectedError, SuiteError
from harness.plan.jobs import ByRole, Chain, ChainId, PlannedCell, Reads, StatisticJob
from harness.plan.plan import Plan
from harness.registry.registered import MEMORY
from harness.results import Cell
from harness.suite import (
    Comparison,
    Component,
    ModelComponent,
    ResolvedSuite,
    ScorerComponent,
)
from harness.suite.components import Input
from harness.suite.resolve import DEQUANTISED, LOG_PROB
from harness.suite.selection import parse_selection
from harness.text import counted

MOST_CELLS = 1_000_000
Jobs: TypeAlias = Callable[[Draw], StatisticJob]
"""The jobs of an input by draw, for a fixed epoch and group size."""


def make_plan(suite: ResolvedSuite, prepared: Mapping[str, PreparedDataset]) -> Plan:
    """Expand a suite into chains, jobs and cells.

    Arguments:
        suite: Resolved; the function loads nothing.
        prepared: Data sets that have been opened before, by name.
    """
    builder = _Builder(suite, prepared)
    for comparison in suite.suite.comparisons:
        builder.add(comparison)
    return builder.plan


def select(suite: ResolvedSuite, texts: Sequence[str]) -> ResolvedSuite:
    """Restrict the plan of a suite to selected cells and the jobs they need.

    Arguments:
        suite: Resolved.
        texts: Selections `KEY=VALUE`; if empty, the suite stays unchanged.

    Raises:
        BenchError: A key or value is unknown.
        NothingSelectedError: The selection is empty.
    """
    cells = [planned.cell for planned in make_plan(suite, {}).cells] if texts else []
    only = parse_selection(texts, cells)
    if texts and not any(map(only.selects, cells)):
        raise NothingSelectedError(f"no cell of {suite.path} has {', '.join(only.as_arguments())}")
    return replace(suite, only=only)


def _conflict(cell: Cell) -> str:
    about = f"{cell.model}, {cell.in_dataset} against {cell.out_dataset}, {cell.scorer}"
    return (
        f"two comparisons ask for {about} on different examples: n_in, n_fit, n_out, fit_overlap "
        "and draw_seed must be the same, or the model must have another name"
    )


@dataclass(frozen=True, eq=False)
class _Row:
    """A training requested by a comparison.

    Attributes:
        comparison: The comparison behind the request.
        fit: Draw of role fit; `in_` is the draw of role in, `outs` has draws of role out by data
            set.
        inputs: Jobs of the inputs so far, by text, epoch and group size. A job is created on first
            use and shared by all cells that read it.
        notes: Notes by scorer, for the scorers so far.
    """

    comparison: Comparison
    chain: ChainId
    fit: Draw
    in_: Draw
    outs: Mapping[str, Draw]
    inputs: dict[tuple[str, int, int | None], Jobs] = field(default_factory=dict)
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Kind:
    """Properties of a statistic."""

    component: Component
    is_grouped: bool
    reads_model: bool
    is_fitted: bool


class _Builder:
    def __init__(self, suite: ResolvedSuite, prepared: Mapping[str, PreparedDataset]) -> None:
        self.suite = suite
        self.plan = Plan(
            suite.name,
            suite.path,
            {},
            [],
            dict(prepared),
            suite.fingerprint(),
            only=suite.only,
            changes=suite.changes,
            reference=suite.reference,
            originals={name: item.original.name for name, item in suite.datasets.items()},
        )
        self.comparisons = 0
        self.seen: dict[Cell, tuple[Draw, Draw, Draw]] = {}
        self.kinds: dict[str, _Kind] = {}
        self.asked = 0
        self.for_bits = [
            Input(name, name) if name in suite.statistics else None
            for name in (LOG_PROB, DEQUANTISED)
        ]

    def add(self, comparison: Comparison) -> None:
        """Add the cells for a comparison.

        Raises:
            SuiteError: A cell already exists with different examples, or there are too many cells.
        """
        self.comparisons += 1
        self._check_size(comparison)
        for model in comparison.models:
            for in_dataset in comparison.in_datasets:
                for seed in comparison.seeds:
                    self._add_chain(comparison, ChainId(model, in_dataset, seed))

    def _check_size(self, comparison: Comparison) -> None:
        """Refuse a suite too large for the memory, before expanding."""
        rows = math.prod(
            map(len, (comparison.models, comparison.seeds, comparison.epochs))
        ) * math.prod(map(len, (comparison.group_sizes, comparison.scorers)))
        pairs = sum(
            len(self.suite.out_datasets(comparison, name)) for name in comparison.in_datasets
        )
        self.asked += rows * pairs
        if self.asked > MOST_CELLS:
            message = f"the suite asks for more than {MOST_CELLS:,} cells; divide it"
            raise self._error(message)

    def _error(self, message: str) -> SuiteError:
        """Build an error about the comparison that was added last."""
        key = ("comparisons", self.comparisons - 1)
        return SuiteError([self.suite.origins.problem(key, message)])

    def _add_chain(self, comparison: Comparison, chain: ChainId) -> None:
        outs = self.suite.out_datasets(comparison, chain.dataset)
        row = _Row(
            comparison,
            chain,
            Draw.of(comparison, chain.dataset, "fit"),
            Draw.of(comparison, chain.dataset, "in"),
            {name: Draw.of(comparison, name, "out") for name in outs},
        )
        for group_size in comparison.group_sizes:
            for name in comparison.scorers:
                for epoch in sorted(comparison.epochs):
                    self._add_cells(row, self.suite.scorers[name], epoch, group_size)

    def _add_cells(self, row: _Row, scorer: ScorerComponent, epoch: int, group_size: int) -> None:
        """Add the cells that differ only in the OOD set."""
        chain, place = row.chain, (epoch, group_size)
        inputs = {item.text: self._input(row, item, *place) for item in scorer.inputs}
        for_bits = [None if x is None else self._input(row, x, *place) for x in self.for_bits]
        for name, out in row.outs.items():
            cell = Cell(chain.model, chain.dataset, name, scorer.name, *place, chain.seed)
            draws = (row.fit, row.in_, out)
            if not self._is_new(cell, draws) or not self.suite.only.selects(cell):
                continue
            reads = {text: ByRole(*map(job, draws)) for text, job in inputs.items()}
            midpoint, dequantised = (
                None if job is None else (job(row.in_), job(out)) for job in for_bits
            )
            notes, number = self._notes(row, cell, reads), len(self.seen) - 1
            planned = PlannedCell(cell, scorer, reads, midpoint, dequantised, notes, number)
            self.plan.cells.append(planned)

    def _is_new(self, cell: Cell, draws: tuple[Draw, Draw, Draw]) -> bool:
        """Record a cell; return True if the cell is new.

        Raises:
            SuiteError: The cell already exists with different examples.
        """
        known = len(self.seen)
        if self.seen.setdefault(cell, draws) != draws:
            raise self._error(_conflict(cell))
        return len(self.seen) > known

    def _notes(self, row: _Row, cell: Cell, reads: Reads) -> tuple[str, ...]:
        if cell.scorer not in row.notes:
            models = (job.chain.model for job, _, _ in reads.values() if job.epoch is not None)
            row.notes[cell.scorer] = notes_on_trainings(
                self.plan, self.suite, row.comparison, cell, (cell.model, *models)
            )
        return row.notes[cell.scorer]

    def _input(self, row: _Row, item: Input, epoch: int, group_size: int) -> Jobs:
        size = group_size if self._kind(item.statistic).is_grouped else None
        key = (item.text, epoch, size)
        if key not in row.inputs:
            row.inputs[key] = cache(partial(self._job, row, item, epoch, size))
        return row.inputs[key]

    def _job(
        self, row: _Row, item: Input, epoch: int, group_size: int | None, draw: Draw
    ) -> StatisticJob:
        """Create the job for an input, and add the job to the chain for the model to read."""
        kind = self._kind(item.statistic)
        name = item.model or row.chain.model
        seed = row.chain.seed if item.seed is None else item.seed
        chain = ChainId(name, self.suite.trained_on(name, row.chain.dataset), seed)
        epoch = epoch if item.epoch is None else item.epoch
        fitted_on = row.fit if kind.is_fitted else None
        planned = self.plan.chains.get(chain)
        if planned is None:
            model = self.suite.models[chain.model]
            domain = self.suite.datasets[chain.dataset].dataset.domain
            planned = self.plan.chains[chain] = Chain(chain, model, domain)
        place = (chain, epoch if kind.reads_model else None)
        job = StatisticJob(*place, item.statistic, draw, group_size, fitted_on, unit=planned.unit)
        if job.epoch is not None:
            planned.epochs.add(job.epoch)
        planned.jobs.setdefault(job, kind.component)
        return job

    def _kind(self, name: str) -> _Kind:
        if name not in self.kinds:
            component = self.suite.statistics[name]
            statistic: Statistic = component.build()
            self.kinds[name] = _Kind(
                component,
                statistic.per != "example",
                getattr(statistic, "reads_model", True),
                isinstance(statistic, FittedStatistic),
            )
        return self.kinds[name]


def notes_on_trainings(
    plan: Plan, suite: ResolvedSuite, comparison: Comparison, cell: Cell, models: Iterable[str]
) -> tuple[str, ...]:
    """Write notes on the examples used for fitting the scorer and training the models of a cell.

    Arguments:
        plan: The plan, with the data sets that are available.
        suite: The suite with the cell.
        comparison: The comparison with the cell.
        cell: Cells with the same comparison, scorer and ID set have the same notes.
        models: The model of the cell and the models read by the scorer.
    """
    notes = []
    if comparison.fit_overlap == "paper":
        notes.append(
            "scorers were fitted on ID test examples that include the scored examples "
            '(fit_overlap = "paper"), which flatters them; intervals and tests do not hold'
        )
    for model in models:
        if suite.models[model].saved is not None:
            notes.append(_note_on_saved(suite.models[model], cell))
            continue
        examples = suite.models[model].recipe.examples
        dataset = suite.trained_on(model, cell.in_dataset)
        own = dataset == cell.in_dataset
        split = "the train split" if own else f"the train split of {dataset}"
        available = plan.prepared[dataset].counts["train"] if dataset in plan.prepared else None
        is_trained = any(comparison.epochs)
        if is_trained and examples is not None and (available is None or examples < available):
            notes.append(
                f"{model} was trained on {counted(examples, 'random example')} of {split} only"
            )
        elif not own:
            notes.append(f"{model} was trained on {split}")
    return tuple(dict.fromkeys(notes))


def _note_on_saved(model: ModelComponent, cell: Cell) -> str:
    """Write the note on a model with saved epochs: what the suite says about the training."""
    if model.registered.source.distribution == MEMORY:
        return (
            f"{model.name} was given in memory, so a suite alone cannot reproduce its results; "
            f"they hold if it was trained on {cell.in_dataset}"
        )
    if model.dataset is None:
        return (
            f"{model.name} was not trained here, and the suite does not say on which data; the "
            f"results hold if it was trained on {cell.in_dataset}"
        )
    return (
        f"{model.name} was not trained here; according to the suite it was trained on "
        f"{model.dataset}"
    )
