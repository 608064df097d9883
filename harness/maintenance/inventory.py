"""What a store holds, put in order: trainings with their epochs and statistics, and the rest."""

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
    layout.RATES: "rates, for estimates",
    layout.LOGS: "logs",
    layout.RUNS: "events of runs",
    layout.TEMPORARY: "temporary files",
    layout.QUARANTINE: "quarantine",
}
"""Folders of a store that no suite needs, in words."""


@dataclass
class StoredTraining:
    """A training with what rests on it.

    Attributes:
        chain: What it was called when it ran.
        epochs: Bytes of each stored epoch.
        statistics: Number of statistics of its checkpoints; `statistics_size` their bytes.
        rolling: Bytes of its rolling state.
        needed_by: Suites, of those asked about, that need any of it.
        unneeded: Records that none of them needs.
        damaged: Records whose manifest cannot be read.
    """

    chain: str
    key: str
    epochs: dict[int, int] = field(default_factory=dict)
    statistics: int = 0
    statistics_size: int = 0
    rolling: int = 0
    needed_by: list[str] = field(default_factory=list)
    unneeded: int = 0
    damaged: int = 0

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return sum(self.epochs.values()) + self.statistics_size + self.rolling


@dataclass(frozen=True)
class OtherFiles:
    """Other files: how many there are, their bytes, and the suites that need any of them."""

    what: str
    count: int
    size: int
    needed_by: list[str]


def list_trainings(store: Store, needs: RequiredRecords) -> list[StoredTraining]:
    """The trainings in the store, in order of name.

    At the end statistics whose weights are gone, and those of examples alone.

    Arguments:
        store: Nothing but manifests is read.
        needs: Of the suites asked about.
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
    return sorted(found.values(), key=lambda item: (not item.key, item.chain, item.key))


def _add(holding: StoredTraining, record: Record, needs: RequiredRecords) -> None:
    if record.manifest is None:
        holding.damaged += 1
    if record.kind == layout.CHECKPOINTS:
        epoch = record.key.rpartition("epoch-")[2]
        holding.epochs[int(epoch) if epoch.isdecimal() else -1] = record.size
        if record.manifest:
            holding.chain = str(record.manifest.facts.get("chain", holding.key))
    elif record.kind == layout.STATISTICS:
        holding.statistics += 1
        holding.statistics_size += record.size
    else:
        holding.rolling += record.size
    holding.unneeded += not needs.includes(record)


def list_other_files(store: Store, needs: RequiredRecords) -> list[OtherFiles]:
    """What the store holds beside trainings; kinds of which there is nothing are left out."""
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
