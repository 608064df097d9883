"""Data folder: data sets converted once to arrays, with fingerprints, and memory-mapped."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contracts import Dataset, Fetchable, HasNotes, HasStamp
from harness.data.contents import Contents, find_contents, keep_contents
from harness.domain import Domain, Examples
from harness.errors import DataError, FolderError, MissingDataError, StoreError
from harness.store.contents import files_problem
from harness.store.hashing import digest, file_sha256
from harness.store.layout import DATASETS, MANIFEST
from harness.store.locks import lock
from harness.store.records import Manifest, Store, find_unwritable

if TYPE_CHECKING:
    from harness.suite.components import DatasetComponent

VERIFIED_BYTES = 64 * 2**20
"""Largest array, in bytes, that is verified against the checksum on every opening."""


@dataclass(frozen=True)
class PreparedDataset:
    """Converted data set in the data folder.

    Attributes:
        counts: Number of examples in each split.
        fingerprints: sha256 over shape and content, by split, in hexadecimal digits.
        notes: Remarks of the plugin about the files that were read.
    """

    name: str
    domain: Domain
    root: Path
    key: str
    counts: dict[str, int]
    fingerprints: dict[str, str]
    notes: tuple[str, ...] = ()

    def load(self, split: str) -> Examples:
        """Open a split as a read-only memory map.

        Returns:
            Examples: `domain.dtype`, (N, *domain.shape).

        Raises:
            StoreError: The file is damaged.
        """
        store = Store(self.root)
        path = store.path(DATASETS, self.key) / f"{split}.npy"
        expected = store.manifest(DATASETS, self.key).files[path.name]
        if not path.is_file() or path.stat().st_size != expected["bytes"]:
            raise StoreError(f"{path} is damaged: the size does not match")
        if expected["bytes"] <= VERIFIED_BYTES and file_sha256(path) != expected["sha256"]:
            raise StoreError(f"{path} is damaged: its checksum does not match")
        try:
            return _open_array(path)
        except ValueError as error:
            raise StoreError(f"{path} is damaged: {error}") from error

    def stored_contents(self, split: str) -> Contents | None:
        """Read the contents of a split; None if the contents are not stored."""
        return find_contents(Store(self.root), self.fingerprints[split], self.counts[split])

    def contents(self, split: str) -> Contents | None:
        """Read the contents of a split; the first use reads all examples and keeps the outcome.

        Returns:
            None if the contents are not stored and the examples are not on this machine.
        """
        found = self.stored_contents(split)
        if found is not None or not self._has_examples(split):
            return found
        try:
            found = Contents.of(self.load(split))
        except StoreError:
            return None
        keep_contents(Store(self.root), self.fingerprints[split], found)
        return found

    def _has_examples(self, split: str) -> bool:
        """Check that the examples are here; a card describes examples on another machine."""
        manifest = Store(self.root).find_manifest(DATASETS, self.key)
        return manifest is not None and f"{split}.npy" in manifest.files


class DataFolder:
    """Finds and prepares data sets under one root folder."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)

    def key(self, component: DatasetComponent) -> str:
        """Return the key of a data set: a digest of plugin, options and the stamps of the files.

        Raises:
            MissingDataError: Files needed for a stamp are missing.
        """
        return digest({"dataset": component.identity(), "stamps": _stamps(component)})

    def converted_key(self, component: DatasetComponent) -> str:
        """Return the key, or the key of the last conversion of published raw files.

        The last conversion counts if the raw files are gone, or if the data folder is read-only
        and has no record with the key: a copy of a folder gives large files another stamp. A
        user's private files must always be present, because the content may have changed.

        Raises:
            MissingDataError: The files are missing, and the data set has never been converted or
                consists of private files.
        """
        try:
            key = self.key(component)
        except MissingDataError:
            found = self._last_converted(component)
            if found is None:
                raise
            return found
        if self.store.has(DATASETS, key) or os.access(self.store.root, os.W_OK):
            return key
        return self._last_converted(component) or key

    def _last_converted(self, component: DatasetComponent) -> str | None:
        """Return the key of the latest conversion of published files, at any stamp."""
        if not _is_published(component):
            return None
        found = [
            ((self.store.path(DATASETS, key) / MANIFEST).stat().st_mtime, key)
            for key, _ in self._conversions(component)
        ]
        return max(found)[1] if found else None

    def _conversions(self, component: DatasetComponent) -> Iterator[tuple[str, Manifest]]:
        """Yield the conversions with equal plugin and options, at any stamp."""
        identity = component.identity()
        for key in self.store.keys(DATASETS):
            manifest = self.store.find_manifest(DATASETS, key)
            if manifest is not None and manifest.inputs.get("dataset") == identity:
                yield key, manifest

    def _twin(self, component: DatasetComponent, prints: Mapping[str, str]) -> Path | None:
        """Find an undamaged conversion with equal content; return the folder of the record."""
        for key, manifest in self._conversions(component):
            folder = self.store.path(DATASETS, key)
            if manifest.facts.get("fingerprints") == prints:
                if not files_problem(folder, manifest):
                    return folder
        return None

    def find(self, component: DatasetComponent) -> PreparedDataset | None:
        """Return the prepared data set, or None before the first conversion."""
        return find_described(self.store, self.converted_key(component), component)

    def prepare(
        self,
        component: DatasetComponent,
        converted: Callable[[PreparedDataset], None] = lambda prepared: None,
    ) -> PreparedDataset:
        """Return the prepared data set; the first use loads and converts the raw data.

        Arguments:
            component: Data set.
            converted: Called after a conversion, and not for a data set converted before.

        Raises:
            MissingDataError: The raw data is missing.
            DataError: The raw data does not match the declared domain.
            FolderError: The data set must be converted, and the data folder cannot be written.
        """
        found = self._find_sound(component)  # without a lock: the folder may be read-only
        if found is not None:
            return found
        self._require_writable(component)
        key = self.converted_key(component)
        with lock(self.store.root, key):  # if two runs race, one reuses the result
            found = self._find_sound(component)
            if found is not None:
                return found
            prepared = self._convert(component, key)
        converted(prepared)
        return prepared

    def _find_sound(self, component: DatasetComponent) -> PreparedDataset | None:
        """Return the prepared data set; None if missing or damaged."""
        found = self.find(component)
        if found is not None:
            with suppress(StoreError):
                for split in found.counts:
                    found.load(split)
                return found
        return None

    def _require_writable(self, component: DatasetComponent) -> None:
        folder = find_unwritable(self.store.root)
        if folder is not None:
            raise FolderError(
                f"data set {component.name!r} must be converted, but {folder} cannot be written: "
                "change the permissions, or name another folder with --data or $BENCH_DATA"
            )

    def _convert(self, component: DatasetComponent, key: str) -> PreparedDataset:
        if self.store.has(DATASETS, key):
            self.store.quarantine(DATASETS, key)
        dataset = component.dataset
        arrays = {split: read_split(component.name, dataset, split) for split in dataset.splits}
        prints = {split: fingerprint(array) for split, array in arrays.items()}
        facts: dict[str, Any] = {
            "counts": {split: len(array) for split, array in arrays.items()},
            "fingerprints": prints,
            "domain": {**vars(dataset.domain)},
            "plugin": component.registered.provenance(),
            "notes": remarks(dataset),
            "folder": str(component.folder),
        }
        twin = self._twin(component, prints)
        files = {
            f"{split}.npy": partial(_write_shared, array, twin) for split, array in arrays.items()
        }
        inputs = {"dataset": component.identity(), "stamps": _stamps(component)}
        self.store.write(DATASETS, key, files, inputs=inputs, facts=facts)
        for split in arrays:  # from the file, which is in order even where the array is a view
            written = _open_array(self.store.path(DATASETS, key) / f"{split}.npy")
            keep_contents(self.store, facts["fingerprints"][split], Contents.of(written))
        prepared = self.find(component)
        if prepared is None:
            raise DataError(f"data set {component.name!r} changed while being read; try again")
        return prepared


def remarks(dataset: Dataset) -> list[str]:
    """Return the remarks of a data set about its files, after all splits have been loaded."""
    return list(map(str, dataset.notes())) if isinstance(dataset, HasNotes) else []


def find_described(store: Store, key: str, component: DatasetComponent) -> PreparedDataset | None:
    """Return the data set described by a record; None if the record is missing or damaged."""
    manifest = store.find_manifest(DATASETS, key)
    if manifest is None or not describes_splits(manifest.facts):
        return None
    return described(store, key, manifest, component.name, component.dataset.domain)


def described(
    store: Store, key: str, manifest: Manifest, name: str, domain: Domain
) -> PreparedDataset:
    """Return the data set described by the manifest of a sound record, under a name."""
    counts, fingerprints = manifest.facts["counts"], manifest.facts["fingerprints"]
    notes = manifest.facts.get("notes", [])
    told = tuple(map(str, notes)) if isinstance(notes, list) else ()
    return PreparedDataset(name, domain, store.root, key, counts, fingerprints, told)


def describes_splits(facts: Mapping[str, Any]) -> bool:
    """Check that facts contain a valid size and fingerprint for each split."""
    counts, fingerprints = facts.get("counts"), facts.get("fingerprints")
    if not isinstance(counts, dict) or not isinstance(fingerprints, dict):
        return False
    return (
        counts.keys() == fingerprints.keys()
        and all(type(count) is int and 0 < count < 2**40 for count in counts.values())
        and all(isinstance(text, str) for text in fingerprints.values())
    )


def fingerprint(array: Examples) -> str:
    """Return the sha256 over shape and content of examples; the array is read in pieces."""
    sha = hashlib.sha256(repr(array.shape).encode())
    for start in range(0, len(array), 4096):
        sha.update(array[start : start + 4096].tobytes())
    return sha.hexdigest()


def _is_published(component: DatasetComponent) -> bool:
    """Check that a data set, including all sources, reads only files equal for every user."""
    if component.sources:
        return all(_is_published(source) for source in component.sources.values())
    return isinstance(component.dataset, Fetchable) or not isinstance(component.dataset, HasStamp)


def _stamps(component: DatasetComponent) -> list[Any]:
    own = component.dataset.stamp() if isinstance(component.dataset, HasStamp) else ""
    return [own, *(_stamps(source) for _, source in sorted(component.sources.items()))]


def read_split(name: str, dataset: Dataset, split: str) -> Examples:
    """Read the raw data of a split: `domain.dtype`, (N, *domain.shape).

    Raises:
        MissingDataError: The raw data is missing.
        DataError: The raw data does not match the declared domain.
    """
    import numpy as np

    array = dataset.load(split)
    shape, dtype = dataset.domain.shape, dataset.domain.dtype
    if array.dtype != dtype or array.shape[1:] != shape:
        found = f"{array.dtype} with shape {array.shape}"
        raise DataError(
            f"data set {name!r}: {split} should be {dtype} of shape (N, {shape}), not {found}"
        )
    if len(array) == 0:
        raise DataError(f"data set {name!r}: {split} is empty")
    levels = dataset.domain.levels
    if levels <= np.iinfo(array.dtype).max and int(array.max()) >= levels:
        raise DataError(f"data set {name!r}: {split} has values above {levels - 1}")
    return array


def _open_array(path: Path) -> Examples:
    import numpy as np

    array: Examples = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _write_shared(array: Examples, twin: Path | None, path: Path) -> None:
    """Write an `.npy` file, or link the file with equal content in another record's folder."""
    if twin is not None:
        with suppress(OSError):  # no links here, or the file is on another disk
            os.link((twin / path.name).resolve(), path)
            return
    _write_array(array, path)


def _write_array(array: Examples, path: Path) -> None:
    """Write an `.npy` file with the bytes of `np.save`, which would not notice a full disk."""
    import numpy as np

    about = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, about)
        for start in range(0, len(array), 4096):
            file.write(array[start : start + 4096].tobytes())
