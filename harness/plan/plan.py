"""Plan for a suite: chains and cells, a key for each job, and checks for stored records."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.data.folder import PreparedDataset
from harness.data.roles import Draw
from harness.errors import DataError, StoreError
from harness.plan.jobs import Chain, ChainId, PlannedCell, StatisticJob
from harness.plan.keys import checkpoint_key, statistic_inputs, train_inputs
from harness.store.hashing import digest, ids_digest
from harness.store.layout import CHECKPOINTS, STATISTICS, WEIGHTS
from harness.store.records import Store
from harness.suite import Component, SuiteFingerprint
from harness.suite.references import Reference
from harness.suite.selection import Selection


@dataclass
class Plan:
    """All work and cells requested by a suite, or the selected part.

    Attributes:
        path: Path to the suite's file.
        only: The selection.
        changes: Values set on the command line, as `KEY=VALUE`.
        suite_fingerprint: Origin of all cells in the suite.
        reference: Published values, if the suite names a reference.
        prepared: The data sets that have been opened before.
        missing: The reason for each unavailable data set, by name.
        unusable: The reason for each available but unusable data set, by name.
    """

    suite: str
    path: Path
    title: str
    chains: dict[ChainId, Chain]
    cells: list[PlannedCell]
    prepared: dict[str, PreparedDataset]
    suite_fingerprint: SuiteFingerprint
    only: Selection = field(default_factory=Selection)
    changes: tuple[str, ...] = ()
    reference: Reference | None = None
    missing: dict[str, str] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    _train_keys: dict[ChainId, str] = field(default_factory=dict, repr=False)
    _ids: dict[Draw, tuple[str, int]] = field(default_factory=dict, repr=False)
    # Not copied by `replace`, because the keys belong to a single plan.
    _keys: dict[Path, Keys] = field(default_factory=dict, init=False, repr=False)

    def train_inputs(self, chain: ChainId) -> dict[str, Any] | None:
        """Collect the dependencies of a training; None if the data set has not been opened yet."""
        prepared = self.prepared.get(chain.dataset)
        if prepared is None:
            return None
        planned = self.chains[chain]
        fingerprint = prepared.fingerprints["train"]
        return train_inputs(planned.model, planned.domain, fingerprint, chain.seed)

    def train_key(self, chain: ChainId) -> str | None:
        """Return the train key; None if the data set has not been opened yet."""
        if chain not in self._train_keys:
            inputs = self.train_inputs(chain)
            if inputs is None:
                return None
            self._train_keys[chain] = digest(inputs)
        return self._train_keys[chain]

    def has_data(self, job: StatisticJob) -> bool:
        """Return True if all data sets for a job have been opened."""
        return all(name in self.prepared for name in job.datasets())

    def require_examples(self, job: StatisticJob) -> None:
        """Check that a data set, if already opened, has enough examples for a job.

        Raises:
            DataError: The data set has too few examples.
        """
        prepared = self.prepared.get(job.draw.dataset)
        if prepared is None:
            return
        _, count = self.examples(job.draw, prepared)
        if job.group_size is not None and count < job.group_size:
            raise DataError(
                f"a group needs {job.group_size} examples, but role {job.draw.role!r} in "
                f"{job.draw.dataset!r} has only {count}"
            )

    def examples(self, draw: Draw, prepared: PreparedDataset) -> tuple[dict[str, str], int]:
        """Return the split fingerprint with the digest of the drawn numbers, and the count.

        Raises:
            DataError: The data set has fewer examples than requested by the draw.
        """
        if draw not in self._ids:
            ids = draw.ids(prepared.counts["test"])
            self._ids[draw] = (ids_digest(ids), len(ids))
        ids_key, count = self._ids[draw]
        return {"split": prepared.fingerprints["test"], "ids": ids_key}, count

    def needed_datasets(self) -> list[str]:
        """List the names of all data sets read by chains and jobs."""
        names = {chain.dataset for chain in self.chains}
        for chain in self.chains.values():
            names.update(*(job.datasets() for job in chain.jobs))
        return sorted(names)

    def keys(self, store: Store) -> Keys:
        """Return the keys of the plan in a store."""
        return self._keys.setdefault(store.root, Keys(self, store))


class Keys:
    """The keys of a plan in a particular store, and tests for stored records."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self._plan, self._store = plan, store
        self._weights: dict[str, str] = {}

    def has_checkpoint(self, chain: ChainId, epoch: int) -> bool:
        """Return True if an epoch is stored."""
        key = self._plan.train_key(chain)
        return key is not None and self._store.has(CHECKPOINTS, checkpoint_key(key, epoch))

    def has_checkpoint_of(self, job: StatisticJob) -> bool:
        """Return True if the checkpoint for a statistic is stored, or not needed."""
        return job.epoch is None or self.has_checkpoint(job.chain, job.epoch)

    def weights_of(self, chain: ChainId, epoch: int) -> str | None:
        """Return the sha256 of the weights at an epoch; None if the epoch is not stored.

        Raises:
            StoreError: The checkpoint's manifest is damaged.
        """
        key = checkpoint_key(str(self._plan.train_key(chain)), epoch)
        if key not in self._weights:
            if not self.has_checkpoint(chain, epoch):
                return None
            manifest = self._store.manifest(CHECKPOINTS, key)
            if WEIGHTS not in manifest.files:
                raise StoreError(f"checkpoint {key} does not list any weights")
            self._weights[key] = manifest.files[WEIGHTS]["sha256"]
        return self._weights[key]

    def statistic_inputs(self, job: StatisticJob) -> dict[str, Any] | None:
        """Collect the dependencies of a statistic; None while checkpoint or data is missing.

        Raises:
            DataError: The data set has fewer examples than requested by the job.
            StoreError: The checkpoint's manifest is damaged.
        """
        if not self._plan.has_data(job):
            return None
        weights = None
        if job.epoch is not None:
            weights = self.weights_of(job.chain, job.epoch)
            if weights is None:
                return None
        chain = self._plan.chains[job.chain]
        self._plan.require_examples(job)
        examples, _ = self._plan.examples(job.draw, self._plan.prepared[job.draw.dataset])
        return statistic_inputs(
            chain.model,
            chain.domain,
            chain.jobs[job],
            weights,
            examples,
            job.group_size,
            self._fit_examples(job),
        )

    def _fit_examples(self, job: StatisticJob) -> dict[str, Any] | None:
        """Collect the dependencies of a statistic's fit; None if the statistic is not fitted."""
        if job.fit is None:
            return None
        examples, _ = self._plan.examples(job.fit, self._plan.prepared[job.fit.dataset])
        return {**examples, "part": "the other half" if job.draw.role == "fit" else "second half"}

    def statistic_key(self, job: StatisticJob) -> str | None:
        """Return the statistic key; None while checkpoint or data is missing."""
        inputs = self.statistic_inputs(job)
        return None if inputs is None else digest(inputs)

    def has_statistic(self, job: StatisticJob) -> bool:
        """Return True if a statistic is stored."""
        try:
            key = self.statistic_key(job)
        except (DataError, StoreError):
            return False
        return key is not None and self._store.has(STATISTICS, key)


def failure_inputs(plan: Plan, job: StatisticJob) -> Any:
    """Identify a statistic job when the key is not known yet.

    Unlike a key, the identity has the versions of the distributions: a new one may do a job that
    was unsupported before, although all numbers and the declared versions stay.
    """
    chain = plan.chains[job.chain]
    statistic = chain.jobs[job]
    draw = _by_content(plan, job.draw)
    alone = job.epoch is None
    place = [None if alone else plan.train_key(job.chain), job.epoch, job.group_size]
    fit = {} if job.fit is None else {"fit": _by_content(plan, job.fit)}
    return {
        "statistic": statistic.identity(),
        "draw": draw,
        "place": place,
        "distributions": _distributions(statistic, *(() if alone else (chain.model,))),
        **fit,
    }


def _by_content(plan: Plan, draw: Draw) -> dict[str, Any]:
    """Convert a draw, with the split fingerprint in place of the data set name."""
    return {**draw._asdict(), "dataset": plan.prepared[draw.dataset].fingerprints["test"]}


def training_failure_inputs(plan: Plan, chain: ChainId, epoch: int) -> Any:
    """Identify the training to an epoch, with the version of the model's distribution."""
    distributions = _distributions(plan.chains[chain].model)
    return {"train": plan.train_inputs(chain), "epoch": epoch, "distributions": distributions}


def _distributions(*components: Component) -> list[str]:
    return [component.registered.source.version for component in components]
