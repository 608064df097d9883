"""Make a detector from a cell of a suite, with all stored data that its scores need."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from harness.data.folder import DataFolder
from harness.detectors.conformal import most_flagged, p_values
from harness.detectors.description import Description, Used, UsedModel, UsedStatistic
from harness.detectors.folder import README, require_free, write_folder
from harness.detectors.readme import readme
from harness.detectors.scoring import fitted_scorer
from harness.errors import BenchError, NothingStoredError, UnsupportedError
from harness.plan.crossfit import cross_fit_splits
from harness.plan.expand import make_plan, select
from harness.plan.jobs import ChainId, PlannedCell, StatisticJob
from harness.plan.plan import Plan
from harness.results import COLUMNS, Cell, Result
from harness.run.command import run_command
from harness.run.outcome import Outcome, cached_outcome
from harness.run.prepare import plan_unopened
from harness.scoring.reader import StatisticReader
from harness.settings import Settings
from harness.store.layout import CHECKPOINTS, WEIGHTS
from harness.store.records import Store, array_bytes
from harness.suite import ResolvedSuite
from harness.text import known_names

LEVEL = 0.05
"""Level of the flags that the README tells."""
LIBRARIES = ("oodbench", "torch", "numpy", "scikit-learn", "pillow")
AXES = ("model", "in", "scorer", "epoch", "group_size", "seed")
SMALLEST = ("group_size", "seed")
"""Axes whose smallest value is chosen by default."""


class WantedCell(TypedDict, total=False):
    """Values that choose the cell of a detector; a value may be missing if it is the only one."""

    model: str
    in_dataset: str
    scorer: str
    epoch: int
    group_size: int
    seed: int


def make_detector(
    suite: ResolvedSuite, settings: Settings, wanted: WantedCell, folder: Path
) -> Mapping[str, Any]:
    """Write the folder of a detector from stored results; imports no torch.

    Returns:
        The facts about the detector, as stored in the folder.

    Raises:
        BenchError: The cell is unknown, not computed or without a number, the folder exists, or
            the scorer needs more than a detector can carry.
    """
    require_free(folder)
    values = {"in" if key == "in_dataset" else key: value for key, value in wanted.items()}
    texts = choose([item.cell for item in make_plan(suite, {}).cells], values)
    plan = plan_unopened(select(suite, texts), settings)
    results = _results(cached_outcome(plan, settings), suite, settings, texts)
    planned = {item.cell: item for item in plan.cells}
    cell = planned[results[0].cell]
    same = [item for item in results if _draws(planned[item.cell]) == _draws(cell)]
    maker = _Maker(suite, settings, plan, cell)
    description = maker.describe(same[0])
    facts = _facts(plan, cell, same)
    text = readme(folder.name, description, facts)
    write_folder(folder, description, facts, {**maker.files, README: text.encode()})
    return facts


def choose(cells: Collection[Cell], wanted: Mapping[str, Any]) -> list[str]:
    """Choose a single cell for each OOD set.

    Arguments:
        cells: All cells of a suite.
        wanted: Values by axis; group size and seed are the smallest by default, and any other axis
            may be left out only if the chosen cells have one value.

    Returns:
        The choice, in the form of `--only`.

    Raises:
        BenchError: An axis or value is unknown, or a value must be chosen.
    """
    for key in wanted:
        if key not in AXES:
            raise BenchError(f"{key!r} chooses no cell ({known_names(key, AXES)})")
    texts = []
    for key in AXES:
        place, option = COLUMNS.index(key), f"--{key.replace('_', '-')}"
        known = sorted({cell[place] for cell in cells})
        value = wanted.get(key, known[0])
        if value not in known:
            hint = known_names(str(value), map(str, known))
            raise BenchError(f"{option} {value}: no such cell in the suite ({hint})")
        if key not in wanted and len(known) > 1 and key not in SMALLEST:
            raise BenchError(f"choose one with {option}: {', '.join(map(str, known))}")
        cells = [cell for cell in cells if cell[place] == value]
        texts.append(f"{key}={value}")
    return texts


def _results(
    outcome: Outcome, suite: ResolvedSuite, settings: Settings, texts: Sequence[str]
) -> list[Result]:
    """Return the results with a number, one for each OOD set."""
    known = [result for result in outcome.results if result.status == "ok"]
    if known:
        return known
    for result in outcome.results:
        raise BenchError(f"{', '.join(texts)} has no number ({result.status}): {result.message}")
    run = run_command(suite, settings, texts)
    raise NothingStoredError(str(suite.path), settings.store, run)


def _draws(planned: PlannedCell) -> Any:
    return {name: (jobs.fit, jobs.in_) for name, jobs in planned.reads.items()}


@dataclass
class _Maker:
    """Collects the files of a detector.

    Attributes:
        files: Content by name.
    """

    suite: ResolvedSuite
    settings: Settings
    plan: Plan
    planned: PlannedCell
    files: dict[str, bytes] = field(default_factory=dict)
    models: dict[tuple[ChainId, int], UsedModel] = field(default_factory=dict)
    statistics: dict[StatisticJob, UsedStatistic] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = Store(self.settings.store)
        self.reader = StatisticReader(self.plan, self.store)

    def describe(self, result: Result) -> Description:
        """Describe the detector, and add its files.

        Raises:
            UnsupportedError: The scorer was fitted on scored examples, or reads files.
        """
        cell, reads = self.planned.cell, self.planned.reads
        if any(jobs.fit.draw.fit_overlap != "none" for jobs in reads.values()):
            raise UnsupportedError(
                "the scorer was fitted on scored examples (fit_overlap), so their scores cannot "
                'calibrate a detector: use a suite with fit_overlap = "none"'
            )
        fit = {name: self.reader.groups(jobs.fit, cell.group_size) for name, jobs in reads.items()}
        for name, jobs in reads.items():
            self._add_statistic(jobs.in_, fit[name])
        features = {name: self.reader.features(jobs.fit) for name, jobs in reads.items()}
        _, fit_scores = fitted_scorer(self.planned.scorer, features, fit)
        places = list(self.statistics)
        domain = self.suite.datasets[cell.in_dataset].dataset.domain
        assert result.scores_in is not None, "a result with a number has scores"
        return Description(
            domain={**vars(domain)},
            group_size=cell.group_size,
            models=tuple(self.models.values()),
            statistics=tuple(self.statistics.values()),
            scorer=Used.of(self.planned.scorer),
            inputs={name: places.index(jobs.in_) for name, jobs in reads.items()},
            calibration=self._add("calibration-scores.npy", result.scores_in),
            fit_scores=self._add("fit-scores.npy", fit_scores),
        )

    def _add(self, name: str, array: Any) -> str:
        self.files[name] = array_bytes(np.ascontiguousarray(array))
        return name

    def _add_statistic(self, job: StatisticJob, fit: Any) -> None:
        if job in self.statistics:
            return
        number, component = len(self.statistics), self.plan.chains[job.chain].jobs[job]
        examples = None
        if job.fit is not None:
            examples = self._add(f"fit-examples-{number}.npy", self._fit_examples(job))
        self.statistics[job] = UsedStatistic.of(
            component,
            model=None if job.epoch is None else self._add_model(job.chain, job.epoch),
            features=tuple(self.reader.features(job)),
            fit=self._add(f"fit-statistics-{number}.npy", fit),
            examples=examples,
        )

    def _fit_examples(self, job: StatisticJob) -> Any:
        """Return the examples that the statistic of the scored examples was fitted to."""
        prepared = {
            name: DataFolder(self.settings.data).prepare(self.suite.datasets[name])
            for name in job.datasets()
        }
        fitted_on = prepared[job.fit.dataset] if job.fit else prepared[job.draw.dataset]
        counts = prepared[job.draw.dataset].counts["test"], fitted_on.counts["test"]
        part = next(cross_fit_splits(job, *counts))
        return fitted_on.load("test")[part.fit]

    def _add_model(self, chain: ChainId, epoch: int) -> int:
        if (chain, epoch) not in self.models:
            number, component = len(self.models), self.plan.chains[chain].model
            name = f"model-{number}.safetensors"
            key = str(self.plan.checkpoint_key(chain, epoch))
            self.files[name] = self.store.read(CHECKPOINTS, key, WEIGHTS)
            self.models[chain, epoch] = UsedModel.of(
                component,
                weights=name,
                precision=component.recipe.parameters,
                evaluation_precision=component.evaluation_precision,
                epoch=epoch,
                seed=chain.seed,
                trained_on=self.plan.trained_on(chain),
            )
        return list(self.models).index((chain, epoch))


def _facts(plan: Plan, planned: PlannedCell, results: Sequence[Result]) -> dict[str, Any]:
    """Collect what a user should know: cell, data, the AUROC it had, versions."""
    cell, first = planned.cell, results[0]
    assert first.scores_in is not None, "a result with a number has scores"
    assert first.metrics is not None, "the number"
    calibration = first.scores_in
    prepared = plan.prepared[cell.in_dataset]
    chain = ChainId(cell.model, cell.in_dataset, cell.seed)
    row = cell.as_row()
    del row["out"]
    measured = []
    for result in results:
        assert result.metrics is not None, "the number"
        assert result.scores_out is not None, "and its scores"
        found = p_values(calibration, result.scores_out)
        measured.append(
            {
                "out": result.cell.out_dataset,
                "auroc": result.metrics.auroc,
                "auroc_low": result.metrics.auroc_low,
                "auroc_high": result.metrics.auroc_high,
                "n_out": result.metrics.n_out,
                "flagged": _share(found, len(calibration)),
            }
        )
    libraries = {name: version(name) for name in LIBRARIES}
    return {
        **row,
        "unit": plan.unit(chain),
        "likelihood": first.likelihood,
        "suite": plan.suite,
        "set": list(plan.changes),
        "calibration_size": len(calibration),
        "fit_size": first.metrics.n_fit,
        "in_split": prepared.fingerprints["test"],
        "level": LEVEL,
        "results": measured,
        "notes": list(
            dict.fromkeys(note for item in results for note in item.provenance["notes"])
        ),
        "versions": {"python": platform.python_version(), **libraries},
    }


def _share(found: Any, n: int) -> float | None:
    """Return the share flagged at LEVEL; None if nothing can be flagged."""
    return float((found <= most_flagged(LEVEL, n)).mean()) if LEVEL * (n + 1) >= 1 else None
