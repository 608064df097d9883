"""Garbage collection: find and remove stored content that no suite needs.

Recently written content and content locked by a run are kept: cleaning up while runs are active
is safe.
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
from harness.store.contents import Record, age, entries, find_records, folder_size
from harness.store.locks import checkpoint_lock, try_lock
from harness.store.records import Store

YOUNG_SECONDS = 3600.0
"""Minimum age, in seconds, before removal: an active run may still need younger content."""
HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{8}")
"""Pattern for temporary names left behind by a process killed while replacing a file."""
INTERNAL_LOG = "internal-error.log"


@dataclass(frozen=True)
class GarbageItem:
    """Record, file or folder that no suite needs.

    Attributes:
        what: Name in human-readable form.
        locks: Names of the locks that must be free before removal.
        reason: Reason for keeping the item all the same; empty if removal is safe.
    """

    what: str
    kind: str
    path: Path
    size: int
    locks: Sequence[str] = ()
    reason: str = ""


@dataclass
class Garbage:
    """Items that can be removed, and items kept for now with the reason."""

    found: list[GarbageItem] = field(default_factory=list)
    kept: list[tuple[GarbageItem, str]] = field(default_factory=list)


def find_garbage(store: Store, needs: RequiredRecords) -> Garbage:
    """Find everything in the store that no suite needs.

    Arguments:
        store: Store to search; left unchanged.
        needs: Requirements from all suites whose work must stay.

    Raises:
        BenchError: The requirements of a suite are not fully known.
    """
    if needs.unknown:
        lines = [f"{suite}: {', '.join(names)}" for suite, names in needs.unknown.items()]
        raise BenchError(
            "nothing is removed: records that depend on unavailable data sets are unknown\n"
            + "\n".join(f"  {line}" for line in lines)
            + "\nbench data list SUITE shows the missing files"
        )
    items = [*_records(store, needs), *_files(store, needs)]
    return _garbage((item, item.reason or _too_young(item)) for item in items)


def _too_young(item: GarbageItem) -> str:
    return "written within the last hour" if age(item.path) < YOUNG_SECONDS else ""


def _garbage(items: Iterable[tuple[GarbageItem, str]]) -> Garbage:
    """Split items by reason: an item with a reason is kept."""
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
    locks_of: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.kind == layout.CHECKPOINTS and record.weights:
            locks_of[record.weights] |= _locks(record)
    for record in records:
        if needs.includes(record):
            continue
        path = store.path(record.kind, record.key)
        locks = _locks(record) or locks_of.get(record.weights, set())
        reason = ""
        may_read_weights = record.manifest is None or record.weights
        if record.kind == layout.STATISTICS and may_read_weights and not (locks or is_complete):
            reason = "its checkpoint is not stored; a suite with a missing checkpoint may need it"
        yield GarbageItem(str(record), record.kind, path, record.size, sorted(locks), reason)


def _locks(record: Record) -> set[str]:
    """Name the locks of work on a checkpoint or a rolling state; none for other records."""
    names = {record.train_key} if record.train_key else set()
    is_checkpoint = record.kind == layout.CHECKPOINTS
    return names | ({checkpoint_lock(record.key)} if is_checkpoint else set())


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
    """Remove items, each completely or not at all.

    Returns:
        Removed items, and items kept because of use by a run in the meantime.
    """
    return _garbage((item, _remove(store, item)) for item in items)


def _remove(store: Store, item: GarbageItem) -> str:
    """Remove an item; return a reason if the item is kept, otherwise an empty string."""
    held = []
    try:
        for name in item.locks:
            lock = try_lock(store.root, name)
            if lock is None:
                return "in use by a run"
            held.append(lock)
        if age(item.path) < YOUNG_SECONDS:
            return "written or removed in the meantime"
        return _remove_now(store, item)
    finally:
        for lock in held:
            lock.release()


def _remove_now(store: Store, item: GarbageItem) -> str:
    aside = store.root / layout.TEMPORARY / uuid.uuid4().hex
    aside.parent.mkdir(parents=True, exist_ok=True)
    try:
        item.path.rename(aside)  # disappears in a single step
        if aside.is_dir() and not aside.is_symlink():
            shutil.rmtree(aside)
        else:
            aside.unlink()
    except OSError as error:
        return f"cannot be removed: {error.strerror}"
    if item.kind in (layout.CHECKPOINTS, layout.ROLLING):
        with suppress(OSError):
            item.path.parent.rmdir()  # fails unless the folder is empty now
    return ""
