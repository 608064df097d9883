"""Text from disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from oodbench import DataError, MissingDataError, Tokens
from plugins.datasets._common import MOST_BYTES, SPLITS, check_split, data_errors, files_stamp
from plugins.datasets.folder import lowest, ticket
from plugins.datasets.image_files import read_bytes, visible_names


@dataclass(kw_only=True, eq=False)
class TextFiles:
    """Windows of text from files on disk, one document each, as the bytes they are.

    `path` is a folder, with all files in subfolders, or a pattern for files, such as
    `corpus/**/*.txt`. Hidden files and hidden folders are skipped. Each file is cut into windows
    of `length` bytes, one after the other, so every example has the same length; the rest at the
    end of a file is dropped, and files shorter than a window are passed over. Notes count both.
    Nothing is decoded: a window may begin or end within a character, and any file is text.

    With `split = "seed"` a hash of seed and content assigns whole files to the splits, so no file
    is in both, and equal files are in the same split; test windows that are in train files too,
    such as those of a licence, are dropped. With `split = "folders"` the files in the subfolders
    `train` and `test` of the folder are the splits, unchanged; one of them is enough for data used
    only as OOD.

    Windows of one file depend on one another. A note tells from how many files the windows are,
    because errors and intervals treat windows as independent.

    Arguments:
        path: Folder or pattern; relative to the suite, `~` is the home directory.
        length: Length of a window in bytes.
        split: `seed` for a random split by file, `folders` if the files are already split.
        test_share: With `seed`, fraction of the files in the test split.
        seed: With `seed`, seed for the random split.
    """

    path: Path
    length: Annotated[int, Field(ge=1)]
    split: Literal["seed", "folders"] = "seed"
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        self.domain = Tokens(self.length)
        self.path = self.path.expanduser()

    @property
    def splits(self) -> tuple[str, ...]:
        """Available splits: both, or the subfolders that exist."""
        there = tuple(split for split in SPLITS if (self.path / split).is_dir())
        return there if self.split == "folders" and there else SPLITS

    def load(self, split: str) -> NDArray[np.uint8]:
        """Return the windows of a split, uint8, (N, length), file by file.

        Raises:
            MissingDataError: The path does not exist, or lacks the split.
            DataError: A file cannot be read, or the files do not give two splits.
        """
        check_split("text-files", split)
        found = self._read(split)
        if self.split == "folders" or split == "train":
            return found
        known = {window.tobytes() for window in self._read("train")}
        kept = [window.tobytes() not in known for window in found]
        if not any(kept):
            raise DataError(f"{self.path}: every window of the test files is also in a train file")
        return found[kept]

    def _read(self, split: str) -> NDArray[np.uint8]:
        """Read all windows in the files of a split."""
        files = self._by_split().get(split)
        if not files:
            raise MissingDataError(
                f"{self.path}: no file of at least {self.length:,} bytes for the {split} split"
            )
        return np.concatenate([windows(read_bytes(file), self.length) for file in files])

    def notes(self) -> list[str]:
        """Return a note on the files behind the windows, and on what is left out.

        Raises:
            MissingDataError: The path does not exist.
            DataError: A file cannot be read.
        """
        sizes = list(self._sizes().values())
        used = [size for size in sizes if size >= self.length]
        total = sum(size // self.length for size in used)
        note = f"{total:,} windows of {_counted(len(used), 'file')}"
        if total > len(used):
            note += ": windows of one file depend on one another, and errors leave this out"
        dropped = ends(used, self.length)
        if short := len(sizes) - len(used):
            dropped.append(f"{_counted(short, 'file')} shorter than {self.length:,} bytes")
        if self.split == "seed" and (known := len(self._read("test")) - len(self.load("test"))):
            dropped.append(f"{known:,} test windows that are in train files too")
        return [f"{note}; dropped: {', '.join(dropped)}" if dropped else note]

    def stamp(self) -> str:
        """Hash the relative name and the content or state of every file; see `files_stamp`.

        Raises:
            MissingDataError: The path does not exist.
            DataError: A file cannot be read.
        """
        folder, names = self._listed()
        return files_stamp(folder, names)

    def _by_split(self) -> Mapping[str, Sequence[Path]]:
        """List the files of each split that have a window, in order."""
        files = [file for file, size in self._sizes().items() if size >= self.length]
        if self.split == "folders":
            return {
                split: [file for file in files if file.is_relative_to(self.path / split)]
                for split in SPLITS
            }
        tickets = [ticket(self.seed, read_bytes(file)) for file in files]
        if len(set(tickets)) < 2:
            raise DataError(
                f"{self.path}: a split into train and test needs at least two different files of "
                f"at least {self.length:,} bytes"
            )
        in_test = lowest(tickets, self.test_share)
        return {
            "train": [file for file, is_test in zip(files, in_test, strict=True) if not is_test],
            "test": [file for file, is_test in zip(files, in_test, strict=True) if is_test],
        }

    def _sizes(self) -> Mapping[Path, int]:
        """Return the size of every file, in bytes."""
        folder, names = self._listed()
        with data_errors(f"{self.path}: a file cannot be read"):
            sizes = {folder / name: (folder / name).stat().st_size for name in names}
        if sum(sizes.values()) > MOST_BYTES:
            raise DataError(f"{self.path}: the files have more than {MOST_BYTES:,} bytes")
        return sizes

    def _listed(self) -> tuple[Path, list[str]]:
        """Return a folder, and the paths of all regular files below it, relative, in order."""
        if self.path.is_dir():
            folder = self.path
            inside = [folder] if self.split == "seed" else [folder / one for one in self.splits]
            files = [part / x for part in inside if part.is_dir() for x in visible_names(part)]
        else:
            folder, pattern = _divided(self.path)
            files = list(folder.glob(pattern))
        names = (file.relative_to(folder) for file in files if file.is_file())
        found = sorted(name.as_posix() for name in names if not _is_hidden(name))
        if not found:
            raise MissingDataError(
                f"{self.path}: neither a folder with files nor a pattern of any"
            )
        return folder, found


def windows(content: bytes, length: int) -> NDArray[np.uint8]:
    """Cut a document into windows, uint8, (n, length); the rest at the end is dropped."""
    count = len(content) // length
    return np.frombuffer(content, np.uint8, count * length).reshape(count, length)


def ends(sizes: Iterable[int], length: int) -> list[str]:
    """Return a note on the bytes after the last windows of files of these sizes, if any."""
    rest = sum(size % length for size in sizes)
    return [f"{_counted(rest, 'byte')} at the ends of files"] if rest else []


def _divided(path: Path) -> tuple[Path, str]:
    """Divide a pattern into the deepest folder that exists, and the rest."""
    folder = next(parent for parent in path.parents if parent.is_dir())
    return folder, path.relative_to(folder).as_posix()


def _is_hidden(name: PurePath) -> bool:
    return any(part.startswith(".") for part in name.parts)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun if count == 1 else f'{noun}s'}"
