"""Inventory of a store: trainings with epochs and statistics, and other files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.maintenance.required import RequiredRecords
from harness.store import layout
from harness.store.contents import Record, entries, find_records, folder_size
from harness.store.records import Store

NO_CHECKPOINT = "statistics without a checkpoint"
OTHERS = {
    layout.DATASETS: "cards of data sets",
    layout.CONTENTS: "digests of examples",
    layout.RATES: "rates, for estimates",
    layout.LOGS: "logs",
    layout.RUNS: "events of runs",
    layout.TEMPORARY: "temporary files",
    layout.QUARANTINE: "quarantine",
}
"""Folders that hold neither trainings nor results nor failures, with a description."""


@dataclass
class StoredTraining:
    """Stored training with all records derived from the training.

    Attributes:
        chain: Name of the training at the time of the run.
        unit: What the numbers of the epochs count.
        epochs: Bytes for each stored epoch.
        statistics: Number of statistics evaluated on the checkpoints.
        statistics_size: Bytes in these statistics.
        rolling: Bytes in the rolling state.
        needed_by: Selected suites that need at least part of the training.
        unneeded: Number of records that no selected suite needs.
        damaged: Number of records with an unreadable manifest.
    """

    chain: str
    key: str
    unit: str = "epoch"
    epochs: dict[int, int] = field(default_factory=dict)
    statistics: int = 0
    statistics_size: int = 0
    rolling: int = 0
    needed_by: list[str] = field(default_factory=list)
    unneeded: int = 0
    damaged: int = 0

    @property
    def size(self) -> int:
        """Total bytes."""
        return sum(self.epochs.values()) + self.statistics_size + self.rolling


@dataclass(frozen=True)
class OtherFiles:
    """Group of other files: description, number, bytes, and the suites that need any."""

    what: str
    count: int
    size: int
    needed_by: list[str]


def list_trainings(store: Store, needs: RequiredRecords) -> list[StoredTraining]:
    """List the trainings in the store, in order of name.

    The last entry collects statistics without stored weights, and statistics without a model.

    Arguments:
        store: Store to list; only manifests are read.
        needs: Requirements from the selected suites.
    """
    found: dict[str, StoredTraining] = {}
    of_weights: dict[str, str] = {}
    for record in find_records(store, (layout.CHECKPOINTS, layout.ROLLING, layout.STATISTICS)):
        key = record.train_key or of_weights.get(record.weights, "")
        holding = found.setdefault(key, StoredTraining(key or NO_CHECKPOINT, key))
        _add(holding, record, needs)
        if record.kind == layout.CHECKPOINTS and record.weights:
            of_weights[record.weights] = key
    for key, holding in found.items():
        holding.needed_by += [name for name in needs.trainings.get(key, ()) if key]
    return sorted(found.values(), key=_place)


def _place(item: StoredTraining) -> tuple[bool, str, list[int], str]:
    """Sort by name; saved epochs, each with a key of its own, by epoch."""
    return not item.key, item.chain, sorted(item.epochs), item.key


def _add(holding: StoredTraining, record: Record, needs: RequiredRecords) -> None:
    if record.manifest is None:
        holding.damaged += 1
    if record.kind == layout.CHECKPOINTS:
        epoch = record.key.rpartition("epoch-")[2]
        holding.epochs[int(epoch) if epoch.isdecimal() else -1] = record.size
        if record.manifest:
            holding.chain = str(record.manifest.facts.get("chain", holding.key))
            holding.unit = str(record.manifest.facts.get("unit", holding.unit))
    elif record.kind == layout.STATISTICS:
        holding.statistics += 1
        holding.statistics_size += record.size
    else:
        holding.rolling += record.size
    holding.unneeded += not needs.includes(record)


def list_other_files(store: Store, needs: RequiredRecords) -> list[OtherFiles]:
    """List everything in the store except trainings; empty groups are omitted."""
    found = [
        _files(f"results of {path.name}", [path], {path.name} & set(needs.suites))
        for path in entries(store, layout.RESULTS)
    ]
    failures = entries(store, layout.FAILURES)
    suites = {name for path in failures for name in needs.failures.get(path.stem, ())}
    found.append(_files("failures", failures, suites))
    found += [_files(what, entries(store, folder), set()) for folder, what in OTHERS.items()]
    return [item for item in found if item.count]


def _files(what: str, paths: list[Path], needed_by: set[str]) -> OtherFiles:
    return OtherFiles(what, len(paths), sum(map(folder_size, paths)), sorted(needed_by))
