"""Image arrays in NumPy's and MNIST's file formats. Pickled content is never loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Images
from plugins.datasets._common import check_file, data_errors
from plugins.datasets.idx import read_idx
from plugins.datasets.npz import array_names, read_npz_array

KINDS = ("*.npy", "*.npz", "*-ubyte", "*-ubyte.gz")


def read_array(file: Path, domain: Images, name: str | None = None) -> NDArray[np.uint8]:
    """Read images from a file.

    Arguments:
        file: `.npy` (returned as a read-only memory map), `.npz`, or an idx file named as in
            MNIST, `*-ubyte` or `*-ubyte.gz`.
        domain: Expected domain of the images.
        name: Array name in an `.npz` file; None if the file should contain a single array.

    Returns:
        uint8, (N, *domain.shape); may be a view.

    Raises:
        DataError: The file cannot be read or contains other data.
    """
    what, array = any_array(file, name)
    return as_examples(array, domain, what)


def any_array(file: Path, name: str | None = None) -> tuple[str, NDArray[Any]]:
    """Read an array of any dtype and shape, and how messages call it; else as `read_array`."""
    if file.suffix == ".npy":
        return str(file), _read_npy(file)
    if file.suffix == ".npz":
        name, array = _read_npz(file, name)
        return f"{file}: array {name!r}", array
    if file.name.endswith(("-ubyte", "-ubyte.gz")):
        return str(file), read_idx(file)
    raise DataError(f"{file}: not a supported file; supported are {', '.join(KINDS)}")


def as_examples(array: NDArray[np.uint8], domain: Images, what: str) -> NDArray[np.uint8]:
    """Move the channel axis to the front, as a view.

    Arguments:
        array: (N, H, W) for a single channel, (N, C, H, W) or (N, H, W, C).
        domain: Expected domain of the images.
        what: Name of the array in messages.

    Returns:
        uint8, (N, *domain.shape).

    Raises:
        DataError: The array is empty, not uint8, has another shape, or the position of the
            channels is ambiguous.
    """
    channels, height, width = domain.shape
    first, last = (channels, height, width), (height, width, channels)
    if array.dtype != np.uint8:
        raise DataError(f"{what}: images must be uint8, not {array.dtype}")
    found = array.shape[1:]
    gray = (height, width) if channels == 1 else None
    if found not in (first, last, gray):
        texts = [_text(shape) for shape in (gray, first, last) if shape is not None]
        raise DataError(
            f"{what}: the shape is {array.shape}, not {', '.join(texts[:-1])} or {texts[-1]}"
        )
    if len(array) == 0:
        raise DataError(f"{what}: the array is empty")
    if found == gray:
        return array[:, np.newaxis]
    if found == first == last and channels > 1:
        raise DataError(f"{what}: in shape {array.shape} channels could be first or last")
    return array if found == first else array.transpose(0, 3, 1, 2)


def _read_npy(file: Path) -> NDArray[np.uint8]:
    check_file(file)
    with data_errors(f"{file}: cannot be read as a NumPy array"):
        return np.lib.format.open_memmap(file, mode="r")


def _read_npz(file: Path, name: str | None) -> tuple[str, NDArray[np.uint8]]:
    if name is None:
        names = array_names(file)
        if len(names) != 1:
            raise DataError(
                f"{file}: expected a single array, found: {', '.join(names) or 'no array'}"
            )
        name = names[0]
    return name, read_npz_array(file, name)


def _text(shape: tuple[int, ...]) -> str:
    return f"(N, {', '.join(map(str, shape))})"
