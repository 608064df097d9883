"""Verification of all checksums in a store; damaged content is set aside, never deleted."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.store import layout
from harness.store.contents import find_records, incomplete_folders, record_problem
from harness.store.records import Store

CONSEQUENCES = {
    layout.CHECKPOINTS: "trained again from the last sound epoch, when a suite needs it",
    layout.STATISTICS: "evaluated again when a suite needs it",
    layout.ROLLING: "the training continues from an earlier state",
    layout.DATASETS: "reports need the data set itself, or another import",
    layout.CONTENTS: "notes on data need the data set itself, or another import",
    layout.RESULTS: "written again by the next bench run",
    layout.FAILURES: "the job is tried again",
    layout.RATES: "measured again",
}
"""Consequence of setting a damaged record or file aside, by kind or folder."""


@dataclass(frozen=True)
class Damage:
    """Damaged record or file.

    Attributes:
        what: Name of the record or file, in human-readable form.
        problem: Description of the damage.
        aside: New location in the quarantine.
        consequence: Effect on later commands, for example a new computation.
    """

    what: str
    problem: str
    aside: Path
    consequence: str


@dataclass(frozen=True)
class Checked:
    """Number of records read in full, their total bytes, and all damage found."""

    records: int
    size: int
    damaged: list[Damage]


def check_store(store: Store, advance: Callable[[int], None]) -> Checked:
    """Read everything in a store, compare checksums, and set damaged content aside.

    Arguments:
        store: Store to check; runs may use the store at the same time.
        advance: Called with the number of bytes after each record.
    """
    count = size = 0
    damaged: list[Damage] = []
    for record in list(find_records(store)):
        problem = record_problem(store, record)
        count, size = count + 1, size + record.size
        advance(record.size)
        if problem and store.has(record.kind, record.key):  # otherwise a run has set it aside
            aside = store.quarantine(record.kind, record.key)
            damaged.append(Damage(str(record), problem, aside, CONSEQUENCES[record.kind]))
    for kind, key in list(incomplete_folders(store)):
        aside = store.quarantine(kind, key)
        problem = "files without a manifest"
        damaged.append(Damage(f"{kind} {key}", problem, aside, "computed again"))
    damaged += _check_files(store)
    return Checked(count, size, damaged)


def _check_files(store: Store) -> Iterator[Damage]:
    """Check files without a checksum: results, failures, rates."""
    for folder in (layout.RESULTS, layout.FAILURES, layout.RATES):
        for path in sorted((store.root / folder).rglob("*.*")):
            problem = _file_problem(path) if path.suffix in (".json", ".npz") else ""
            if problem and path.exists():
                name = path.relative_to(store.root / folder).as_posix()
                aside = store.quarantine(folder, name)
                yield Damage(f"{folder}/{name}", problem, aside, CONSEQUENCES[folder])


def _file_problem(path: Path) -> str:
    try:
        content = path.read_bytes()
        if path.suffix == ".json":
            json.loads(content)
            return ""
        return _archive_problem(content)
    except FileNotFoundError:
        return ""
    except RecursionError:
        return "nested too deeply"
    except (OSError, ValueError) as error:
        return str(error)


def _archive_problem(content: bytes) -> str:
    """Find damage in an archive of scores, checksums included; empty for a sound archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            damaged = archive.testzip()
    except Exception as error:  # a damaged archive makes zipfile raise anything
        return f"not an archive of arrays: {error}"
    return "" if damaged is None else f"the checksum of {damaged} does not match"
