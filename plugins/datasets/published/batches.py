"""Batch files in CIFAR-10 and ImageNet32: each row contains three colour planes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Images
from plugins.datasets.npz import array_names, read_npz_array
from plugins.datasets.published.pickles import read_pickled_arrays


def read_batch(file: Path, domain: Images) -> NDArray[np.uint8]:
    """Read images from an `.npz` file or a pickle: the array `data`, (N, dims).

    A row contains the red plane, then the green and the blue plane, each in row-major order.

    Returns:
        uint8, (N, *domain.shape); read-only for a pickle.

    Raises:
        DataError: The file cannot be read, or `data` is missing, empty, or has another type or
            shape.
    """
    if file.suffix == ".npz":
        data = read_npz_array(file, "data") if "data" in array_names(file) else None
    else:
        data = read_pickled_arrays(file).get("data")
    if data is None:
        raise DataError(f"{file}: array 'data' not found")
    if data.dtype != np.uint8 or data.shape[1:] != (domain.dims,):
        raise DataError(
            f"{file}: 'data' should be uint8 with shape (N, {domain.dims}), not {data.dtype} "
            f"with shape {data.shape}"
        )
    if len(data) == 0:
        raise DataError(f"{file}: the array is empty")
    return data.reshape(-1, *domain.shape)
