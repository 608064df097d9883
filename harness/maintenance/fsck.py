"""Every checksum of the store, compared; what is damaged is set aside, never deleted."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import StoreError
from harness.store.contents import Record, find_records, incomplete_folders
from harness.store.hashing import digest, file_sha256
from harness.store.layout import (
    CHECKPOINTS,
    FAILURES,
    LEFT_OUT,
    QUARANTINE,
    RATES,
    RESULTS,
    ROLLING,
    STATISTICS,
)
from harness.store.records import Store


@dataclass(frozen=True)
class Damage:
    """Something that was not as it was written.

    Attributes:
        what: Which record or file, as a person would say it.
        problem: What is wrong with it.
        aside: Where it is now.
        consequence: What will be computed again.
    """

    what: str
    problem: str
    aside: Path
    consequence: str


@dataclass(frozen=True)
class Checked:
    """How much was read in full, and what was damaged."""

    records: int
    size: int
    damaged: list[Damage]


def check_store(store: Store, advance: Callable[[int], None]) -> Checked:
    """Read everything in the store and compare its checksums.

    Arguments:
        store: Runs may work in it meanwhile.
        advance: Told the bytes of each record that was read.
    """
    count = size = 0
    damaged: list[Damage] = []
    for record in list(find_records(store)):
        problem = record.problem or record_problem(store.path(record.kind, record.key), record)
        count, size = count + 1, size + record.size
        advance(record.size)
        if problem and store.has(record.kind, record.key):  # else a run has set it aside
            aside = store.quarantine(record.kind, record.key)
            damaged.append(Damage(str(record), problem, aside, _consequence(record)))
    for kind, key in list(incomplete_folders(store)):
        aside = store.quarantine(kind, key)
        problem = "it has files but no manifest"
        damaged.append(Damage(f"{kind} {key}", problem, aside, "it is computed again"))
    damaged += _check_files(store)
    return Checked(count, size, damaged)


def record_problem(folder: Path, record: Record) -> str:
    """What is wrong with a record that lies in a folder; empty if nothing is. Reads all of it."""
    if record.manifest is None:
        return record.problem
    own = digest(record.manifest.inputs)
    if own != (record.train_key or record.key):
        return f"it is not that of its key: its inputs make {own}"
    left_out = names_left_out(folder)
    for name, expected in record.manifest.files.items():
        path = folder / name
        if name in left_out and not path.exists():
            continue
        try:
            if path.is_symlink() or not path.is_file():
                return f"{name} is not there"
            if file_sha256(path) != expected["sha256"]:
                return f"the checksum of {name} does not match"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return ""


def names_left_out(folder: Path) -> list[str]:
    """Files that an import came without on purpose."""
    try:
        value = json.loads((folder / LEFT_OUT).read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _consequence(record: Record) -> str:
    if record.kind == CHECKPOINTS:
        return "trained again from the epoch stored before it, when a suite asks for it"
    if record.kind == STATISTICS:
        return "evaluated again when a suite asks for it"
    if record.kind == ROLLING:
        return "the training goes on from an earlier state"
    return "reports need the data set itself, or another import"


def _check_files(store: Store) -> Iterator[Damage]:
    """Files that have no checksum: results, failures, rates."""
    consequences = {
        RESULTS: "written again by the next bench run",
        FAILURES: "the job is tried again",
        RATES: "measured again",
    }
    for folder, consequence in consequences.items():
        for path in sorted((store.root / folder).rglob("*.*")):
            problem = _file_problem(path) if path.suffix in (".json", ".npz") else ""
            if problem and path.exists():
                aside = store.root / QUARANTINE / f"{folder}-{path.name}-{uuid.uuid4().hex[:8]}"
                aside.parent.mkdir(parents=True, exist_ok=True)
                path.rename(aside)
                shown = path.relative_to(store.root).as_posix()
                yield Damage(shown, problem, aside, consequence)


def _file_problem(path: Path) -> str:
    try:
        content = path.read_bytes()
        if path.suffix == ".json":
            json.loads(content)
        else:
            _read_npz(content)
    except FileNotFoundError:
        return ""
    except RecursionError:
        return "nested too deeply"
    except (OSError, ValueError, StoreError) as error:
        return str(error)
    return ""


def _read_npz(content: bytes) -> None:
    """Raises StoreError if the scores of a run cannot be read, every checksum included."""
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            damaged = archive.testzip()
    except Exception as error:
        raise StoreError(f"it is no archive of arrays: {error}") from error
    if damaged is not None:
        raise StoreError(f"the checksum of {damaged} does not match")
