"""The store: immutable, checksummed records, each complete or absent.

A record is the folder `ROOT/KIND/KEY/` with files and a `manifest.json`. Records are written under
`ROOT/tmp/`, with every file synced and the manifest written last, and then moved into place by a
single rename. Every visible record is therefore complete, even after a kill at any moment.
The rename is synced too, so a power cut loses no record that a run has reported.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.errors import StoreError
from harness.store.hashing import file_sha256
from harness.store.layout import FOLDERS, MANIFEST, QUARANTINE, TEMPORARY
from harness.text import short

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Content: TypeAlias = bytes | Callable[[Path], None]
FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Manifest:
    """Description stored with a record.

    Attributes:
        inputs: Plain values behind the key; the key is the digest of these inputs.
        files: sha256 and size in bytes for each file, by name.
        facts: Findings and measurements made along the way; never part of a key.
    """

    inputs: dict[str, Any]
    files: dict[str, dict[str, Any]]
    facts: dict[str, Any]


class Store:
    """Records on disk under one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, kind: str, key: str) -> Path:
        """Return the folder of a record; the folder need not exist."""
        return self.root / kind / key

    def has(self, kind: str, key: str) -> bool:
        """Check whether a complete record is stored."""
        return (self.path(kind, key) / MANIFEST).is_file()

    def manifest(self, kind: str, key: str) -> Manifest:
        """Read the manifest of a record and verify the checksum of the manifest itself.

        Raises:
            StoreError: The manifest is missing or damaged.
        """
        path = self.path(kind, key) / MANIFEST
        try:
            return parse_manifest(path.read_bytes())
        except OSError as error:
            raise StoreError(f"{path} is damaged: {error.strerror}") from error
        except ValueError as error:
            raise StoreError(f"{path} is damaged: {error}") from error

    def find_manifest(self, kind: str, key: str) -> Manifest | None:
        """Read the manifest of a record; None if the manifest is missing or damaged."""
        with suppress(StoreError):
            return self.manifest(kind, key)
        return None

    def read(self, kind: str, key: str, name: str) -> bytes:
        """Read a file of a record and verify the checksum.

        Raises:
            StoreError: The file is missing, not readable or damaged.
        """
        path = self.path(kind, key) / name
        expected = self.manifest(kind, key).files.get(name)
        if expected is None:
            raise StoreError(f"{path} is not listed in the record's manifest")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != expected["sha256"]:
            raise StoreError(f"{path} is damaged: its checksum does not match")
        return content

    def read_array(self, kind: str, key: str, name: str) -> NDArray[np.float64]:
        """Read an `.npy` file from a record and verify the checksum.

        Raises:
            StoreError: The file is damaged, or does not hold a numeric array.
        """
        content = self.read(kind, key, name)
        try:
            return parse_array(content)
        except Exception as error:
            path = self.path(kind, key) / name
            raise StoreError(f"{path} cannot be read as an array ({error})") from error

    def write(
        self,
        kind: str,
        key: str,
        files: Mapping[str, Content],
        *,
        inputs: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> None:
        """Write a record. A record written by another process in the meantime is kept instead."""
        temporary = self.root / TEMPORARY / uuid.uuid4().hex
        temporary.mkdir(parents=True)
        try:
            entries = {name: _write_file(temporary / name, item) for name, item in files.items()}
            _write_file(temporary / MANIFEST, manifest_bytes(inputs, entries, facts))
            _sync_folder(temporary)
            self._move_into_place(temporary, kind, key)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _move_into_place(self, temporary: Path, kind: str, key: str) -> None:
        final = self.path(kind, key)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.rename(final)
        except OSError:
            if not final.is_dir():
                raise
            if not self.has(kind, key):  # remains of a record that lost the manifest
                self.quarantine(kind, key)
                temporary.rename(final)
        _sync_folder(final.parent)

    def quarantine(self, kind: str, key: str) -> Path:
        """Move a damaged record or file aside; the next run computes the content again."""
        target = self.root / QUARANTINE / f"{kind}-{key.replace('/', '-')}-{uuid.uuid4().hex[:8]}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process has moved it already
            self.path(kind, key).rename(target)
        return target

    def keys(self, kind: str) -> Iterator[str]:
        """Yield the keys of all complete records with the given kind, in order."""
        root = self.root / kind
        for path in sorted(root.glob(f"**/{MANIFEST}")):
            yield path.parent.relative_to(root).as_posix()


def manifest_bytes(
    inputs: Mapping[str, Any], files: Mapping[str, Any], facts: Mapping[str, Any]
) -> bytes:
    """Encode a manifest together with a checksum of the manifest itself."""
    value: dict[str, Any] = {"inputs": dict(inputs), "files": dict(files), "facts": dict(facts)}
    value["sha256"] = hashlib.sha256(_manifest_body(value)).hexdigest()
    return json.dumps(value, indent=1).encode()


def parse_manifest(content: bytes) -> Manifest:
    """Decode a manifest and verify the checksum of the manifest itself.

    Raises:
        ValueError: The content is damaged, or no manifest.
    """
    try:
        value = json.loads(content)
        checksum = value.pop("sha256")
        if checksum != hashlib.sha256(_manifest_body(value)).hexdigest():
            raise ValueError("its checksum does not match")
        return _checked_manifest(value)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(short(str(error))) from error


def replace_file(path: Path, content: bytes) -> None:
    """Write a file atomically; an existing file is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        _write_file(temporary, content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def find_unwritable(root: Path) -> Path | None:
    """Find the first folder of a store or data folder that this user cannot write.

    Arguments:
        root: Store or data folder; if missing, the nearest folder above must be writable.

    Returns:
        None if all folders directly below the root, and the root itself, can be written.
    """
    if not os.path.lexists(root):
        above = next(folder for folder in root.absolute().parents if os.path.lexists(folder))
        return None if _is_writable(above) else root
    folders = [root, *(root / name for name in FOLDERS if (root / name).is_dir())]
    return next((folder for folder in folders if not _is_writable(folder)), None)


def is_refusal(error: OSError) -> bool:
    """Check that an error means a lack of permission or a read-only file system."""
    return error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def array_bytes(array: NDArray[Any]) -> bytes:
    """Encode an array as an `.npy` file."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def parse_array(content: bytes) -> NDArray[Any]:
    """Decode an `.npy` file; a declared shape allocates nothing before it is checked.

    Raises:
        ValueError: The content is damaged, has objects, or declares another size than it has.
    """
    import numpy as np
    from numpy.lib import format as npy

    stream = io.BytesIO(content)
    headers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(stream)
    if version not in headers:
        raise ValueError(f"version {version} of the format is not supported")
    shape, is_fortran, dtype = headers[version](stream)
    if dtype.hasobject:
        raise ValueError("the array holds Python objects, and bench never loads these")
    declared, there = math.prod(shape) * dtype.itemsize, len(content) - stream.tell()
    if min(shape, default=0) < 0 or declared != there:
        raise ValueError(f"the header declares {declared:,} bytes, not {there:,}")
    flat: NDArray[Any] = np.frombuffer(content, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if is_fortran else "C").copy("K")


def _manifest_body(value: Mapping[str, Any]) -> bytes:
    body = {name: value[name] for name in ("inputs", "files", "facts")}
    return json.dumps(body, sort_keys=True, allow_nan=False).encode()


def _checked_manifest(value: Any) -> Manifest:
    """Check the form of a manifest.

    File names must not contain a folder: a manifest never points outside the record's folder.
    """
    inputs, files, facts = value["inputs"], value["files"], value["facts"]
    if not all(isinstance(part, dict) for part in (inputs, files, facts)):
        raise TypeError("inputs, files and facts must be JSON objects")
    for name, file in files.items():
        if not FILE_NAME.fullmatch(name) or not isinstance(file, dict):
            raise TypeError(f"{name!r} is not a valid file name")
        if not isinstance(file["sha256"], str) or not isinstance(file["bytes"], int):
            raise TypeError(f"file {name!r} lacks a checksum or a size")
    return Manifest(inputs, files, facts)


def _write_file(path: Path, content: Content) -> dict[str, Any]:
    if isinstance(content, bytes):
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    content(path)
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return {"sha256": file_sha256(path), "bytes": path.stat().st_size}


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
