"""Requirements: records, failures and results in a store that suites need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from harness.data.cards import card_inputs
from harness.data.contents import contents_key
from harness.errors import DataError, StoreError
from harness.plan.plan import Plan, failure_inputs, training_failure_inputs
from harness.store import layout
from harness.store.contents import Record
from harness.store.hashing import digest
from harness.store.records import Store
from harness.suite import DatasetComponent

K = TypeVar("K")


@dataclass
class RequiredRecords:
    """Requirements collected from suites.

    Attributes:
        suites: Names of the suites.
        records: Names of the suites that need a record, by kind and key.
        trainings: Names of the suites that need a training, by train key.
        failures: Names of the suites affected by a failure, by file name without suffix.
        unknown: Unopened data sets, by suite; requirements on these data sets are unknown.
    """

    suites: list[str] = field(default_factory=list)
    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    trainings: dict[str, list[str]] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=dict)
    unknown: dict[str, list[str]] = field(default_factory=dict)

    def add(self, plan: Plan, store: Store, datasets: dict[str, DatasetComponent]) -> None:
        """Add the requirements of a suite.

        Arguments:
            plan: Plan for the suite, with all available data sets found.
            store: Store with the checkpoints.
            datasets: Data sets in the suite, by name.
        """
        suite = plan.suite
        self.suites.append(suite)
        unknown = sorted(set(plan.needed_datasets()) - set(plan.prepared))
        if unknown:
            self.unknown[suite] = unknown
        for kind, key in required_records(plan, store):
            _append(self.records, (kind, key), suite)
        for name, prepared in plan.prepared.items():
            _append(self.records, (layout.DATASETS, digest(card_inputs(datasets[name]))), suite)
            for fingerprint in prepared.fingerprints.values():
                _append(self.records, (layout.CONTENTS, contents_key(fingerprint)), suite)
        for chain, planned in plan.chains.items():
            sources = {plan.source_key(chain, epoch) for epoch in planned.epochs}
            for source in {plan.train_key(chain), *sources} - {None}:
                _append(self.trainings, str(source), suite)
        for name in required_failures(plan):
            _append(self.failures, name, suite)

    def includes(self, record: Record) -> bool:
        """Check whether a suite needs a record; a rolling state is needed if the training is."""
        if record.kind == layout.ROLLING:
            return record.train_key in self.trainings
        return (record.kind, record.key) in self.records


def required_records(plan: Plan, store: Store) -> Iterator[tuple[str, str]]:
    """Yield kind and key for the checkpoints and statistics in a plan, if already known.

    The key of a statistic contains the checksum of the weights, so the key is unknown until the
    weights are stored.
    """
    for chain in plan.chains.values():
        if chain.id.dataset not in plan.prepared:
            continue
        for epoch in sorted(chain.epochs):
            yield layout.CHECKPOINTS, str(plan.checkpoint_key(chain.id, epoch))
        for job in chain.jobs:
            try:
                key = plan.keys(store).statistic_key(job)
            except (DataError, StoreError):
                continue
            if key is not None:
                yield layout.STATISTICS, key


def required_failures(plan: Plan) -> Iterator[str]:
    """Yield the file names, without suffix, for failures of all jobs in a plan."""
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
