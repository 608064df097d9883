"""Explanations for new jobs: the key inputs, compared with the nearest stored record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.errors import DataError, StoreError
from harness.plan.jobs import ChainId, StatisticJob
from harness.plan.keys import stored_epochs
from harness.plan.plan import Plan
from harness.store.hashing import digest
from harness.store.layout import CHECKPOINTS, STATISTICS
from harness.store.records import Store

SHOWN = 3


class Reasons:
    """Finds reasons for new jobs; reads each stored record once."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self.plan = plan
        self.store = store
        self._records: dict[str, list[dict[str, Any]]] = {}

    def training(self, chain: ChainId, epoch: int) -> str:
        """Explain why an epoch is not stored, and where the training would start."""
        if chain.dataset not in self.plan.prepared:
            return self._no_data(chain.dataset)
        if self.plan.chains[chain].model.saved is not None:
            return self._saved(chain, epoch)
        stored = stored_epochs(self.store, str(self.plan.train_key(chain)))
        before = [found for found in stored if found < epoch]
        if before:
            return f"training continues from stored epoch {before[-1]}"
        if stored:
            return f"epoch {epoch} was not kept while training to epoch {stored[0]}"
        return self._nearest(CHECKPOINTS, self.plan.train_inputs(chain) or {})

    def _saved(self, chain: ChainId, epoch: int) -> str:
        """Explain why a saved epoch is not stored."""
        if (absence := self.plan.absence(chain, epoch)) is not None:
            return absence
        twin = self.plan.keys(self.store).twin(chain, epoch)
        if twin is not None:
            return f"its weights are those of {twin}"
        if (shared := self.plan.shared_part(chain, epoch)) is not None:
            return shared
        return self._nearest(CHECKPOINTS, self.plan.checkpoint_inputs(chain, epoch) or {})

    def statistic(self, job: StatisticJob) -> str:
        """Explain why a statistic is not stored."""
        for name in job.datasets():
            if name not in self.plan.prepared:
                return self._no_data(name)
        if not self.plan.keys(self.store).has_checkpoint_of(job):
            return f"the checkpoint for {job.unit} {job.epoch} is new"
        try:
            inputs = self.plan.keys(self.store).statistic_inputs(job)
        except (DataError, StoreError) as error:
            return f"cannot be computed: {error}"
        return self._nearest(STATISTICS, inputs or {})

    def _no_data(self, dataset: str) -> str:
        if dataset in self.plan.missing:
            return f"data set {dataset!r} is missing: {self.plan.missing[dataset]}"
        return f"data set {dataset!r} has not been opened yet"

    def _nearest(self, kind: str, inputs: Mapping[str, Any]) -> str:
        own = flatten(inputs)
        found = [differences(own, flatten(record)) for record in self._read(kind)]
        if not found:
            return "no record of this kind is stored"
        nearest = min(found, key=len)
        shown = "; ".join(nearest[:SHOWN])
        more = f"; and {len(nearest) - SHOWN} more" if len(nearest) > SHOWN else ""
        return f"the nearest stored record differs: {shown}{more}"

    def _read(self, kind: str) -> list[dict[str, Any]]:
        if kind not in self._records:
            unique: dict[str, dict[str, Any]] = {}
            for key in self.store.keys(kind):
                try:
                    inputs = self.store.manifest(kind, key).inputs
                except StoreError:
                    continue
                unique[digest(inputs)] = inputs
            self._records[kind] = list(unique.values())
        return self._records[kind]


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Convert nested mappings and lists to a single mapping from dotted paths to leaves."""
    items: Iterable[tuple[Any, Any]]
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {path: value}
    leaves: dict[str, Any] = {}
    for name, item in items:
        leaves |= flatten(item, f"{path}.{name}" if path else str(name))
    return leaves


def differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Describe the differences between two flat records, in words."""
    found = []
    for path in sorted({*own, *other}):
        if own.get(path) != other.get(path):
            here, there = _shown(own.get(path)), _shown(other.get(path))
            found.append(f"{path} is {here}, was {there}")
    return found


def _shown(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:12]}…"
