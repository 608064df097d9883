"""Data set read from custom files: gray images as lines in a CSV file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from oodbench import DataError, Images, MissingDataError


# --8<-- [start:dataset]
class CSV:
    """Gray images from `train.csv` and `test.csv`: an image per line, integers from 0 to 255.

    Arguments:
        path: Folder containing both files; relative to the suite.
        size: Height and width; a line has size * size numbers, row after row.
    """

    splits = ("train", "test")

    def __init__(self, *, path: Path, size: Annotated[int, Field(ge=1)]) -> None:
        self.domain = Images(1, size, size)
        self._path = path

    def load(self, split: str) -> NDArray[np.uint8]:
        """Load a split: uint8, (N, 1, size, size), in line order.

        Raises:
            MissingDataError: The file does not exist.
            DataError: The file has other content, or the split is unknown.
        """
        file = self._file(split)
        try:
            values = np.loadtxt(file, delimiter=",", dtype=np.int64, ndmin=2)
        except ValueError as error:
            raise DataError(f"{file}: {error}") from error
        if values.shape[1] != self.domain.dims:
            raise DataError(f"{file}: {values.shape[1]} numbers per line, not {self.domain.dims}")
        if values.min() < 0 or values.max() > 255:
            raise DataError(f"{file}: numbers from {values.min()} to {values.max()}, not 0 to 255")
        return values.astype(np.uint8).reshape(-1, *self.domain.shape)

    def stamp(self) -> str:
        """Hash the contents; when the hash changes, the files are read again."""
        sha = hashlib.sha256()
        for split in self.splits:
            sha.update(hashlib.sha256(self._file(split).read_bytes()).digest())
        return sha.hexdigest()

    def _file(self, split: str) -> Path:
        if split not in self.splits:
            raise DataError(f"csv has the splits train and test, not {split!r}")
        file = self._path / f"{split}.csv"
        if not file.is_file():
            raise MissingDataError(f"{file} does not exist")
        return file
