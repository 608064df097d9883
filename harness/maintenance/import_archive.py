"""Archives of `bench store export`, verified and taken into a store.

An archive may come from anybody. Nothing of it is believed: every name must be one that a store
has, every checksum must match, every record must lie under the key that its inputs make, and
arrays must be plain numbers. All of it is written aside first, and moved into place record by
record once everything has been verified; what is stored and sound stays as it is.
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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.data.folder import describes_splits
from harness.errors import BenchError, StoreError
from harness.maintenance.export import CHUNK, FORMAT, INDEX
from harness.maintenance.fsck import names_left_out, record_problem
from harness.store.contents import Record
from harness.store.failures import parse_failure
from harness.store.layout import (
    CHECKPOINTS,
    DATASETS,
    FAILURES,
    LEFT_OUT,
    MANIFEST,
    RESULTS,
    STATISTICS,
    TEMPORARY,
    VALUES,
    WEIGHTS,
)
from harness.store.records import Manifest, Store, parse_manifest
from harness.text import short

HEX = "[0-9a-f]{32}"
PLACES = {
    DATASETS: re.compile(rf"({DATASETS})/({HEX})/({MANIFEST})"),
    CHECKPOINTS: re.compile(
        rf"({CHECKPOINTS})/({HEX}/epoch-[0-9]{{6,12}})/([A-Za-z0-9_-][A-Za-z0-9_.-]*)"
    ),
    STATISTICS: re.compile(rf"({STATISTICS})/({HEX})/({MANIFEST}|values\.npy)"),
    FAILURES: re.compile(rf"({FAILURES})/()({HEX}\.json)"),
    RESULTS: re.compile(
        rf"({RESULTS})/([^/\\\x00-\x1f]+(?:/only-[0-9a-f]{{8}})?)/(results\.json|results\.npz|scores\.npz)"
    ),
}
"""Kind, key and file of every name that an archive may have."""
FACTS = {
    CHECKPOINTS: {"chain": str, "likelihood": str, "plugin": dict, "versions": dict},
    STATISTICS: {"job": str, "plugin": dict, "versions": dict},
}
"""What reports read of the facts of a record."""
MOST_MEMBERS = 1_000_000
MOST_INDEX = 2**28
MOST_JSON = 2**24


@dataclass
class Imported:
    """What an import did: how many records were taken in, were there, or differ from the own."""

    suite: str
    new: int = 0
    there: int = 0
    differ: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Staged:
    """A record of the archive, written aside and verified."""

    kind: str
    key: str
    folder: Path
    manifest: Manifest


def import_archive(path: Path, store: Store, advance: Callable[[int], None]) -> Imported:
    """Take an archive into a store.

    Arguments:
        path: The archive.
        store: What is in it and sound is never replaced.
        advance: Told the bytes of what has been read.

    Raises:
        BenchError: The archive is none of ours, damaged, or of another training under the same
            key; then nothing was changed.
    """
    aside = store.root / TEMPORARY / uuid.uuid4().hex
    try:
        with _opened(path) as archive:
            suite, files = _index(archive, path)
            _check_members(archive, files, path)
            aside.mkdir(parents=True)
            _stage(archive, files, aside, path, advance)
        staged = _verified(aside, path)
        _refuse_conflicts(staged, store, path)
        return _move(staged, aside, store, suite)
    except OSError as error:
        raise BenchError(f"{path} cannot be imported: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _opened(path: Path) -> zipfile.ZipFile:
    if not path.is_file():
        raise BenchError(f"{path}: no such file")
    try:
        return zipfile.ZipFile(path)
    except Exception as error:
        raise _foreign(path, error) from error


def _foreign(path: Path, error: Exception) -> BenchError:
    reason = short(str(error) or type(error).__name__)
    return BenchError(f"{path} is no archive of bench store export ({reason})")


def _index(archive: zipfile.ZipFile, path: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """Name of the suite, and sha256 and size of every member."""
    try:
        info = archive.getinfo(INDEX)
        if info.file_size > MOST_INDEX or info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{INDEX} is too large or packed")
        value = json.loads(archive.read(info))
        if value["format"] != FORMAT:
            raise ValueError(f"its format is {short(value['format'])}, not {FORMAT}")
        suite, files = value["suite"], value["files"]
        if not isinstance(suite, str) or not isinstance(files, dict):
            raise TypeError(f"{INDEX} is of another form")
        for name, file in files.items():
            if not re.fullmatch("[0-9a-f]{64}", file["sha256"]) or type(file["bytes"]) is not int:
                raise TypeError(f"{short(name)} has no checksum and size")
    except Exception as error:
        raise _foreign(path, error) from error
    return suite, files


def _check_members(
    archive: zipfile.ZipFile, files: Mapping[str, dict[str, Any]], path: Path
) -> None:
    """Every member is one that the index lists, a plain file, stored, and of a name of ours.

    Members that share their bytes are refused through the sum of their sizes.
    """
    infos = [info for info in archive.infolist() if info.filename != INDEX]
    names = Counter(info.filename for info in infos)
    if len(infos) > MOST_MEMBERS:
        raise BenchError(f"{path}: more than {MOST_MEMBERS:,} members")
    for info in infos:
        problem = _member_problem(info, names, files)
        if problem:
            what = f"member {short(info.filename)} {problem}"
            raise BenchError(f"{path}: {what}; nothing is imported")
    lacking = sorted(set(files) - set(names))
    if lacking:
        raise BenchError(f"{path}: member {short(lacking[0])} is lacking; nothing is imported")
    total = sum(info.file_size for info in infos)
    if total > path.stat().st_size:
        raise BenchError(f"{path}: its members claim more bytes than it has; nothing is imported")


def _member_problem(
    info: zipfile.ZipInfo, names: Counter[str], files: Mapping[str, dict[str, Any]]
) -> str:
    mode = info.external_attr >> 16
    if _place(info.filename) is None or info.orig_filename != info.filename:
        return "has no place in a store"
    if names[info.filename] > 1:
        return "is there twice"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "is no plain file"
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        return "is packed or encrypted, which export does not do"
    if info.filename not in files or files[info.filename]["bytes"] != info.file_size:
        return "is not what the archive's index lists"
    if info.filename.endswith(".json") and info.file_size > MOST_JSON:
        return f"is larger than {MOST_JSON:,} bytes"
    return ""


def _place(name: str) -> tuple[str, str, str] | None:
    """Kind, key and file of a name; None if it has no place in a store."""
    for pattern in PLACES.values():
        match = pattern.fullmatch(name)
        if match is not None:
            kind, key, file = match.groups()
            return None if {".", ".."} & set(key.split("/")) else (kind, key, file)
    return None


def _stage(
    archive: zipfile.ZipFile,
    files: Mapping[str, dict[str, Any]],
    aside: Path,
    path: Path,
    advance: Callable[[int], None],
) -> None:
    """Write every member aside, its checksum compared."""
    free = shutil.disk_usage(aside).free
    total = sum(file["bytes"] for file in files.values())
    if total > free:
        raise BenchError(f"{path}: it takes {total:,} bytes, and {free:,} are free")
    for name, expected in files.items():
        target = aside / name
        target.parent.mkdir(parents=True, exist_ok=True)
        sha, left = hashlib.sha256(), expected["bytes"]
        try:
            with archive.open(name) as source, target.open("xb") as file:
                while piece := source.read(min(CHUNK, left + 1)):
                    left -= len(piece)
                    sha.update(piece)
                    file.write(piece)
                    advance(len(piece))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            raise
        except Exception as error:
            reason = short(str(error))
            raise BenchError(f"{path}: member {name} cannot be read ({reason})") from error
        if left or sha.hexdigest() != expected["sha256"]:
            raise BenchError(f"{path}: the checksum of {name} does not match; nothing is imported")


def _verified(aside: Path, path: Path) -> list[_Staged]:
    """The records that were written aside, each under the key of its inputs and whole."""
    staged = []
    for kind in (DATASETS, STATISTICS, CHECKPOINTS):
        folders = sorted({file.parent for file in (aside / kind).rglob("*") if file.is_file()})
        for folder in folders:
            key = folder.relative_to(aside / kind).as_posix()
            staged.append(_verified_record(kind, key, folder, path))
    for file in sorted((aside / FAILURES).glob("*")):
        if parse_failure(file.read_bytes()) is None:
            raise BenchError(f"{path}: {FAILURES}/{file.name} is no failure; nothing is imported")
    for file in sorted((aside / RESULTS).rglob("*.*")):
        if file.suffix == ".json":
            _parse_results(file.read_bytes(), f"{path}: {file.relative_to(aside)}")
    return staged


def _parse_results(content: bytes, where: str) -> None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{where} cannot be read ({short(str(error))})") from error
    if not isinstance(value, dict) or not isinstance(value.get("results"), list):
        raise BenchError(f"{where} holds no results; nothing is imported")


def _verified_record(kind: str, key: str, folder: Path, path: Path) -> _Staged:
    where = f"{path}: {kind}/{key}"
    try:
        content = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        raise BenchError(f"{where} has no manifest; nothing is imported") from None
    try:
        manifest = parse_manifest(content, where)
    except StoreError as error:
        raise BenchError(f"{error}; nothing is imported") from error
    there = {file.name for file in folder.iterdir()} - {MANIFEST}
    lacking = sorted(set(manifest.files) - there)
    foreign = sorted(there - set(manifest.files))
    if foreign or LEFT_OUT in manifest.files or (lacking and kind != CHECKPOINTS):
        raise BenchError(f"{where} has other files than its manifest lists; nothing is imported")
    if lacking:
        (folder / LEFT_OUT).write_text(json.dumps(lacking))
    problem = record_problem(folder, Record(kind, key, 0, manifest)) or _form(kind, manifest)
    if not problem and kind == STATISTICS:
        problem = _array_problem((folder / VALUES).read_bytes())
    if problem:
        raise BenchError(f"{where} is damaged: {problem}; nothing is imported")
    return _Staged(kind, key, folder, manifest)


def _form(kind: str, manifest: Manifest) -> str:
    """What is wrong with what a manifest says, if its checksum matches all the same."""
    if kind == DATASETS:
        return "" if describes_splits(manifest.facts) else "it does not say what the data set is"
    for name, form in FACTS[kind].items():
        if not isinstance(manifest.facts.get(name), form):
            return f"its fact {name!r} is {short(manifest.facts.get(name))}"
    needed = WEIGHTS if kind == CHECKPOINTS else VALUES
    return "" if needed in manifest.files else f"it lists no {needed}"


def _array_problem(content: bytes) -> str:
    import numpy as np

    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
        plain = array.dtype == np.float64 and array.ndim == 2
    except Exception as error:
        return f"its values cannot be read ({short(str(error) or type(error).__name__)})"
    return "" if plain else f"its values are {array.dtype} of shape {array.shape}"


def _refuse_conflicts(staged: list[_Staged], store: Store, path: Path) -> None:
    """Another training or data set under a key of the store: what rests on it would be mixed."""
    for item in staged:
        own = _own(store, item)
        if own is None or item.kind == STATISTICS or _same(own, item):
            continue
        record = Record(item.kind, item.key, 0, item.manifest)
        raise BenchError(
            f"{path}: {record} is stored here with other content; import it into a store of its "
            "own (--store); nothing is imported"
        )


def _own(store: Store, item: _Staged) -> Manifest | None:
    """The manifest of the record that lies where the item would; None if there is none."""
    return store.find_manifest(item.kind, item.key)


def _same(own: Manifest, item: _Staged) -> bool:
    if item.kind == DATASETS:
        return own.facts == item.manifest.facts
    return own.files == item.manifest.files


def _move(staged: list[_Staged], aside: Path, store: Store, suite: str) -> Imported:
    """Checkpoints last: without them nothing of the rest is looked for."""
    done = Imported(suite)
    for item in staged:
        _move_record(item, store, done)
    for file in sorted((aside / FAILURES).glob("*")):
        _move_loose(file, store.root / FAILURES / file.name)
    for folder in sorted((aside / RESULTS).glob("*")):
        _move_loose(folder, store.root / RESULTS / folder.name)
    return done


def _move_record(item: _Staged, store: Store, done: Imported) -> None:
    folder, own = store.path(item.kind, item.key), _own(store, item)
    if own is not None and not record_problem(folder, Record(item.kind, item.key, 0, own)):
        if not _same(own, item):
            done.differ.append(str(Record(item.kind, item.key, 0, item.manifest)))
            return
        if not set(names_left_out(folder)) - set(names_left_out(item.folder)):
            done.there += 1
            return
        folder.rename(item.folder.with_name(f"{item.folder.name}-before"))  # goes with the rest
    elif folder.exists():
        store.quarantine(item.kind, item.key)
    folder.parent.mkdir(parents=True, exist_ok=True)
    item.folder.rename(folder)
    done.new += 1


def _move_loose(source: Path, target: Path) -> None:
    """A failure, or the results of a suite; those that are there stay."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
