"""A data set from files of one's own: gray images as lines of a CSV file."""

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
    """Gray images from `train.csv` and `test.csv`: one a line, whole numbers of 0 to 255.

    Arguments:
        path: The folder that holds them; relative to the current directory.
        size: Height and width; a line has size * size numbers, row after row.
    """

    splits = ("train", "test")

    def __init__(self, *, path: Path, size: Annotated[int, Field(ge=1)]) -> None:
        self.domain = Images(1, size, size)
        self._path = path

    def load(self, split: str) -> NDArray[np.uint8]:
        """uint8, (N, 1, size, size), in the order of the lines.

        Raises:
            MissingDataError: The file is not there.
            DataError: It holds something else, or there is no such split.
        """
        file = self._file(split)
        try:
            values = np.loadtxt(file, delimiter=",", dtype=np.int64, ndmin=2)
        except ValueError as error:
            raise DataError(f"{file}: {error}") from error
        if values.shape[1] != self.domain.dims:
            raise DataError(f"{file}: {values.shape[1]} numbers a line, not {self.domain.dims}")
        if values.min() < 0 or values.max() > 255:
            raise DataError(f"{file}: numbers from {values.min()} to {values.max()}, not 0 to 255")
        return values.astype(np.uint8).reshape(-1, *self.domain.shape)

    def stamp(self) -> str:
        """Sizes and times of the files: when they change, they are read again."""
        sha = hashlib.sha256()
        for split in self.splits:
            state = self._file(split).stat()
            sha.update(f"{split} {state.st_size} {state.st_mtime_ns}\n".encode())
        return sha.hexdigest()

    def _file(self, split: str) -> Path:
        if split not in self.splits:
            raise DataError(f"csv has the splits train and test, not {split!r}")
        file = self._path / f"{split}.csv"
        if not file.is_file():
            raise MissingDataError(f"{file} is not there")
        return file
