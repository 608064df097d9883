"""Cost of each scorer, from times measured while computing the inputs. Never a result."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from harness.errors import DataError, StoreError
from harness.plan.crossfit import cross_fit_splits
from harness.plan.jobs import ChainId, PlannedCell, StatisticJob
from harness.plan.plan import Plan
from harness.store.hashing import ids_digest
from harness.store.layout import CHECKPOINTS, STATISTICS
from harness.store.records import Store
from harness.suite.resolve import LOG_PROB


@dataclass(frozen=True)
class _Evaluation:
    """Measured times for a job; jobs with shared fits have equal `fits`."""

    seconds: float
    examples: int
    fits: Hashable
    fit_seconds: float


@dataclass(frozen=True)
class Cost:
    """Cost of a scorer, in addition to training the scored model.

    Attributes:
        seconds_per_example: Time for evaluating all input statistics and for fitting the fitted
            statistics, measured on the machine that did the work; None if the time is not stored.
        extra_training: Seconds for training the other models and seeds among the inputs, per
            scored training; None if the time is not stored.
        extra_passes: Number of input statistics beyond the log-probability of the scored model.
    """

    seconds_per_example: float | None
    extra_training: float | None
    extra_passes: int


def scorer_costs(plan: Plan, store: Store) -> dict[str, Cost]:
    """Compute the cost of every scorer in a plan, by name."""
    cells: dict[str, list[PlannedCell]] = {}
    for planned in plan.cells:
        cells.setdefault(planned.cell.scorer, []).append(planned)
    measured = _Measured(plan, store)
    return {
        scorer: Cost(
            _seconds_per_example(measured, own),
            _extra_training(measured, own),
            max(map(_extra_passes, own)),
        )
        for scorer, own in cells.items()
    }


def _seconds_per_example(measured: _Measured, cells: list[PlannedCell]) -> float | None:
    """Sum over the inputs: total seconds of all jobs, divided by the number of examples.

    Every job reports the seconds for its fits. Jobs share fits: the jobs of role `fit` need the
    fits to both halves, so they report the full time.
    """
    total = 0.0
    for name in dict.fromkeys(name for planned in cells for name in planned.reads):
        jobs = dict.fromkeys(job for planned in cells for job in planned.reads.get(name, ()))
        known = [found for job in jobs if (found := measured.evaluation(job)) is not None]
        if not known:
            return None
        fits: dict[Hashable, float] = {}
        for found in known:
            fits[found.fits] = max(found.fit_seconds, fits.get(found.fits, 0.0))
        seconds = sum(found.seconds for found in known) + sum(fits.values())
        total += seconds / sum(found.examples for found in known)
    return total


def _extra_training(measured: _Measured, cells: list[PlannedCell]) -> float | None:
    """Average, over the scored trainings, the seconds for the other trainings among the inputs."""
    others: dict[ChainId, dict[ChainId, int]] = {}
    for planned in cells:
        own = _own_chain(planned)
        read = others.setdefault(own, {})
        for job in planned.jobs():
            if job.chain != own and job.epoch is not None:
                read[job.chain] = max(job.epoch, read.get(job.chain, 0))
    sums = []
    for read in others.values():
        seconds = [measured.training(chain, epoch) for chain, epoch in read.items()]
        known = [second for second in seconds if second is not None]
        if len(known) < len(seconds):
            return None
        sums.append(sum(known))
    return fmean(sums)


def _extra_passes(planned: PlannedCell) -> int:
    own = (_own_chain(planned), planned.cell.epoch, LOG_PROB)
    jobs = {jobs.in_ for jobs in planned.reads.values() if jobs.in_.epoch is not None}
    return sum((job.chain, job.epoch, job.statistic) != own for job in jobs)


def _own_chain(planned: PlannedCell) -> ChainId:
    cell = planned.cell
    return ChainId(cell.model, cell.in_dataset, cell.seed)


class _Measured:
    """Seconds from manifests, each read once."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self._plan, self._store = plan, store
        self._evaluations: dict[StatisticJob, _Evaluation | None] = {}

    def evaluation(self, job: StatisticJob) -> _Evaluation | None:
        """Return the measured times for a job; None if not stored."""
        if job not in self._evaluations:
            self._evaluations[job] = self._evaluation(job)
        return self._evaluations[job]

    def _evaluation(self, job: StatisticJob) -> _Evaluation | None:
        try:
            key = self._plan.keys(self._store).statistic_key(job)
        except (DataError, StoreError):
            return None
        facts = None if key is None else self._facts(STATISTICS, key)
        if facts is None:
            return None
        prepared = self._plan.prepared
        _, examples = self._plan.examples(job.draw, prepared[job.draw.dataset])
        fits = None
        if job.fit is not None:
            counts = (prepared[x].counts["test"] for x in (job.draw.dataset, job.fit.dataset))
            second_half = next(cross_fit_splits(job, *counts)).fit
            assert second_half is not None, "the statistic is a fitted one"
            fits = (job.chain, job.epoch, job.statistic, ids_digest(second_half))
        return _Evaluation(facts["seconds"], examples, fits, facts.get("fit_seconds", 0.0))

    def training(self, chain: ChainId, epoch: int) -> float | None:
        """Estimate the seconds of training to an epoch, assuming equal time for all epochs."""
        if epoch == 0:
            return 0.0
        key = self._plan.checkpoint_key(chain, epoch)
        facts = None if key is None else self._facts(CHECKPOINTS, key)
        return None if facts is None else float(epoch * facts["seconds"])

    def _facts(self, kind: str, key: str) -> Mapping[str, Any] | None:
        """Return a record's facts; None if the record is missing, damaged, or without seconds."""
        if not self._store.has(kind, key):
            return None
        try:
            facts = self._store.manifest(kind, key).facts
        except StoreError:
            return None
        return facts if isinstance(facts.get("seconds"), float) else None
