"""Base class for published data sets: location, verification and download of the files."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Images, MissingDataError, raw_root
from plugins.datasets._common import SPLITS, check_split, files_stamp
from plugins.datasets.image_files import visible_names

Progress = Callable[[str], None]


@dataclass(kw_only=True, eq=False)
class PublishedFiles(ABC):
    """Data set read from the raw files published by the authors.

    The files are stored in `raw_root()`. This folder is not an option, so paths do not become
    part of a key; a collection stored elsewhere can be linked. Files are read in `load` only.

    The class implements `HasStamp`, and `Fetchable` through the attributes `home` and `licence`
    and the method `fetch`.

    Attributes:
        name: Name of the plugin.
        home: Address of the data set's home page.
        licence: Terms of use, in a few words.
        files: Files for each split, relative to `raw_root()`. Each item lists alternative paths
            with the same content; the first existing path is used.
        md5: MD5 checksums of files, as published.
        sha256: SHA-256 checksums of files, as published or computed from the published files.

    Arguments:
        verify: Accept only the published files: checksums and counts must match. Without
            verification, a sample in the same format is accepted.
    """

    name: ClassVar[str]
    home: ClassVar[str]
    licence: ClassVar[str]
    files: ClassVar[Mapping[str, Sequence[Sequence[str]]]]
    md5: ClassVar[Mapping[str, str]] = {}
    sha256: ClassVar[Mapping[str, str]] = {}
    splits = SPLITS

    verify: bool = True

    def stamp(self) -> str:
        """Hash the relative name and the content or state of every file to read.

        The content counts for up to 4,096 files of up to 16 MiB in all; else size, times and inode
        of each file. All files in a folder of pictures count.

        Raises:
            MissingDataError: A file is missing in either split.
            DataError: A file cannot be read.
        """
        root = raw_root()
        names = [name for path in self._located(self.splits) for name in _names(root, path)]
        return files_stamp(root, names)

    def fetch(self, progress: Progress) -> None:
        """Download the files and verify the checksums; existing files are kept.

        Arguments:
            progress: Called with a line of text for each step.

        Raises:
            MissingDataError: The download failed; the message explains a download by hand.
        """
        root = raw_root()
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._download(root, progress)
        except MissingDataError:
            raise
        except Exception as error:
            raise MissingDataError(
                f"{self.name} could not be downloaded ({str(error) or type(error).__name__}); "
                f"by hand: {self._by_hand(root)}"
            ) from error

    @abstractmethod
    def _download(self, root: Path, progress: Progress) -> None:
        """Download the files to the root; any exception means failure."""

    def _is_there(self) -> bool:
        try:
            self._located(self.splits)
        except MissingDataError:
            return False
        return True

    def _how(self, root: Path) -> str:
        """Return instructions for getting the files."""
        return f"`bench data fetch {self.name}` downloads it"

    def _by_hand(self, root: Path) -> str:
        """Return instructions for getting the files without `fetch`."""
        names = [item[0] for split in self.splits for item in self._items(split)]
        return f"get {', '.join(dict.fromkeys(names))} from {self.home} and store them in {root}"

    def _items(self, split: str) -> Sequence[Sequence[str]]:
        """Return the files of a split: alternative paths for each file."""
        return self.files[split]

    def _verified(self, split: str) -> list[Path]:
        """Return a path for each file of a split; with `verify`, checksums must match."""
        paths = self._located([split])
        if self.verify:
            for path in paths:
                self._check_sums(path)
        return paths

    def _located(self, splits: Iterable[str]) -> list[Path]:
        """Return a path for each item in `files`, without duplicates across the splits."""
        root = raw_root()
        paths: dict[Path, None] = {}
        missing: dict[str, None] = {}
        for item in (item for split in splits for item in self._items(split)):
            found = next((root / name for name in item if (root / name).exists()), None)
            if found is None:
                missing[item[0]] = None
            else:
                paths[found] = None
        if missing:
            raise MissingDataError(f"{', '.join(missing)} not found in {root}; {self._how(root)}")
        return list(paths)

    def _check_sums(self, path: Path) -> None:
        name = path.relative_to(raw_root()).as_posix()
        for kind, known in (("md5", self.md5), ("sha256", self.sha256)):
            if name in known and (found := _checksum(path, kind)) != known[name]:
                raise DataError(
                    f"{path}: the {kind} is {found}, the published file has {known[name]}; delete "
                    "the file and download again, or set verify = false to skip the check"
                )


@dataclass(kw_only=True, eq=False)
class Published(PublishedFiles):
    """Images read from published files, in torchvision's layout.

    Attributes:
        counts: Number of images in each published split.

    Arguments:
        verify: Accept only the published files: checksums and image counts must match. Without
            verification, a sample in the same format is accepted.
    """

    domain: ClassVar[Images]
    counts: ClassVar[Mapping[str, int]]

    def load(self, split: str) -> NDArray[np.uint8]:
        """Return the images of a split, in the order of the files.

        Returns:
            uint8, (N, *domain.shape); may be a read-only memory map.

        Raises:
            MissingDataError: A file is missing.
            DataError: A file cannot be read or, with `verify`, differs from the published file.
        """
        check_split(self.name, split)
        examples = self._read(split, self._verified(split))
        if self.verify and len(examples) != self._count(split):
            raise DataError(
                f"{self.name}: the {split} split has {len(examples)} images, the published split "
                f"{self._count(split)}; to accept a sample, set verify = false"
            )
        return examples

    @abstractmethod
    def _read(self, split: str, paths: Sequence[Path]) -> NDArray[np.uint8]:
        """Read the images of a split from `paths`, a path per item in `files[split]`."""

    def _count(self, split: str) -> int:
        return self.counts[split]


def _checksum(path: Path, kind: str) -> str:
    try:
        with path.open("rb") as stream:
            made = hashlib.new(kind, usedforsecurity=False)
            return hashlib.file_digest(stream, lambda: made).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _names(root: Path, path: Path) -> list[str]:
    """List a file, or the sorted files in a folder and all subfolders, relative to the root."""
    name = path.relative_to(root).as_posix()
    if not path.is_dir():
        return [name]
    return [f"{name}/{inside}" for inside in sorted(visible_names(path))]
