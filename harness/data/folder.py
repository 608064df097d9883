"""The data folder: every data set once converted to uint8 arrays, fingerprinted, memory-mapped."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contracts import Dataset, Fetchable, HasStamp
from harness.domain import Images
from harness.errors import DataError, MissingDataError, StoreError
from harness.store.hashing import digest, file_sha256
from harness.store.layout import DATASETS, MANIFEST
from harness.store.locks import lock
from harness.store.records import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.suite.components import DatasetComponent

VERIFIED_BYTES = 64 * 2**20
"""Arrays up to this size are verified against their checksum whenever they are opened."""


@dataclass(frozen=True)
class PreparedDataset:
    """A data set in the data folder.

    Attributes:
        counts: Number of examples of each split.
        fingerprints: sha256 over shape and content of each split, in hexadecimal digits.
    """

    name: str
    domain: Images
    root: Path
    key: str
    counts: dict[str, int]
    fingerprints: dict[str, str]

    def load(self, split: str) -> NDArray[np.uint8]:
        """uint8, (N, *domain.shape), a read-only memory map.

        Raises:
            StoreError: The file is not what was written.
        """
        import numpy as np

        store = Store(self.root)
        path = store.path(DATASETS, self.key) / f"{split}.npy"
        expected = store.manifest(DATASETS, self.key).files[path.name]
        if not path.is_file() or path.stat().st_size != expected["bytes"]:
            raise StoreError(f"{path} is damaged: its size does not match")
        if expected["bytes"] <= VERIFIED_BYTES and file_sha256(path) != expected["sha256"]:
            raise StoreError(f"{path} is damaged: its checksum does not match")
        try:
            array: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise StoreError(f"{path} is damaged: {error}") from error
        return array


class DataFolder:
    """Finds and makes prepared data sets under one root."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)

    def key(self, component: DatasetComponent) -> str:
        """Where a data set lies in the folder: plugin, options and the stamp of its files.

        Raises:
            MissingDataError: Files that it stamps are not there.
        """
        return digest({"dataset": component.identity(), "stamps": _stamps(component)})

    def converted_key(self, component: DatasetComponent) -> str:
        """The key, or that of the last conversion if published raw files are not there any more.

        Files of the user's own are asked for always: what they hold may have changed.

        Raises:
            MissingDataError: They are not there, and it was never converted or is the user's own.
        """
        try:
            return self.key(component)
        except MissingDataError:
            found = self._last_converted(component) if _is_published(component) else None
            if found is None:
                raise
            return found

    def _last_converted(self, component: DatasetComponent) -> str | None:
        """The key of the latest conversion of the same plugin and options, whatever its stamp."""
        identity, found = component.identity(), []
        for key in self.store.keys(DATASETS):
            manifest = self.store.find_manifest(DATASETS, key)
            if manifest is not None and manifest.inputs.get("dataset") == identity:
                path = self.store.path(DATASETS, key) / MANIFEST
                found.append((path.stat().st_mtime, key))
        return max(found)[1] if found else None

    def find(self, component: DatasetComponent) -> PreparedDataset | None:
        """The prepared data set, or None if it has not been opened before."""
        return find_described(self.store, self.converted_key(component), component)

    def prepare(self, component: DatasetComponent) -> PreparedDataset:
        """The prepared data set, loaded and converted if that has not been done before.

        Raises:
            MissingDataError: The data is not there.
            DataError: It is not what its domain says.
        """
        key = self.converted_key(component)
        with lock(self.store.root, key):  # of two runs one converts, the other finds it done
            found = self.find(component)
            if found is not None:
                with suppress(StoreError):  # a damaged data set is converted again
                    for split in found.counts:
                        found.load(split)
                    return found
            return self._convert(component, key)

    def _convert(self, component: DatasetComponent, key: str) -> PreparedDataset:
        if self.store.has(DATASETS, key):
            self.store.quarantine(DATASETS, key)
        dataset = component.dataset
        arrays = {split: _checked(component.name, dataset, split) for split in dataset.splits}
        facts = {
            "counts": {split: len(array) for split, array in arrays.items()},
            "fingerprints": {split: fingerprint(array) for split, array in arrays.items()},
            "plugin": component.registered.provenance(),
        }
        files = {f"{split}.npy": partial(_write_array, array) for split, array in arrays.items()}
        inputs = {"dataset": component.identity(), "stamps": _stamps(component)}
        self.store.write(DATASETS, key, files, inputs=inputs, facts=facts)
        prepared = self.find(component)
        if prepared is None:
            raise DataError(f"data set {component.name!r} changed while it was read; try again")
        return prepared


def find_described(store: Store, key: str, component: DatasetComponent) -> PreparedDataset | None:
    """The data set with the sizes and fingerprints that a record states; None without it."""
    manifest = store.find_manifest(DATASETS, key)
    if manifest is None or not describes_splits(manifest.facts):
        return None
    counts, fingerprints = manifest.facts["counts"], manifest.facts["fingerprints"]
    domain = component.dataset.domain
    return PreparedDataset(component.name, domain, store.root, key, counts, fingerprints)


def describes_splits(facts: Mapping[str, Any]) -> bool:
    """Whether facts hold the size and fingerprint of each split."""
    counts, fingerprints = facts.get("counts"), facts.get("fingerprints")
    if not isinstance(counts, dict) or not isinstance(fingerprints, dict):
        return False
    return (
        counts.keys() == fingerprints.keys()
        and all(type(count) is int and 0 < count < 2**40 for count in counts.values())
        and all(isinstance(text, str) for text in fingerprints.values())
    )


def fingerprint(array: NDArray[np.uint8]) -> str:
    """sha256 over shape and content of uint8 examples, read in pieces."""
    sha = hashlib.sha256(repr(array.shape).encode())
    for start in range(0, len(array), 4096):
        sha.update(array[start : start + 4096].tobytes())
    return sha.hexdigest()


def _is_published(component: DatasetComponent) -> bool:
    """Whether the files that it, or what it transforms, reads are the same for everybody."""
    if component.sources:
        return all(_is_published(source) for source in component.sources.values())
    return isinstance(component.dataset, Fetchable) or not isinstance(component.dataset, HasStamp)


def _stamps(component: DatasetComponent) -> list[Any]:
    own = component.dataset.stamp() if isinstance(component.dataset, HasStamp) else ""
    return [own, *(_stamps(source) for _, source in sorted(component.sources.items()))]


def _checked(name: str, dataset: Dataset, split: str) -> NDArray[np.uint8]:
    import numpy as np

    array = dataset.load(split)
    shape = dataset.domain.shape
    if array.dtype != np.uint8 or array.shape[1:] != shape:
        found = f"{array.dtype} of shape {array.shape}"
        raise DataError(
            f"data set {name!r}: {split} should be uint8 of shape (N, {shape}): {found}"
        )
    if len(array) == 0:
        raise DataError(f"data set {name!r}: {split} is empty")
    levels = dataset.domain.levels
    if levels < 256 and int(array.max()) >= levels:
        raise DataError(f"data set {name!r}: {split} has values above {levels - 1}")
    return array


def _write_array(array: NDArray[np.uint8], path: Path) -> None:
    """Write an `.npy` file as `np.save` does, which would not see that the disk is full."""
    import numpy as np

    about = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, about)
        for start in range(0, len(array), 4096):
            file.write(array[start : start + 4096].tobytes())
