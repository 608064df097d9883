"""What no suite needs, found and removed.

Nothing young is removed and nothing that a run holds the lock of, so that a run may go on beside.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import BenchError
from harness.maintenance.required import RequiredRecords
from harness.store import layout
from harness.store.contents import age, entries, find_records, folder_size
from harness.store.locks import try_lock
from harness.store.records import Store

YOUNG_SECONDS = 3600.0
"""Whatever was written since is kept: a run may be about to use it."""
HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{8}")
"""What a killed process leaves of a file that it was replacing."""
INTERNAL_LOG = "internal-error.log"


@dataclass(frozen=True)
class GarbageItem:
    """Something that no suite needs.

    Attributes:
        what: As a person would say it.
        trainings: Train keys whose locks must be free for it to be removed.
        reason: Why it is kept all the same.
    """

    what: str
    kind: str
    path: Path
    size: int
    trainings: Sequence[str] = ()
    reason: str = ""


@dataclass
class Garbage:
    """What can be removed, and what is kept for now and why."""

    found: list[GarbageItem] = field(default_factory=list)
    kept: list[tuple[GarbageItem, str]] = field(default_factory=list)


def find_garbage(store: Store, needs: RequiredRecords) -> Garbage:
    """Everything in the store that no suite needs.

    Arguments:
        store: Nothing in it is changed.
        needs: Of all suites whose work shall stay.

    Raises:
        BenchError: It cannot be known what a suite needs.
    """
    if needs.unknown:
        lines = [f"{suite}: {', '.join(names)}" for suite, names in needs.unknown.items()]
        raise BenchError(
            "nothing is removed: what rests on data sets that cannot be opened is not known\n"
            + "\n".join(f"  {line}" for line in lines)
            + "\nbench data list SUITE says what they lack"
        )
    items = [*_records(store, needs), *_files(store, needs)]
    return _garbage((item, item.reason or _too_young(item)) for item in items)


def _too_young(item: GarbageItem) -> str:
    return "written within the last hour" if age(item.path) < YOUNG_SECONDS else ""


def _garbage(items: Iterable[tuple[GarbageItem, str]]) -> Garbage:
    """Things, each with the reason why it is kept if there is one."""
    garbage = Garbage()
    for item, reason in items:
        if reason:
            garbage.kept.append((item, reason))
        else:
            garbage.found.append(item)
    return garbage


def _records(store: Store, needs: RequiredRecords) -> Iterator[GarbageItem]:
    records = list(find_records(store))
    there = {(record.kind, record.key) for record in records if record.manifest}
    is_complete = all(name in there for name in needs.records if name[0] == layout.CHECKPOINTS)
    trainings: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.kind == layout.CHECKPOINTS and record.weights:
            trainings[record.weights].add(record.train_key)
    for record in records:
        if needs.includes(record):
            continue
        path = store.path(record.kind, record.key)
        locks = {record.train_key} if record.train_key else trainings.get(record.weights, set())
        reason = ""
        of_weights = record.manifest is None or record.weights
        if record.kind == layout.STATISTICS and of_weights and not locks and not is_complete:
            reason = "its checkpoint is not stored, and a suite lacks one: it may be of that"
        yield GarbageItem(str(record), record.kind, path, record.size, sorted(locks), reason)


def _files(store: Store, needs: RequiredRecords) -> Iterator[GarbageItem]:
    needed: dict[str, Callable[[Path], bool]] = {
        layout.TEMPORARY: lambda path: False,
        layout.QUARANTINE: lambda path: False,
        layout.RESULTS: lambda path: path.name in needs.suites,
        layout.RUNS: lambda path: path.name in needs.suites,
        layout.FAILURES: lambda path: path.stem in needs.failures,
        layout.LOGS: lambda path: path.stem in needs.suites or path.name == INTERNAL_LOG,
    }
    for folder, is_needed in needed.items():
        for path in entries(store, folder):
            if not is_needed(path):
                yield _garbage_item(folder, path)
    for folder in (layout.RATES, *(f"{layout.RESULTS}/{name}" for name in needs.suites)):
        for path in sorted((store.root / folder).rglob(".*")):
            if HALF_WRITTEN.fullmatch(path.name):
                yield _garbage_item(layout.TEMPORARY, path)


def _garbage_item(kind: str, path: Path) -> GarbageItem:
    return GarbageItem(f"{kind}/{path.name}", kind, path, folder_size(path))


def remove_garbage(store: Store, items: Iterable[GarbageItem]) -> Garbage:
    """Remove what was found, each thing at once or not at all.

    Returns:
        What was removed; kept is what a run has been at meanwhile.
    """
    return _garbage((item, _remove(store, item)) for item in items)


def _remove(store: Store, item: GarbageItem) -> str:
    """Remove one thing; why it was kept, or nothing."""
    held = []
    try:
        for train_key in item.trainings:
            lock = try_lock(store.root, train_key)
            if lock is None:
                return "a run is at it"
            held.append(lock)
        if age(item.path) < YOUNG_SECONDS:
            return "written or removed meanwhile"
        return _remove_now(store, item)
    finally:
        for lock in held:
            lock.release()


def _remove_now(store: Store, item: GarbageItem) -> str:
    aside = store.root / layout.TEMPORARY / uuid.uuid4().hex
    aside.parent.mkdir(parents=True, exist_ok=True)
    try:
        item.path.rename(aside)  # out of sight at once
        if aside.is_dir() and not aside.is_symlink():
            shutil.rmtree(aside)
        else:
            aside.unlink()
    except OSError as error:
        return f"cannot be removed: {error.strerror}"
    if item.kind in (layout.CHECKPOINTS, layout.ROLLING):
        with suppress(OSError):
            item.path.parent.rmdir()  # if it was the last of its training
    return ""
