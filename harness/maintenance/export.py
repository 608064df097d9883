"""Export of results as a single file, for transfer to another machine.

The archive is a zip file without compression, so unpacking needs no more space than the archive.
The first member, `bench-export.json`, lists all other members with sha256 and size in bytes.
Equal content gives equal bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from harness.data.cards import card_bytes, card_inputs
from harness.data.contents import contents_key
from harness.data.folder import PreparedDataset
from harness.errors import BenchError, NothingSelectedError, StoreError
from harness.maintenance.required import required_failures, required_records
from harness.plan.plan import Plan
from harness.run.saved import OTHER, suite_folder
from harness.store import layout
from harness.store.contents import find_records, names_left_out, record_problem
from harness.store.hashing import digest, file_sha256
from harness.store.records import Store
from harness.suite import DatasetComponent

INDEX = "bench-export.json"
FORMAT = 1
DATE = (1980, 1, 1, 0, 0, 0)
CHUNK = 2**20

Member: TypeAlias = tuple[str, Path | bytes]
"""Name in the archive, and content or path of a file with the content."""


@dataclass(frozen=True)
class Exported:
    """Number of records in an archive, size in bytes, and notes for the user."""

    records: int
    size: int
    notes: list[str]


def export_suite(
    plan: Plan,
    datasets: dict[str, DatasetComponent],
    store: Store,
    path: Path,
    with_weights: bool,
    advance: Callable[[int], None],
) -> Exported:
    """Write everything stored for a suite into an archive, after verification.

    Arguments:
        plan: Plan for the suite, with all available data sets found.
        datasets: Data sets in the suite, by name.
        store: Store with the results; left unchanged.
        path: File to create; must not exist yet.
        with_weights: Include weights and optimiser state for each checkpoint, for continuing the
            training elsewhere.
        advance: Called with the number of bytes after each write.

    Raises:
        NothingSelectedError: Nothing is stored for the suite.
        StoreError: A record is damaged.
        BenchError: The file exists already, or cannot be written.
    """
    if path.exists():
        raise BenchError(f"{path} already exists; choose another file name")
    notes: list[str] = []
    cards = [_card(datasets[name], prepared) for name, prepared in plan.prepared.items()]
    records = list(_record_files(plan, store, with_weights, notes))
    if not records:
        raise NothingSelectedError(f"nothing of {plan.suite} is stored in {store.root.absolute()}")
    contents = [file for item in plan.prepared.values() for file in _contents_files(item)]
    members = sorted(dict([*cards, *contents, *records, *_loose_files(plan, store)]).items())
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        _write(partial, plan.suite, members, advance)
        partial.rename(path)
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    count = sum(name.endswith(f"/{layout.MANIFEST}") for name, _ in members)
    return Exported(count, path.stat().st_size, notes)


def _card(component: DatasetComponent, prepared: PreparedDataset) -> Member:
    name = f"{layout.DATASETS}/{digest(card_inputs(component))}/{layout.MANIFEST}"
    return name, card_bytes(component, prepared)


def _contents_files(prepared: PreparedDataset) -> Iterator[Member]:
    """Yield the stored contents of a data set, for notes on a machine without the data."""
    store = Store(prepared.root)
    for split, fingerprint in prepared.fingerprints.items():
        if prepared.stored_contents(split) is not None:
            place = f"{layout.CONTENTS}/{contents_key(fingerprint)}"
            for name in (layout.MANIFEST, layout.DIGESTS):
                yield f"{place}/{name}", store.root / place / name


def _record_files(
    plan: Plan, store: Store, with_weights: bool, notes: list[str]
) -> Iterator[Member]:
    wanted = set(required_records(plan, store))
    for record in find_records(store, (layout.CHECKPOINTS, layout.STATISTICS)):
        if (record.kind, record.key) not in wanted:
            continue
        folder = store.path(record.kind, record.key)
        problem = record_problem(store, record)
        if problem or record.manifest is None:
            raise StoreError(f"{record} is damaged: {problem}; bench store fsck sets it aside")
        names = [layout.MANIFEST]
        if record.kind != layout.CHECKPOINTS or with_weights:
            names += sorted(record.manifest.files)
        for name in names:
            if (folder / name).exists():
                yield f"{record.kind}/{record.key}/{name}", folder / name
            elif name in names_left_out(folder):
                notes.append(f"{record}: {name} is missing; it was left out by the import")


def _loose_files(plan: Plan, store: Store) -> Iterator[Member]:
    for name in required_failures(plan):
        path = store.root / layout.FAILURES / f"{name}.json"
        if path.is_file():
            yield f"{layout.FAILURES}/{path.name}", path.read_bytes()
    results = suite_folder(plan, store)
    for path in sorted(results.rglob("*.*")):
        name = path.relative_to(results).as_posix()
        if path.is_file() and not path.name.startswith(".") and not name.startswith(OTHER):
            yield f"{layout.RESULTS}/{plan.suite}/{name}", path.read_bytes()


def _write(path: Path, suite: str, members: list[Member], advance: Callable[[int], None]) -> None:
    files = {}
    for name, content in members:
        if isinstance(content, bytes):
            sha, size = hashlib.sha256(content).hexdigest(), len(content)
        else:
            sha, size = file_sha256(content), content.stat().st_size
        files[name] = {"sha256": sha, "bytes": size}
    index = {"format": FORMAT, "suite": suite, "files": files}
    with path.open("xb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            _add(archive, INDEX, json.dumps(index, indent=1).encode(), advance)
            for name, content in members:
                _add(archive, name, content, advance)
        file.flush()
        os.fsync(file.fileno())


def _add(
    archive: zipfile.ZipFile, name: str, content: Path | bytes, advance: Callable[[int], None]
) -> None:
    info = zipfile.ZipInfo(name, DATE)
    info.external_attr = 0o644 << 16
    source = io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
    with source, archive.open(info, "w", force_zip64=True) as target:
        while piece := source.read(CHUNK):
            target.write(piece)
            advance(len(piece))
