"""Plan for a suite: chains and cells, a key for each job, and checks for stored records."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.data.folder import PreparedDataset
from harness.data.roles import Draw
from harness.errors import DataError, StoreError
from harness.plan.equal_weights import EqualWeights
from harness.plan.jobs import Chain, ChainId, PlannedCell, StatisticJob
from harness.plan.keys import checkpoint_key, saved_inputs, statistic_inputs, train_inputs
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
        originals: For each data set, the name of the data set with the same images in the same
            order: another name if the data set consists of changed copies.
        missing: The reason for each unavailable data set, by name.
        unusable: The reason for each available but unusable data set, by name.
    """

    suite: str
    path: Path
    chains: dict[ChainId, Chain]
    cells: list[PlannedCell]
    prepared: dict[str, PreparedDataset]
    suite_fingerprint: SuiteFingerprint
    only: Selection = field(default_factory=Selection)
    changes: tuple[str, ...] = ()
    reference: Reference | None = None
    originals: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    _train_keys: dict[ChainId, str] = field(default_factory=dict, repr=False)
    _saved: dict[tuple[ChainId, int], tuple[dict[str, Any], str]] = field(
        default_factory=dict, repr=False
    )
    _shared: dict[ChainId, dict[int, str]] = field(default_factory=dict, repr=False)
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
        """Return the key that trainings are locked by; None if the data set has not been opened.

        Saved epochs are not trained: all ID sets share the key of the files, which are read once.
        """
        if chain not in self._train_keys:
            saved = self.chains[chain].model.saved
            inputs: Any = self.train_inputs(chain) if saved is None else None
            if saved is not None and chain.dataset in self.prepared:
                inputs = ["saved", str(min(saved.paths.values(), default="")), chain.seed]
            if inputs is None:
                return None
            self._train_keys[chain] = digest(inputs)
        return self._train_keys[chain]

    def checkpoint_inputs(self, chain: ChainId, epoch: int) -> dict[str, Any] | None:
        """Collect the dependencies of a checkpoint: those of the training, or a saved file.

        Returns:
            None if the data set has not been opened yet, or a revision is not on this machine.

        Raises:
            DataError: The file of a saved epoch cannot be read.
        """
        if self.chains[chain].model.saved is None:
            return self.train_inputs(chain)
        return self._saved_file(chain, epoch)[0] if self._is_there(chain, epoch) else None

    def source_key(self, chain: ChainId, epoch: int) -> str | None:
        """Return the digest of `checkpoint_inputs`: the train key, or the key of a saved file."""
        if self.chains[chain].model.saved is None:
            return self.train_key(chain)
        return self._saved_file(chain, epoch)[1] if self._is_there(chain, epoch) else None

    def absence(self, chain: ChainId, epoch: int | None) -> str | None:
        """Say how to get a saved epoch that is not on this machine; None if nothing is absent."""
        saved = self.chains[chain].model.saved
        return None if saved is None or epoch is None else saved.absence(chain.seed, epoch)

    def absent_revisions(self) -> dict[str, str]:
        """Say for each model with saved epochs that are not on this machine how to get them."""
        found: dict[str, str] = {}
        for chain in self.chains.values():
            absent = [epoch for epoch in sorted(chain.epochs) if self.absence(chain.id, epoch)]
            if absent and (saved := chain.model.saved) is not None:
                name = chain.id.model + (f", seed {chain.id.seed}" if chain.id.seed else "")
                found[name] = (
                    f"model {name}: {len(absent)} of {len(chain.epochs)} {saved.unit}s are not on "
                    f"this machine: {saved.way_to_get(chain.id.seed, absent)}"
                )
        return found

    def shared_part(self, chain: ChainId, epoch: int) -> str | None:
        """Return a file that a saved epoch shares with another planned epoch, or None."""
        saved = self.chains[chain].model.saved
        if saved is None or saved.table.allow_equal:
            return None
        if chain not in self._shared:
            self._shared[chain] = saved.shared_parts(chain.seed, self.chains[chain].epochs)
        return self._shared[chain].get(epoch)

    def _is_there(self, chain: ChainId, epoch: int) -> bool:
        return chain.dataset in self.prepared and self.absence(chain, epoch) is None

    def _saved_file(self, chain: ChainId, epoch: int) -> tuple[dict[str, Any], str]:
        """Return the dependencies of a saved epoch and their digest, as at the first look."""
        if (chain, epoch) not in self._saved:
            planned = self.chains[chain]
            assert planned.model.saved is not None, "only of models with saved epochs"
            content = planned.model.saved.content(chain.seed, epoch)
            inputs = saved_inputs(planned.model, planned.domain, content)
            self._saved[chain, epoch] = inputs, digest(inputs)
        return self._saved[chain, epoch]

    def unit(self, chain: ChainId) -> str:
        """Return what the numbers of the epochs of a chain count: `"epoch"` or `"step"`."""
        return self.chains[chain].unit if chain in self.chains else "epoch"

    def trained_on(self, chain: ChainId) -> str | None:
        """Return the name of the training data set; None for saved epochs of unknown origin."""
        model = self.chains[chain].model
        return chain.dataset if model.saved is None else model.dataset

    def checkpoint_key(self, chain: ChainId, epoch: int) -> str | None:
        """Return the key of a checkpoint; None if the data set has not been opened yet."""
        source = self.source_key(chain, epoch)
        return None if source is None else checkpoint_key(source, epoch)

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

    def look_again(self) -> None:
        """Forget what is stored, because other processes may have stored more."""
        self._keys.clear()


class Keys:
    """The keys of a plan in a particular store, and tests for stored records."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self._plan, self._store = plan, store
        self._weights: dict[str, str] = {}
        self._equal = EqualWeights(self._stored_weights, lambda chain: plan.chains[chain].epochs)

    def has_checkpoint(self, chain: ChainId, epoch: int) -> bool:
        """Return True if an epoch is stored, and not a refused copy of another."""
        key = self._plan.checkpoint_key(chain, epoch)
        if key is None or not self._store.has(CHECKPOINTS, key):
            return False
        return self.refusal(chain, epoch) is None

    def refusal(self, chain: ChainId, epoch: int) -> str | None:
        """Say why a saved epoch is refused: its weights, or a part of them, are another epoch's.

        Raises:
            DataError: A file cannot be read.
        """
        saved, twin = self._plan.chains[chain].model.saved, self.twin(chain, epoch)
        if saved is not None and twin is not None:
            return saved.copy_message(chain.seed, twin, epoch)
        return self._plan.shared_part(chain, epoch)

    def twin(self, chain: ChainId, epoch: int) -> int | None:
        """Return the earlier saved epoch with the same weights, where that is an error.

        Only epochs in the plan that are stored already count. A training may well stand still.
        """
        saved = self._plan.chains[chain].model.saved
        if saved is None or saved.table.allow_equal:
            return None
        return self._equal.earliest(chain, epoch)

    def equal_epochs(self, chain: ChainId, epoch: int) -> list[int]:
        """List the stored epochs with the same weights as a stored epoch, itself too, in order."""
        return self._equal.epochs(chain, epoch)

    def has_checkpoint_of(self, job: StatisticJob) -> bool:
        """Return True if the checkpoint for a statistic is stored, or not needed."""
        return job.epoch is None or self.has_checkpoint(job.chain, job.epoch)

    def weights_of(self, chain: ChainId, epoch: int) -> str | None:
        """Return the sha256 of the weights at an epoch; None if the epoch is not stored.

        Raises:
            StoreError: The checkpoint's manifest is damaged.
        """
        is_refused = self.refusal(chain, epoch) is not None
        return None if is_refused else self._stored_weights(chain, epoch)

    def _stored_weights(self, chain: ChainId, epoch: int) -> str | None:
        key = self._plan.checkpoint_key(chain, epoch)
        if key is None:
            return None
        if key not in self._weights:
            if not self._store.has(CHECKPOINTS, key):
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
    source = None if job.epoch is None else plan.source_key(job.chain, job.epoch)
    place = [source, job.epoch, job.group_size]
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
    """Identify the training to an epoch or a saved epoch, with the model's distribution."""
    distributions = _distributions(plan.chains[chain].model)
    inputs = plan.checkpoint_inputs(chain, epoch)
    return {"train": inputs, "epoch": epoch, "distributions": distributions}


def _distributions(*components: Component) -> list[str]:
    return [component.registered.source.version for component in components]
