"""Contents of a store: records found on disk, their sizes, and files beside them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import StoreError
from harness.store import layout
from harness.store.hashing import digest, file_sha256
from harness.store.records import Manifest, Store


@dataclass(frozen=True)
class Record:
    """A record that is there, its content not read.

    Attributes:
        size: Bytes of all its files.
        manifest: None if it is damaged; then `problem` says how.
    """

    kind: str
    key: str
    size: int
    manifest: Manifest | None
    problem: str = ""

    @property
    def train_key(self) -> str:
        """The key of the training that produced the entry; empty for an entry without one."""
        has_training = self.kind in (layout.CHECKPOINTS, layout.ROLLING)
        return self.key.partition("/")[0] if has_training else ""

    @property
    def weights(self) -> str:
        """Checksum of the weights in a checkpoint or read by a statistic; empty if unknown."""
        if self.manifest is None:
            return ""
        if self.kind == layout.STATISTICS:
            return str(self.manifest.inputs.get("weights", ""))
        return str(self.manifest.files.get(layout.WEIGHTS, {}).get("sha256", ""))

    def __str__(self) -> str:
        """Describe the entry in the words of a person, such as `glow epoch 3`."""
        facts = self.manifest.facts if self.manifest else {}
        if self.kind == layout.CHECKPOINTS:
            epoch = self.key.rpartition("epoch-")[2].lstrip("0") or "0"
            return f"{facts.get('chain', self.train_key)} epoch {epoch}"
        if self.kind == layout.STATISTICS:
            return str(facts.get("job", f"statistic {self.key}"))
        return f"{self.kind} {self.key}"


def find_records(store: Store, kinds: tuple[str, ...] = layout.KINDS) -> Iterator[Record]:
    """Every record of some kinds, in order of kind and key."""
    for kind in kinds:
        for key in store.keys(kind):
            record = find_record(store, kind, key)
            if record is not None:
                yield record


def find_record(store: Store, kind: str, key: str) -> Record | None:
    """A record; None if it is not there."""
    size = folder_size(store.path(kind, key))
    try:
        return Record(kind, key, size, store.manifest(kind, key))
    except StoreError as error:
        return Record(kind, key, size, None, str(error)) if store.has(kind, key) else None


def record_problem(store: Store, record: Record) -> str:
    """What is wrong with a record; empty if nothing is. Reads all of it."""
    if record.manifest is None:
        return record.problem
    own = digest(record.manifest.inputs)
    if own != (record.train_key or record.key):
        return f"it is not that of its key: its inputs make {own}"
    folder = store.path(record.kind, record.key)
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


def names_left_out(folder: Path) -> set[str]:
    """Files that an import came without on purpose."""
    try:
        value = json.loads((folder / layout.LEFT_OUT).read_bytes())
    except (OSError, ValueError, RecursionError):
        return set()
    return {name for name in value if isinstance(name, str)} if isinstance(value, list) else set()


def incomplete_folders(store: Store) -> Iterator[tuple[str, str]]:
    """Kind and key of folders that lie where records lie, and have files but no manifest."""
    for kind in layout.KINDS:
        root = store.root / kind
        for folder in sorted(path for path in root.rglob("*") if path.is_dir()):
            files = [path for path in folder.iterdir() if path.is_file()]
            if files and not (folder / layout.MANIFEST).is_file():
                yield kind, folder.relative_to(root).as_posix()


def folder_size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 if it is gone."""
    files = [path] if path.is_file() else path.rglob("*")
    size = 0
    for file in files:
        try:
            size += 0 if file.is_dir() else file.lstat().st_size
        except FileNotFoundError:
            continue  # a run moved it meanwhile
    return size


def age(path: Path) -> float:
    """Seconds since anything of a file or folder was last written; 0 if it is gone."""
    try:
        newest = max(file.lstat().st_mtime for file in [path, *path.rglob("*")])
    except FileNotFoundError:
        return 0.0
    return time.time() - newest


def entries(store: Store, folder: str) -> list[Path]:
    """What lies in a folder of the store, in order of name; nothing if there is none."""
    path = store.root / folder
    return sorted(path.iterdir()) if path.is_dir() else []
