"""What the published data sets have in common: where their files are and what they must be."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Images, MissingDataError, raw_root
from plugins.datasets._common import SPLITS, check_split, files_stamp

Progress = Callable[[str], None]


@dataclass(kw_only=True, eq=False)
class Published(ABC):
    """A data set read from the raw files that its authors publish, in torchvision's layout.

    The files lie under `raw_root()`. That folder is no option, so no path is part of a key; a
    collection that is elsewhere is linked there. Reading happens in `load` only.

    It is `HasStamp`, and `Fetchable`: attributes `home` and `licence`, method `fetch`.

    Attributes:
        name: What the plugin is called.
        counts: The number of images of each published split.
        home: Where the data set is published.
        licence: On what terms, in a few words.
        files: What each split is read from, relative to `raw_root()`. Each item lists the paths
            that hold the same, the first of which that exists is taken.
        md5: Checksums of those files for which torchvision publishes one.

    Arguments:
        verify: Read nothing but the published files: checksums and numbers of images must be
            theirs. Without, a sample of the data set in the same format will do.
    """

    name: ClassVar[str]
    domain: ClassVar[Images]
    counts: ClassVar[Mapping[str, int]]
    home: ClassVar[str]
    licence: ClassVar[str]
    files: ClassVar[Mapping[str, Sequence[Sequence[str]]]]
    md5: ClassVar[Mapping[str, str]] = {}
    splits = SPLITS

    verify: bool = True

    def load(self, split: str) -> NDArray[np.uint8]:
        """uint8, (N, *domain.shape), in the order of the files; may be a read-only memory map.

        Raises:
            MissingDataError: A file is not there.
            DataError: A file cannot be read or, with `verify`, is not the published one.
        """
        check_split(self.name, split)
        paths = self._located([split])
        if self.verify:
            for path in paths:
                self._check_md5(path)
        examples = self._read(split, paths)
        if self.verify and len(examples) != self._count(split):
            raise DataError(
                f"the {split} split of {self.name} has {len(examples)} images here, the published "
                f"one {self._count(split)}; if that is meant, set verify = false"
            )
        return examples

    def stamp(self) -> str:
        """Hash of the relative name, size and modification time of every file that is read.

        Of a folder of pictures the times of the folders are taken, which change when a picture
        is added, removed or renamed but not when one is overwritten in place: looking at every
        one of 200,000 pictures would take seconds.

        Raises:
            MissingDataError: A file of either split is not there.
        """
        paths = [part for path in self._located(self.splits) for part in _folders(path) or [path]]
        return files_stamp(raw_root(), paths)

    def fetch(self, progress: Progress) -> None:
        """Download the files, with torchvision's checksums; what is there already is kept.

        Arguments:
            progress: Told of each step in a line of text.

        Raises:
            MissingDataError: They cannot be downloaded; says which files go where.
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
    def _read(self, split: str, paths: Sequence[Path]) -> NDArray[np.uint8]:
        """The examples of a split; `paths` are those found for the items of `files[split]`."""

    @abstractmethod
    def _download(self, root: Path, progress: Progress) -> None:
        """Put the files under the root; any exception says that this failed."""

    def _is_there(self) -> bool:
        try:
            self._located(self.splits)
        except MissingDataError:
            return False
        return True

    def _count(self, split: str) -> int:
        return self.counts[split]

    def _how(self, root: Path) -> str:
        """How to get the files."""
        return f"`bench data fetch {self.name}` downloads it"

    def _by_hand(self, root: Path) -> str:
        """How to get the files where `fetch` cannot."""
        names = [item[0] for split in self.splits for item in self.files[split]]
        return f"get {', '.join(dict.fromkeys(names))} under {root}, from {self.home}"

    def _located(self, splits: Iterable[str]) -> list[Path]:
        """Where each item of the splits' `files` is, an item of both splits once."""
        root = raw_root()
        paths: dict[Path, None] = {}
        missing: dict[str, None] = {}
        for item in (item for split in splits for item in self.files[split]):
            found = next((root / name for name in item if (root / name).exists()), None)
            if found is None:
                missing[item[0]] = None
            else:
                paths[found] = None
        if missing:
            raise MissingDataError(
                f"{', '.join(missing)} not found under {root}; {self._how(root)}"
            )
        return list(paths)

    def _check_md5(self, path: Path) -> None:
        published = self.md5.get(path.relative_to(raw_root()).as_posix())
        if published is None:
            return
        try:
            with path.open("rb") as stream:
                found = hashlib.file_digest(
                    stream, lambda: hashlib.md5(usedforsecurity=False)
                ).hexdigest()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        if found != published:
            raise DataError(
                f"{path}: its md5 is {found}, that of the published file {published}; delete it "
                "and get it again, or set verify = false to read it as it is"
            )


def _folders(path: Path) -> list[Path]:
    """A folder and all folders in it, sorted; none of a file."""
    return sorted(Path(here) for here, _, _ in os.walk(path))
