"""Text from disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Literal

from pydantic import Field

from oodbench import DataError, MissingDataError
from plugins.datasets._common import MOST_BYTES, SPLITS, data_errors, files_stamp
from plugins.datasets.image_files import read_bytes, visible_names
from plugins.datasets.text.documents import Documents, divided


@dataclass(kw_only=True, eq=False)
class TextFiles(Documents):
    """Windows of text from files on disk, one document each, as the bytes they are.

    `path` is a folder, with all files in subfolders, or a pattern for files, such as
    `corpus/**/*.txt`. Hidden files and hidden folders are skipped. Each file is cut into windows
    of `length` bytes, one after the other, so every example has the same length; the rest at the
    end of a file is dropped, and files shorter than a window are passed over. Notes count both.
    Nothing is decoded: a window may begin or end within a character, and any file is text.

    With `split = "seed"` a hash of seed and content assigns whole files to the splits, so no file
    is in both splits, and equal files are in the same split. Test windows that also occur in train
    files, such as windows of a licence, are dropped. With `split = "folders"` the files in the
    subfolders `train` and `test` of the folder are the splits, unchanged; a single subfolder is
    enough for data used only as OOD.

    Windows of the same file are correlated, but errors and intervals treat windows as independent.
    Therefore a note gives the number of files.

    Arguments:
        path: Folder or pattern; relative to the suite, `~` is the home directory.
        length: Length of a window in bytes.
        split: `seed` for a random split by file, `folders` if the files are already split.
        test_share: With `seed`, fraction of the files in the test split.
        seed: With `seed`, seed for the random split.
    """

    name = "text-files"
    document = "file"

    path: Path
    split: Literal["seed", "folders"] = "seed"
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.path = self.path.expanduser()

    @property
    def splits(self) -> tuple[str, ...]:
        """Available splits: both, or the subfolders that exist."""
        there = tuple(split for split in SPLITS if (self.path / split).is_dir())
        return there if self.split == "folders" and there else SPLITS

    @property
    def where(self) -> str:
        """Folder or pattern of the files."""
        return str(self.path)

    def stamp(self) -> str:
        """Hash the relative name and the content or state of every file; see `files_stamp`.

        Raises:
            MissingDataError: The path does not exist.
            DataError: A file cannot be read.
        """
        folder, names = self._listed()
        return files_stamp(folder, names)

    def documents(self, split: str) -> Iterable[bytes]:
        """Return the files of a split, in order of name."""
        return map(read_bytes, self._files(split))

    def _drops_copies(self) -> bool:
        return self.split == "seed"

    def _files(self, split: str) -> list[Path]:
        """List the files of a split, in order."""
        folder, names = self._listed()
        files = [folder / name for name in names]
        with data_errors(f"{self.path}: a file cannot be read"):
            total = sum(file.stat().st_size for file in files)
        if total > MOST_BYTES:
            raise DataError(f"{self.path}: the files have more than {MOST_BYTES:,} bytes")
        if self.split == "folders":
            return [file for file in files if file.is_relative_to(self.path / split)]
        drawn = divided(
            files,
            read_bytes,
            length=self.length,
            test_share=self.test_share,
            seed=self.seed,
        )
        if drawn is None:
            raise DataError(
                f"{self.path}: a split into train and test needs at least two different files of "
                f"at least {self.length:,} bytes"
            )
        return list(drawn[split])

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


def _divided(path: Path) -> tuple[Path, str]:
    """Divide a pattern into the deepest folder that exists, and the rest."""
    folder = next(parent for parent in path.parents if parent.is_dir())
    return folder, path.relative_to(folder).as_posix()


def _is_hidden(name: PurePath) -> bool:
    return any(part.startswith(".") for part in name.parts)
