"""What a store holds, put in order: trainings with their epochs and statistics, and the rest."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from harness.maintenance.required import RequiredRecords
from harness.store.contents import Record, entries, find_records, folder_size
from harness.store.layout import (
    CHECKPOINTS,
    DATASETS,
    FAILURES,
    LOGS,
    QUARANTINE,
    RATES,
    RESULTS,
    ROLLING,
    RUNS,
    STATISTICS,
    TEMPORARY,
    WEIGHTS,
)
from harness.store.records import Store

NO_CHECKPOINT = "statistics without a checkpoint"


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
    for record in find_records(store, (CHECKPOINTS, ROLLING, STATISTICS)):
        key = record.train_key or of_weights.get(_weights_read(record), "")
        holding = found.setdefault(key, StoredTraining(key or NO_CHECKPOINT, key))
        _add(holding, record, needs)
        if record.kind == CHECKPOINTS and record.manifest:
            of_weights[record.manifest.files.get(WEIGHTS, {}).get("sha256", "")] = key
    for key, holding in found.items():
        holding.needed_by += [name for name in needs.trainings.get(key, ()) if key]
    return sorted(found.values(), key=lambda item: (not item.key, item.chain, item.key))


def _weights_read(record: Record) -> str:
    return str(record.manifest.inputs.get("weights")) if record.manifest else "unknown"


def _add(holding: StoredTraining, record: Record, needs: RequiredRecords) -> None:
    if record.manifest is None:
        holding.damaged += 1
    if record.kind == CHECKPOINTS:
        epoch = record.key.rpartition("epoch-")[2]
        holding.epochs[int(epoch) if epoch.isdecimal() else -1] = record.size
        if record.manifest:
            holding.chain = str(record.manifest.facts.get("chain", holding.key))
    elif record.kind == STATISTICS:
        holding.statistics += 1
        holding.statistics_size += record.size
    else:
        holding.rolling += record.size
    needed = (record.kind, record.key) in needs.records
    if record.kind == ROLLING:
        needed = record.train_key in needs.trainings
    holding.unneeded += not needed


def list_other_files(store: Store, needs: RequiredRecords) -> list[OtherFiles]:
    """What the store holds beside trainings; kinds of which there is nothing are left out."""
    found = [
        OtherFiles(f"results of {path.name}", 1, folder_size(path), _named(path.name, needs))
        for path in entries(store, RESULTS)
    ]
    failures: dict[str, list[str]] = defaultdict(list)
    for path in entries(store, FAILURES):
        failures[path.stem] = needs.failures.get(path.stem, [])
    suites = sorted({name for names in failures.values() for name in names})
    found.append(_beside(store, FAILURES, "failures", suites))
    found.append(_beside(store, DATASETS, "cards of data sets", []))
    found.append(_beside(store, RATES, "rates, for estimates", []))
    found.append(_beside(store, LOGS, "logs", []))
    found.append(_beside(store, RUNS, "events of runs", []))
    found.append(_beside(store, TEMPORARY, "temporary files", []))
    found.append(_beside(store, QUARANTINE, "quarantine", []))
    return [item for item in found if item.count]


def _named(name: str, needs: RequiredRecords) -> list[str]:
    return [name] if name in needs.suites else []


def _beside(store: Store, folder: str, what: str, needed_by: list[str]) -> OtherFiles:
    paths = entries(store, folder)
    return OtherFiles(what, len(paths), sum(map(folder_size, paths)), needed_by)
