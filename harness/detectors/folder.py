"""The folder of a detector: written as a whole, read with every checksum verified."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.detectors.description import Description, parse_description
from harness.errors import BenchError, DataError
from harness.store.records import manifest_bytes, parse_array, parse_manifest, replace_file

ABOUT, README = "detector.json", "README.md"
MOST_ABOUT = 10_000_000
"""Maximum number of bytes in `detector.json`."""


@dataclass(frozen=True)
class Contents:
    """Contents of a detector's folder, each file read once.

    Attributes:
        facts: Where the detector comes from, and the AUROC it had; nothing depends on them.
        files: Content of every file by name, without `detector.json`.
    """

    folder: Path
    description: Description
    facts: Mapping[str, Any]
    files: Mapping[str, bytes]

    def file(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            DataError: No such file is listed.
        """
        if name not in self.files:
            raise DataError(f"{self.folder / ABOUT} names {name!r}, which is not among its files")
        return self.files[name]

    def array(self, name: str, kind: str) -> Any:
        """Return the array in a file.

        Arguments:
            name: Name of the file.
            kind: Name of the dtype, for example `"float64"`.

        Raises:
            DataError: The file is no such array.
        """
        try:
            array = parse_array(self.file(name))
        except ValueError as error:
            raise DataError(f"{self.folder / name} cannot be read as an array: {error}") from error
        if array.dtype != kind:
            raise DataError(f"{self.folder / name} has values of {array.dtype}, not {kind}")
        return array


def require_free(folder: Path) -> None:
    """Refuse a folder that has something inside: no file is ever replaced.

    Raises:
        BenchError: The folder is not empty, or not a folder.
    """
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise BenchError(f"{folder} exists already: name a new folder, or delete this one")


def write_folder(
    folder: Path, description: Description, facts: Mapping[str, Any], files: Mapping[str, bytes]
) -> None:
    """Write the folder of a detector, complete or not at all.

    Raises:
        BenchError: The folder exists and is not empty.
    """
    require_free(folder)
    listed = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    temporary = folder.absolute().parent / f".{folder.name}.{uuid.uuid4().hex[:8]}"
    try:
        for name, content in files.items():
            replace_file(temporary / name, content)
        about = manifest_bytes(description.model_dump(mode="json"), listed, facts)
        replace_file(temporary / ABOUT, about)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_folder(folder: Path) -> Contents:
    """Read the folder of a detector.

    Raises:
        DataError: A file is missing, damaged, a link or of another format; names the file.
    """
    path = folder / ABOUT
    if not os.path.lexists(path):
        raise DataError(f"{folder} is no detector: {path} does not exist")
    content = _regular(path, MOST_ABOUT)
    try:
        manifest = parse_manifest(content)
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}") from error
    files = {}
    for name, expected in manifest.files.items():
        files[name] = _regular(folder / name, expected["bytes"])
        if hashlib.sha256(files[name]).hexdigest() != expected["sha256"]:
            raise DataError(f"{folder / name} is damaged: its checksum does not match {ABOUT}")
    return Contents(folder, parse_description(manifest.inputs, path), manifest.facts, files)


def _regular(path: Path, most: int) -> bytes:
    """Read a regular file: a link may lead out of the folder, reading a pipe may never end."""
    try:
        state = path.lstat()
        if stat.S_ISLNK(state.st_mode):
            raise DataError(f"{path} is a link, and a detector has files only")
        if not stat.S_ISREG(state.st_mode):
            raise DataError(f"{path} is not a file")
        if state.st_size > most:
            raise DataError(f"{path} is damaged: it has {state.st_size:,} bytes, not {most:,}")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
