"""Scoring: fit each scorer, score both sides, and make a result of every cell."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from harness.contracts import HasScoreTerms, NeedsFeatureNames, Scorer
from harness.domain import bits_per_dim
from harness.errors import BenchError, DataError, ScoreError, StoreError, UnsupportedError
from harness.metrics.overlap import overlap
from harness.metrics.roc import aupr, delong, fpr95
from harness.plan.jobs import PlannedCell, StatisticJob
from harness.plan.keys import checkpoint_key
from harness.plan.plan import Plan, failure_inputs, training_failure_inputs
from harness.results import Cell, Result, Status
from harness.scoring.provenance import provenance_of
from harness.scoring.published import beside
from harness.scoring.validity import checked_scores, facts_of_fit, notes_on_scores, notes_on_seen
from harness.store.failures import find_failure
from harness.store.layout import CHECKPOINTS, STATISTICS
from harness.store.records import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray


Read = TypeVar("Read")
HAS_BITS = ("exact", "lower_bound", "estimate")


@dataclass
class Scored:
    """The results of a plan, in its order, and the cells that no job has been run for yet.

    `set_aside` counts statistics that were found damaged and are no longer stored, `fresh` the
    numbers that were not known before.
    """

    results: list[Result] = field(default_factory=list)
    pending: list[Cell] = field(default_factory=list)
    set_aside: int = 0
    fresh: int = 0


def score_plan(
    plan: Plan,
    store: Store,
    report: Callable[[Result], None],
    known: Callable[[PlannedCell], Result | None] = lambda planned: None,
) -> Scored:
    """Score every cell whose statistics are stored.

    Arguments:
        plan: With its data sets found.
        store: Where the statistics are.
        report: Told of each result.
        known: The result of a cell that need not be scored.
    """
    scored = Scored()
    scoring = _Scoring(plan, store)
    for planned in plan.cells:
        result = known(planned)
        if result is None:
            result = scoring.result(planned)
            scored.fresh += result is not None and result.status == "ok"
        if result is None:
            scored.pending.append(planned.cell)
        else:
            scored.results.append(result)
            report(result)
    scored.set_aside = scoring.set_aside
    return scored


@dataclass(frozen=True, eq=False)
class CellTerms:
    """The terms of the scores of a cell by name, such as one for each layer.

    Attributes:
        terms_in: Of the ID groups, float64, (n_in,) each, higher is more OOD.
        terms_out: Of the OOD groups, float64, (n_out,) each, under the same names.
    """

    cell: Cell
    terms_in: Mapping[str, NDArray[np.float64]]
    terms_out: Mapping[str, NDArray[np.float64]]


def score_terms(plan: Plan, store: Store, cells: Container[Cell]) -> Iterator[CellTerms]:
    """The terms of the scores of some cells, of those whose scorer tells them (`HasScoreTerms`).

    Arguments:
        plan: With its data sets found.
        store: Where the statistics are.
        cells: Of those that have a number.

    Raises:
        ScoreError: As for the number itself.
    """
    scoring = _Scoring(plan, store)
    for planned in plan.cells:
        if planned.cell in cells and isinstance(planned.scorer.build(), HasScoreTerms):
            yield scoring.terms(planned)


@dataclass(frozen=True)
class _Fitted:
    """A fitted scorer with its ID scores, for all OOD sets of a row."""

    key: Any
    scorer: Scorer
    scores_in: NDArray[np.float64]


@dataclass(frozen=True)
class _Bits:
    """Mean bits per dimension of ID and OOD examples and the OVL of their densities."""

    mean_in: float | None = None
    mean_out: float | None = None
    ovl: float | None = None

    @classmethod
    def of(cls, bits_in: NDArray[np.float64], bits_out: NDArray[np.float64]) -> _Bits:
        sides = bits_in.ravel(), bits_out.ravel()
        mean_in, mean_out = (
            float(side.mean()) if np.isfinite(side).all() else None for side in sides
        )
        unknown = mean_in is None or mean_out is None
        return cls(mean_in, mean_out, None if unknown else overlap(*sides))


class _Scoring:
    def __init__(self, plan: Plan, store: Store) -> None:
        self.plan = plan
        self.store = store
        self.fitted: _Fitted | None = None
        self.keys: dict[StatisticJob, str] = {}
        self.obstacles: dict[StatisticJob, tuple[Status, str] | None] = {}
        self.bits: dict[tuple[StatisticJob, StatisticJob], _Bits] = {}
        self.checkpoints: dict[str, dict[str, Any]] = {}
        self.origins: dict[StatisticJob, dict[str, Any]] = {}
        self.features: dict[StatisticJob, list[str]] = {}
        self.set_aside = 0

    def result(self, planned: PlannedCell) -> Result | None:
        """The result of a cell; None while a job that it needs has not been run."""
        for job in planned.jobs():
            if self._key(job) is None:
                obstacle = self._obstacle(job)
                if obstacle is None:
                    return None
                status, message = obstacle
                return Result(planned.cell, status, message)
        try:
            return self._score(planned)
        except Exception as error:
            expected = isinstance(error, BenchError)
            message = str(error) if expected else f"{type(error).__name__}: {error}"
            unsupported = isinstance(error, UnsupportedError)
            return Result(planned.cell, "unsupported" if unsupported else "failed", message)

    def _key(self, job: StatisticJob) -> str | None:
        """The key of a stored statistic."""
        if job not in self.keys and self.plan.has_statistic(self.store, job):
            key = self.plan.statistic_key(self.store, job)
            if key is not None:
                self.keys[job] = key
        return self.keys.get(job)

    def _obstacle(self, job: StatisticJob) -> tuple[Status, str] | None:
        """Why a statistic is not there; None if nothing but that it was not asked for yet."""
        if job not in self.obstacles:
            self.obstacles[job] = self._find_obstacle(job)
        return self.obstacles[job]

    def _find_obstacle(self, job: StatisticJob) -> tuple[Status, str] | None:
        for name in (job.chain.dataset, *job.datasets()):
            if name in self.plan.missing:
                return "missing_data", self.plan.missing[name]
            if name in self.plan.unusable:
                return "failed", self.plan.unusable[name]
            if name not in self.plan.prepared:
                return None
        try:
            self.plan.statistic_inputs(self.store, job)
        except (DataError, StoreError) as error:
            return "failed", str(error)
        failure = find_failure(self.store, failure_inputs(self.plan, job))
        has_checkpoint = self.plan.has_checkpoint_of(self.store, job)
        if failure is None and job.epoch is not None and not has_checkpoint:
            inputs = training_failure_inputs(self.plan, job.chain, job.epoch)
            failure = find_failure(self.store, inputs)
        return None if failure is None else (failure.status, f"{failure.job}: {failure.message}")

    def _score(self, planned: PlannedCell) -> Result:
        self._check_features(planned)
        fitted = self._fit(planned)
        read = {name: self._read(jobs[2], planned) for name, jobs in planned.reads.items()}
        scores_out = checked_scores(fitted.scorer, read, "OOD", planned.cell)
        estimate = delong(fitted.scores_in, scores_out)
        bits = self._bits(planned)
        return Result(
            planned.cell,
            "ok",
            auroc=estimate.auroc,
            auroc_se=estimate.se,
            auroc_low=estimate.low,
            auroc_high=estimate.high,
            aupr=aupr(fitted.scores_in, scores_out),
            fpr95=fpr95(fitted.scores_in, scores_out),
            n_in=len(fitted.scores_in),
            n_out=len(scores_out),
            bits_per_dim_in=bits.mean_in,
            bits_per_dim_out=bits.mean_out,
            ovl=bits.ovl,
            published=beside(self.plan.reference, planned.cell, estimate),
            scores_in=fitted.scores_in,
            scores_out=scores_out,
            provenance=provenance_of(
                self.plan,
                planned,
                planned.scorer.provenance(),
                {name: self._origin(jobs[0]) for name, jobs in planned.reads.items()},
                facts_of_fit(fitted.scorer),
                [
                    *notes_on_seen(planned, self.plan.prepared),
                    *notes_on_scores(planned.cell, fitted.scores_in, scores_out),
                ],
            ),
        )

    def terms(self, planned: PlannedCell) -> CellTerms:
        """The terms of a cell's scores; its scorer is `HasScoreTerms`."""
        scorer = self._fit(planned).scorer
        assert isinstance(scorer, HasScoreTerms)
        sides = [
            scorer.score_terms(
                {name: self._read(jobs[role], planned) for name, jobs in planned.reads.items()}
            )
            for role in (1, 2)
        ]
        return CellTerms(planned.cell, *sides)

    def _fit(self, planned: PlannedCell) -> _Fitted:
        """The fitted scorer of a row; neighbouring cells share it."""
        jobs = {name: jobs[:2] for name, jobs in planned.reads.items()}
        key = (planned.cell.scorer, planned.cell.group_size, tuple(jobs.items()))
        if self.fitted is None or self.fitted.key != key:
            scorer: Scorer = planned.scorer.build()
            if isinstance(scorer, NeedsFeatureNames):
                scorer.name_features(
                    {name: self._features(fit) for name, (fit, _) in jobs.items()}
                )
            scorer.fit({name: self._read(fit, planned) for name, (fit, _) in jobs.items()})
            read = {name: self._read(in_, planned) for name, (_, in_) in jobs.items()}
            scores_in = checked_scores(scorer, read, "ID", planned.cell)
            self.fitted = _Fitted(key, scorer, scores_in)
        return self.fitted

    def _read(self, job: StatisticJob, planned: PlannedCell) -> NDArray[np.float64]:
        """A statistic as scorers take it: (M, F) per group, (M, b, F) per example."""
        values = self._values(job)
        self._check_finite(job, values)
        if job.group_size is not None:
            return values
        size = planned.cell.group_size
        count = len(values) // size
        if count == 0:
            raise ScoreError(f"a group has {size} examples, but there are only {len(values)}")
        return values[: count * size].reshape(count, size, values.shape[1])

    def _check_finite(self, job: StatisticJob, values: NDArray[np.float64]) -> None:
        """Fail a cell that reads a value that is no number: a scorer might not see it.

        Raises:
            ScoreError: Names the first group, its examples and the layer or other feature.
        """
        finite = np.isfinite(values)
        if finite.all():
            return
        rows = np.flatnonzero(~finite.all(1))
        row, column = int(rows[0]), int(np.flatnonzero(~finite[rows[0]])[0])
        size = job.group_size or 1
        ids = job.draw.ids(self.plan.prepared[job.draw.dataset].counts["test"])
        examples = ", ".join(map(str, ids[row * size : (row + 1) * size][:5]))
        raise ScoreError(
            f"{job.statistic} of {job.draw.dataset} ({job.draw.role}) is not finite in "
            f"{len(rows)} of {len(values)} groups: the first is {values[row, column]} for "
            f"{self._features(job)[column]!r} of test example {examples}"
        )

    def _features(self, job: StatisticJob) -> list[str]:
        """The names of the columns of a stored statistic."""
        if job not in self.features:
            facts = self._stored(job, lambda key: self.store.manifest(STATISTICS, key).facts)
            self.features[job] = [str(name) for name in facts["features"]]
        return self.features[job]

    def _check_features(self, planned: PlannedCell) -> None:
        """Fail a cell whose roles have other columns: a scorer takes them to be the same.

        Raises:
            ScoreError: Names the first column that differs.
        """
        for jobs in planned.reads.values():
            expected = self._features(jobs[0])
            for job in jobs[1:]:
                found = self._features(job)
                for place, (old, new) in enumerate(zip_longest(expected, found)):
                    if old != new:
                        raise ScoreError(
                            f"{job.statistic} has other columns for {job.draw.dataset} "
                            f"({job.draw.role}) than for {jobs[0].draw.dataset} "
                            f"({jobs[0].draw.role}): column {place} is {new!r}, not {old!r}; give "
                            "the plugin that changed a new version, and run again"
                        )

    def _values(self, job: StatisticJob) -> NDArray[np.float64]:
        return self._stored(job, lambda key: self.store.read_array(STATISTICS, key, "values.npy"))

    def _stored(self, job: StatisticJob, read: Callable[[str], Read]) -> Read:
        """What is read of the record of a statistic.

        Raises:
            StoreError: It is damaged, and was set aside.
        """
        key = self._key(job)
        assert key is not None, "its presence was checked"
        try:
            return read(key)
        except StoreError as error:
            self.store.quarantine(STATISTICS, key)
            self.set_aside += 1
            del self.keys[job]
            raise StoreError(f"{error}; set aside, run again to compute it anew") from error

    def _bits(self, planned: PlannedCell) -> _Bits:
        """Bits per dimension of both sides, shared by all scorers and group sizes."""
        jobs = planned.log_prob
        if jobs is None or self._checkpoint(jobs[0])["facts"]["likelihood"] not in HAS_BITS:
            return _Bits()
        if jobs not in self.bits:
            dims = self.plan.chains[jobs[0].chain].domain.dims
            self.bits[jobs] = _Bits.of(*(bits_per_dim(self._values(job), dims) for job in jobs))
        return self.bits[jobs]

    def _checkpoint(self, job: StatisticJob) -> dict[str, Any]:
        assert job.epoch is not None, "only of statistics that read a model"
        key = checkpoint_key(str(self.plan.train_key(job.chain)), job.epoch)
        if key not in self.checkpoints:
            manifest = self.store.manifest(CHECKPOINTS, key)
            weights = manifest.files["model.safetensors"]["sha256"]
            self.checkpoints[key] = {"facts": manifest.facts, "weights": weights}
        return self.checkpoints[key]

    def _origin(self, job: StatisticJob) -> dict[str, Any]:
        """What made a stored statistic: plugins, versions and, if it reads a model, weights."""
        if job not in self.origins:
            facts = self._stored(job, lambda key: self.store.manifest(STATISTICS, key).facts)
            self.origins[job] = {**facts["plugin"], "versions": facts["versions"]}
            if job.epoch is not None:
                checkpoint = self._checkpoint(job)
                self.origins[job] |= {
                    "model": checkpoint["facts"]["plugin"],
                    "trained_on": job.chain.dataset,
                    "train_key": self.plan.train_key(job.chain),
                    "epoch": job.epoch,
                    "weights": checkpoint["weights"],
                }
        return self.origins[job]
