"""Reader for stored statistics: values, columns and origins, or the reason for absence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from harness.errors import DataError, ScoreError, StoreError
from harness.plan.jobs import StatisticJob
from harness.plan.missing import statistic_failure
from harness.plan.plan import Plan
from harness.results import Status
from harness.store.layout import CHECKPOINTS, STATISTICS, VALUES, WEIGHTS
from harness.store.records import Store
from harness.text import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

Read = TypeVar("Read")


class StatisticReader:
    """Reads the statistics of a plan, each manifest once.

    Arguments:
        plan: With data sets opened.
        store: The store with the statistics.

    Attributes:
        set_aside: Number of damaged statistics that were removed from the store.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        self.plan, self.store = plan, store
        self.set_aside = 0
        self._keys: dict[StatisticJob, str] = {}
        self._obstacles: dict[StatisticJob, tuple[Status, str] | None] = {}
        self._checkpoints: dict[str, dict[str, Any]] = {}
        self._origins: dict[StatisticJob, dict[str, Any]] = {}
        self._features: dict[StatisticJob, list[str]] = {}
        self._machines: dict[StatisticJob, str | None] = {}

    def key(self, job: StatisticJob) -> str | None:
        """Return the key of a stored statistic; None if not stored."""
        if job not in self._keys and self.plan.keys(self.store).has_statistic(job):
            key = self.plan.keys(self.store).statistic_key(job)
            if key is not None:
                self._keys[job] = key
        return self._keys.get(job)

    def obstacle(self, job: StatisticJob) -> tuple[Status, str] | None:
        """Return why a statistic is missing; None if the job has simply not run yet."""
        if job not in self._obstacles:
            self._obstacles[job] = self._find_obstacle(job)
        return self._obstacles[job]

    def obstacle_of(self, jobs: Sequence[StatisticJob]) -> tuple[Status, str] | None:
        """Return the first obstacle; a job that is unsupported goes first: nothing can mend it."""
        found = [self.obstacle(job) for job in jobs]
        final = (item for item in found if item is not None and item[0] == "unsupported")
        return next(final, found[0])

    def _find_obstacle(self, job: StatisticJob) -> tuple[Status, str] | None:
        for name in (job.chain.dataset, *job.datasets()):
            if name in self.plan.missing:
                return "missing_data", self.plan.missing[name]
            if name in self.plan.unusable:
                return "failed", self.plan.unusable[name]
            if name not in self.plan.prepared:
                return None
        if (absence := self.plan.absence(job.chain, job.epoch)) is not None:
            return "missing_data", absence
        try:
            self.plan.keys(self.store).statistic_inputs(job)
        except (DataError, StoreError) as error:
            return "failed", str(error)
        failure = statistic_failure(self.plan, self.store, job)
        return None if failure is None else (failure.status, failure.text)

    def groups(self, job: StatisticJob, size: int) -> NDArray[np.float64]:
        """Return a statistic in the scorer format, for groups of `size`: (M, F) or (M, b, F)."""
        values = self.values(job)
        self._check_finite(job, values)
        if job.group_size is not None:
            return values
        count = len(values) // size
        if count == 0:
            raise ScoreError(f"a group needs {size} examples, but only {len(values)} exist")
        return values[: count * size].reshape(count, size, values.shape[1])

    def _check_finite(self, job: StatisticJob, values: NDArray[np.float64]) -> None:
        """Refuse a statistic with NaN or infinite values: a scorer might not notice them.

        Raises:
            ScoreError: Names the first group, the examples and the layer or other feature.
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
            f"{self.features(job)[column]!r} at test example {examples}"
        )

    def features(self, job: StatisticJob) -> list[str]:
        """Return the column names of a stored statistic."""
        if job not in self._features:
            facts = self._stored(job, lambda key: self.store.manifest(STATISTICS, key).facts)
            self._features[job] = [str(name) for name in facts["features"]]
        return self._features[job]

    def values(self, job: StatisticJob) -> NDArray[np.float64]:
        """Return a statistic in the stored format, float64, (M, F)."""
        return self._stored(job, lambda key: self.store.read_array(STATISTICS, key, VALUES))

    def checkpoint(self, job: StatisticJob) -> dict[str, Any]:
        """Return the facts and the sha256 of the weights for the checkpoint behind a statistic."""
        assert job.epoch is not None, "only of statistics that read a model"
        key = str(self.plan.checkpoint_key(job.chain, job.epoch))
        if key not in self._checkpoints:
            manifest = self.store.manifest(CHECKPOINTS, key)
            weights = manifest.files[WEIGHTS]["sha256"]
            self._checkpoints[key] = {"facts": manifest.facts, "weights": weights}
        return self._checkpoints[key]

    def origin(self, job: StatisticJob) -> dict[str, Any]:
        """Return the origin of a stored statistic: plugins, versions and any model weights."""
        if job not in self._origins:
            facts = self._stored(job, lambda key: self.store.manifest(STATISTICS, key).facts)
            self._origins[job] = {**facts["plugin"], "versions": facts["versions"]}
            if job.epoch is not None:
                checkpoint = self.checkpoint(job)
                self._origins[job] |= {
                    "model": checkpoint["facts"]["plugin"],
                    "trained_on": self.plan.trained_on(job.chain),
                    "train_key": self.plan.source_key(job.chain, job.epoch),
                    "epoch": job.epoch,
                    "weights": checkpoint["weights"],
                    **_trained_by(checkpoint["facts"]),
                }
        return self._origins[job]

    def machines(self, jobs: Collection[StatisticJob]) -> list[str]:
        """List the kinds of machines that evaluated statistics; old records name none."""
        for job in jobs:
            if job not in self._machines:
                facts = self._stored(job, lambda key: self.store.manifest(STATISTICS, key).facts)
                self._machines[job] = facts.get("machine")
        return sorted({kind for job in jobs if (kind := self._machines[job]) is not None})

    def _stored(self, job: StatisticJob, read: Callable[[str], Read]) -> Read:
        """Apply a read function to the record of a statistic.

        Raises:
            StoreError: The record is damaged, and was set aside.
        """
        key = self.key(job)
        assert key is not None, "its presence was checked"
        try:
            return read(key)
        except StoreError as error:
            self.store.quarantine(STATISTICS, key)
            self.set_aside += 1
            del self._keys[job]
            raise StoreError(
                f"{error}; set aside, run again to recompute the statistic"
            ) from error


def _trained_by(facts: Mapping[str, Any]) -> dict[str, str]:
    """Name the kind of machine that a training depends on; empty if unknown."""
    if "machine" not in facts or "file" in facts:  # stored by an earlier version, or not trained
        return {}
    is_on_cpu, threads = facts["device"] == "cpu", facts["threads"]
    return {"trained_by": facts["machine"] + (f", {counted(threads, 'thread')}" * is_on_cpu)}
