"""Import of archives written by `bench store export`.

An archive may come from anybody, so nothing in the archive is trusted: every name must have a
place in a store, every checksum must match, every key must be the digest of the record's inputs,
and arrays must contain plain numbers. All members are unpacked into a temporary folder first.
After complete verification, records are moved into place; sound records in the store stay
unchanged.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import stat
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.data.folder import describes_splits
from harness.errors import BenchError, StoreError
from harness.maintenance.export import CHUNK, FORMAT, INDEX
from harness.store import layout
from harness.store.contents import (
    Record,
    entries,
    find_record,
    find_records,
    incomplete_folders,
    names_left_out,
    record_problem,
)
from harness.store.failures import parse_failure
from harness.store.records import Manifest, Store
from harness.text import short

HEX = "[0-9a-f]{32}"
PLACE = "|".join(
    (
        rf"{layout.DATASETS}/{HEX}/{layout.MANIFEST}",
        rf"{layout.CHECKPOINTS}/{HEX}/epoch-[0-9]{{6,12}}/[A-Za-z0-9_-][A-Za-z0-9_.-]*",
        rf"{layout.STATISTICS}/{HEX}/({layout.MANIFEST}|values\.npy)",
        rf"{layout.CONTENTS}/{HEX}/({layout.MANIFEST}|digests\.npy)",
        rf"{layout.FAILURES}/{HEX}\.json",
        rf"{layout.RESULTS}/[^/\\\x00-\x1f]+(/(only|set)-[0-9a-f]{{8}})?/(results\.json|(results|scores)\.npz)",
    )
)
"""Pattern for all names allowed in an archive; `.` and `..` are excluded separately."""
FACTS: dict[str, dict[str, type]] = {
    layout.CHECKPOINTS: {"chain": str, "likelihood": str, "plugin": dict, "versions": dict},
    layout.STATISTICS: {"job": str, "plugin": dict, "versions": dict},
    layout.CONTENTS: {"largest": int, "is_constant": bool},
}
"""Types of the facts that reports read, by kind of record."""
NEEDED = {
    layout.CHECKPOINTS: layout.WEIGHTS,
    layout.STATISTICS: layout.VALUES,
    layout.CONTENTS: layout.DIGESTS,
}
"""File that a record must have, by kind."""
MOST_MEMBERS = 1_000_000
MOST_INDEX = 2**28
MOST_JSON = 2**24


@dataclass
class Imported:
    """Summary of an import.

    Attributes:
        suite: Name of the suite in the archive.
        new: Number of imported records.
        there: Number of records stored already with equal content.
        differ: Records stored already with other content, which is kept.
    """

    suite: str
    new: int = 0
    there: int = 0
    differ: list[str] = field(default_factory=list)


def import_archive(path: Path, store: Store, advance: Callable[[int], None]) -> Imported:
    """Import an archive into a store.

    Arguments:
        path: Archive written by `bench store export`.
        store: Target store; sound records are never replaced.
        advance: Called with the number of bytes after each read.

    Raises:
        BenchError: The file is not an archive, is damaged, or contains another training under an
            existing key; the store is then unchanged.
    """
    if not path.is_file():
        raise BenchError(f"{path}: no such file")
    aside = Store(store.root / layout.TEMPORARY / uuid.uuid4().hex)
    try:
        with _opened(path) as archive:
            suite, files = _index(archive)
            _check_members(archive, files, path.stat().st_size)
            aside.root.mkdir(parents=True)
            _unpack(archive, files, aside.root, advance)
        records = _verified(aside)
        _refuse_conflicts(records, store)
        return _move(records, aside, store, suite)
    except StoreError as error:
        problem = str(error).replace(f"{aside.root}/", "")  # name in the archive
        raise BenchError(f"{path}: {problem}; nothing is imported") from error
    except OSError as error:
        raise BenchError(f"{path} cannot be imported: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside.root, ignore_errors=True)


@contextmanager
def _read_with_care(problem: str) -> Iterator[None]:
    """Report any error as a problem in the archive: hostile bytes make readers raise anything."""
    try:
        yield
    except (OSError, StoreError):
        raise
    except Exception as error:
        reason = short(str(error) or type(error).__name__)
        raise StoreError(f"{problem} ({reason})") from error


@_read_with_care("not written by bench store export")
def _opened(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


@_read_with_care("not written by bench store export")
def _index(archive: zipfile.ZipFile) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the name of the suite, and sha256 and size for every member."""
    info = archive.getinfo(INDEX)
    if info.file_size > MOST_INDEX or info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{INDEX} is too large or compressed")
    value = json.loads(archive.read(info))
    if value["format"] != FORMAT:
        raise ValueError(f"format {short(value['format'])} instead of {FORMAT}")
    suite, files = value["suite"], value["files"]
    if not isinstance(suite, str) or not isinstance(files, dict):
        raise TypeError(f"{INDEX} has another structure")
    for name, file in files.items():
        if not re.fullmatch("[0-9a-f]{64}", file["sha256"]) or type(file["bytes"]) is not int:
            raise TypeError(f"{short(name)} lacks a checksum or a size")
    return suite, files


def _check_members(
    archive: zipfile.ZipFile, files: Mapping[str, dict[str, Any]], size: int
) -> None:
    """Check that every member is an uncompressed regular file with an allowed name, as indexed.

    Overlapping members, which claim the same bytes, are refused through the sum of all sizes.
    """
    infos = [info for info in archive.infolist() if info.filename != INDEX]
    names = Counter(info.filename for info in infos)
    if len(infos) > MOST_MEMBERS:
        raise StoreError(f"more than {MOST_MEMBERS:,} members")
    for info in infos:
        problem = _member_problem(info, names, files)
        if problem:
            raise StoreError(f"member {short(info.filename)} {problem}")
    lacking = sorted(set(files) - set(names))
    if lacking:
        raise StoreError(f"member {short(lacking[0])} is missing")
    if sum(info.file_size for info in infos) > size:
        raise StoreError("the members claim more bytes than the archive has")


def _member_problem(
    info: zipfile.ZipInfo, names: Counter[str], files: Mapping[str, dict[str, Any]]
) -> str:
    mode = info.external_attr >> 16
    if not _has_place(info.filename) or info.orig_filename != info.filename:
        return "has no place in a store"
    if names[info.filename] > 1:
        return "appears twice"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "is not a regular file"
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        return "is compressed or encrypted, but export never does so"
    if info.filename not in files or files[info.filename]["bytes"] != info.file_size:
        return "does not match the index"
    if info.filename.endswith(".json") and info.file_size > MOST_JSON:
        return f"is larger than {MOST_JSON:,} bytes"
    return ""


def _has_place(name: str) -> bool:
    parts = name.split("/")
    return not {".", ".."} & set(parts) and re.fullmatch(PLACE, name) is not None


def _unpack(
    archive: zipfile.ZipFile,
    files: Mapping[str, dict[str, Any]],
    aside: Path,
    advance: Callable[[int], None],
) -> None:
    """Unpack all members into a temporary folder and compare checksums."""
    free = shutil.disk_usage(aside).free
    total = sum(file["bytes"] for file in files.values())
    if total > free:
        raise StoreError(f"the import needs {total:,} bytes, but only {free:,} are free")
    for name, expected in files.items():
        target = aside / name
        target.parent.mkdir(parents=True, exist_ok=True)
        sha, left = hashlib.sha256(), expected["bytes"]
        with (
            _read_with_care(f"member {name} cannot be read"),
            archive.open(name) as source,
            target.open("xb") as file,
        ):
            while piece := source.read(min(CHUNK, left + 1)):
                left -= len(piece)
                sha.update(piece)
                file.write(piece)
                advance(len(piece))
            file.flush()
            os.fsync(file.fileno())
        if left or sha.hexdigest() != expected["sha256"]:
            raise StoreError(f"the checksum of {name} does not match")


def _verified(aside: Store) -> list[Record]:
    """Verify all unpacked content and return the records.

    Checkpoints come last: the other records are not used before a checkpoint exists.
    """
    for kind, key in incomplete_folders(aside):
        raise StoreError(f"{kind}/{key} has no manifest")
    kinds = (layout.DATASETS, layout.CONTENTS, layout.STATISTICS, layout.CHECKPOINTS)
    records = list(find_records(aside, kinds))
    for record in records:
        if record.manifest is None:
            raise StoreError(record.problem)
        _check_record(aside, record, record.manifest)
    for file in entries(aside, layout.FAILURES):
        if parse_failure(file.read_bytes()) is None:
            raise StoreError(f"{layout.FAILURES}/{file.name} is not a failure")
    for file in sorted((aside.root / layout.RESULTS).rglob("*.json")):
        with _read_with_care(f"{file} cannot be read"):
            value = json.loads(file.read_bytes())
        if not isinstance(value, dict) or not isinstance(value.get("results"), list):
            raise StoreError(f"{file} does not contain results")
    return records


def _check_record(aside: Store, record: Record, manifest: Manifest) -> None:
    where, folder = f"{record.kind}/{record.key}", aside.path(record.kind, record.key)
    listed, there = set(manifest.files), {file.name for file in folder.iterdir()}
    lacking = sorted(listed - there)
    foreign = (there - listed - {layout.MANIFEST}) | (listed & {layout.LEFT_OUT})
    if foreign or (lacking and record.kind != layout.CHECKPOINTS):
        raise StoreError(f"{where} has other files than listed in the manifest")
    if lacking:
        (folder / layout.LEFT_OUT).write_text(json.dumps(lacking))
    problem = record_problem(aside, record) or _form(record.kind, manifest)
    if not problem and record.kind == layout.STATISTICS:
        problem = _array_problem((folder / layout.VALUES).read_bytes(), "float64", 2)
    if not problem and record.kind == layout.CONTENTS:
        problem = _array_problem((folder / layout.DIGESTS).read_bytes(), "uint64", 1)
    if problem:
        raise StoreError(f"{where} is damaged: {problem}")


def _form(kind: str, manifest: Manifest) -> str:
    """Find missing or invalid facts in a manifest with a matching checksum; empty if valid."""
    if kind == layout.DATASETS:
        return "" if describes_splits(manifest.facts) else "the card does not describe a data set"
    for name, form in FACTS[kind].items():
        if not isinstance(manifest.facts.get(name), form):
            return f"fact {name!r} is {short(manifest.facts.get(name))}"
    needed = NEEDED[kind]
    return "" if needed in manifest.files else f"{needed} is not listed"


@_read_with_care("the values cannot be read")
def _array_problem(content: bytes, dtype: str, dims: int) -> str:
    import numpy as np

    array = np.load(io.BytesIO(content), allow_pickle=False)
    is_plain = array.dtype == dtype and array.ndim == dims
    return "" if is_plain else f"the values are {array.dtype} with shape {array.shape}"


def _refuse_conflicts(records: list[Record], store: Store) -> None:
    """Refuse another training or data set under an existing key: results would be mixed."""
    for record in records:
        own = _content(find_record(store, record.kind, record.key))
        if record.kind != layout.STATISTICS and own not in (None, _content(record)):
            raise StoreError(
                f"{record} is stored here with other content; import into another store (--store)"
            )


def _content(record: Record | None) -> dict[str, Any] | None:
    """Return the part that is equal in two records with the same content; None if unknown."""
    if record is None or record.manifest is None:
        return None
    facts = record.manifest.facts
    if record.kind == layout.DATASETS:
        return {"counts": facts.get("counts"), "fingerprints": facts.get("fingerprints")}
    return record.manifest.files


def _move(records: list[Record], aside: Store, store: Store, suite: str) -> Imported:
    """Move records into place, and failures and results not yet in the store."""
    done = Imported(suite)
    for record in records:
        _move_record(record, aside, store, done)
    for folder in (layout.FAILURES, layout.RESULTS):
        for source in entries(aside, folder):
            target = store.root / folder / source.name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                source.rename(target)
    return done


def _move_record(record: Record, aside: Store, store: Store, done: Imported) -> None:
    source, target = (each.path(record.kind, record.key) for each in (aside, store))
    own = find_record(store, record.kind, record.key)
    if own is not None and not record_problem(store, own):
        if _content(own) != _content(record):
            done.differ.append(str(record))
            return
        if not names_left_out(target) - names_left_out(source):
            done.there += 1
            return
        # The temporary folder is removed in the end, with the replaced record.
        target.rename(source.with_name(f"{source.name}-before"))
    elif target.exists():
        store.quarantine(record.kind, record.key)
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    done.new += 1
