"""What suites need of a store: which records, failures and results are theirs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from harness.data.cards import card_inputs
from harness.errors import DataError, StoreError
from harness.plan.keys import checkpoint_key
from harness.plan.plan import Plan, failure_inputs, training_failure_inputs
from harness.store import layout
from harness.store.contents import Record
from harness.store.hashing import digest
from harness.store.records import Store
from harness.suite import DatasetComponent

K = TypeVar("K")


@dataclass
class RequiredRecords:
    """What each suite needs, by its name.

    Attributes:
        records: Suites that need a record, by its kind and key.
        trainings: Suites that need a training, by its train key.
        failures: Suites that a failure concerns, by its name in the store.
        unknown: Data sets that have not been opened, so that what rests on them is not known;
            by suite.
    """

    suites: list[str] = field(default_factory=list)
    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    trainings: dict[str, list[str]] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=dict)
    unknown: dict[str, list[str]] = field(default_factory=dict)

    def add(self, plan: Plan, store: Store, datasets: dict[str, DatasetComponent]) -> None:
        """Add what a suite needs; `datasets` are its data sets by name."""
        suite = plan.suite
        self.suites.append(suite)
        unknown = sorted(set(plan.needed_datasets()) - set(plan.prepared))
        if unknown:
            self.unknown[suite] = unknown
        for kind, key in required_records(plan, store):
            _append(self.records, (kind, key), suite)
        for name in plan.prepared:
            _append(self.records, (layout.DATASETS, digest(card_inputs(datasets[name]))), suite)
        for chain in plan.chains:
            train_key = plan.train_key(chain)
            if train_key is not None:
                _append(self.trainings, train_key, suite)
        for name in required_failures(plan):
            _append(self.failures, name, suite)

    def includes(self, record: Record) -> bool:
        """Whether a suite needs a record; a rolling state is needed as its training is."""
        if record.kind == layout.ROLLING:
            return record.train_key in self.trainings
        return (record.kind, record.key) in self.records


def required_records(plan: Plan, store: Store) -> Iterator[tuple[str, str]]:
    """Kind and key of the checkpoints and statistics of a plan, as far as they can be known.

    A statistic's key holds the checksum of the weights, so it is known where these are stored.
    """
    for chain in plan.chains.values():
        train_key = plan.train_key(chain.id)
        if train_key is None:
            continue
        for epoch in sorted(chain.epochs):
            yield layout.CHECKPOINTS, checkpoint_key(train_key, epoch)
        for job in chain.jobs:
            try:
                key = plan.keys(store).statistic_key(job)
            except (DataError, StoreError):
                continue
            if key is not None:
                yield layout.STATISTICS, key


def required_failures(plan: Plan) -> Iterator[str]:
    """Names, without suffix, of what the failures of a plan's jobs would be stored under."""
    for chain in plan.chains.values():
        if chain.id.dataset not in plan.prepared:
            continue
        for epoch in chain.epochs:
            yield digest(training_failure_inputs(plan, chain.id, epoch))
        for job in chain.jobs:
            if plan.has_data(job):
                yield digest(failure_inputs(plan, job))


def _append(table: dict[K, list[str]], key: K, suite: str) -> None:
    suites = table.setdefault(key, [])
    if suite not in suites:
        suites.append(suite)
