"""The batch files of CIFAR-10 and ImageNet32: images as rows of their three colour planes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Images
from plugins.datasets.npz import array_names, read_npz_array
from plugins.datasets.published.pickles import read_pickled_arrays


def read_batch(file: Path, domain: Images) -> NDArray[np.uint8]:
    """The images of an `.npz` file or of a pickle: its array `data`, (N, dims).

    A row holds the red, then the green, then the blue plane, each row by row.

    Returns:
        uint8, (N, *domain.shape); read-only where the file is a pickle.

    Raises:
        DataError: The file cannot be read, or `data` is something else.
    """
    if file.suffix == ".npz":
        data = read_npz_array(file, "data") if "data" in array_names(file) else None
    else:
        data = read_pickled_arrays(file).get("data")
    if data is None:
        raise DataError(f"{file}: it has no array 'data'")
    if data.dtype != np.uint8 or data.shape[1:] != (domain.dims,):
        raise DataError(
            f"{file}: 'data' should be uint8 of shape (N, {domain.dims}), not {data.dtype} of "
            f"shape {data.shape}"
        )
    if len(data) == 0:
        raise DataError(f"{file}: it is empty")
    return data.reshape(-1, *domain.shape)
