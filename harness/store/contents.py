"""Store contents: records found on disk with their sizes, and other files."""

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
    """Record found in a store; only the manifest has been read.

    Attributes:
        size: Total bytes of all files.
        manifest: None if the manifest is damaged; `problem` then describes the damage.
    """

    kind: str
    key: str
    size: int
    manifest: Manifest | None
    problem: str = ""

    @property
    def train_key(self) -> str:
        """Train key of the record; empty for a record produced without any training."""
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
        """Describe the record in human-readable form, for example `glow epoch 3`."""
        facts = self.manifest.facts if self.manifest else {}
        if self.kind == layout.CHECKPOINTS:
            epoch = self.key.rpartition("epoch-")[2].lstrip("0") or "0"
            return f"{facts.get('chain', self.train_key)} {facts.get('unit', 'epoch')} {epoch}"
        if self.kind == layout.STATISTICS:
            return str(facts.get("job", f"statistic {self.key}"))
        return f"{self.kind} {self.key}"


def find_records(store: Store, kinds: tuple[str, ...] = layout.KINDS) -> Iterator[Record]:
    """Yield all records with the given kinds, in order of kind and key."""
    for kind in kinds:
        for key in store.keys(kind):
            record = find_record(store, kind, key)
            if record is not None:
                yield record


def find_record(store: Store, kind: str, key: str) -> Record | None:
    """Return a record; None if the record is not stored."""
    size = folder_size(store.path(kind, key))
    try:
        return Record(kind, key, size, store.manifest(kind, key))
    except StoreError as error:
        return Record(kind, key, size, None, str(error)) if store.has(kind, key) else None


def record_problem(store: Store, record: Record) -> str:
    """Verify a record in full: the key, and all files, which must not be links.

    Returns:
        The first problem found; empty for a sound record.
    """
    if record.manifest is None:
        return record.problem
    own = digest(record.manifest.inputs)
    if own != (record.train_key or record.key):
        return f"its inputs do not match its key (their digest is {own})"
    folder = store.path(record.kind, record.key)
    for name in record.manifest.files:
        if (folder / name).is_symlink():
            return f"{name} is a link"
    return files_problem(folder, record.manifest)


def files_problem(folder: Path, manifest: Manifest) -> str:
    """Compare all files in a record's folder with the checksums in the manifest.

    Returns:
        The first problem found; empty for sound files.
    """
    left_out = names_left_out(folder)
    for name, expected in manifest.files.items():
        path = folder / name
        if name in left_out and not path.exists():
            continue
        try:
            if not path.is_file():
                return f"{name} is missing"
            if file_sha256(path) != expected["sha256"]:
                return f"the checksum of {name} does not match"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return ""


def names_left_out(folder: Path) -> set[str]:
    """Return the names of files left out by an import on purpose."""
    try:
        value = json.loads((folder / layout.LEFT_OUT).read_bytes())
    except (OSError, ValueError, RecursionError):
        return set()
    return {name for name in value if isinstance(name, str)} if isinstance(value, list) else set()


def incomplete_folders(store: Store) -> Iterator[tuple[str, str]]:
    """Yield kind and key for each record folder with files but without a manifest."""
    for kind in layout.KINDS:
        root = store.root / kind
        for folder in sorted(path for path in root.rglob("*") if path.is_dir()):
            files = [path for path in folder.iterdir() if path.is_file()]
            if files and not (folder / layout.MANIFEST).is_file():
                yield kind, folder.relative_to(root).as_posix()


def folder_size(path: Path) -> int:
    """Return the size in bytes of a file, or of a whole folder; 0 if the path does not exist."""
    files = [path] if path.is_file() else path.rglob("*")
    size = 0
    for file in files:
        try:
            size += 0 if file.is_dir() else file.lstat().st_size
        except FileNotFoundError:
            continue  # moved by a run in the meantime
    return size


def age(path: Path) -> float:
    """Return the seconds since a file or folder was last written; 0 if the path does not exist."""
    try:
        newest = max(file.lstat().st_mtime for file in [path, *path.rglob("*")])
    except FileNotFoundError:
        return 0.0
    return time.time() - newest


def entries(store: Store, folder: str) -> list[Path]:
    """List the paths in a store folder, in order of name; empty for a missing folder."""
    path = store.root / folder
    return sorted(path.iterdir()) if path.is_dir() else []
