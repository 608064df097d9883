"""Pictures and arrays to which a detector is applied: found at paths, read one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Images, MissingDataError
from plugins.datasets.arrays import KINDS, read_array
from plugins.datasets.folder import passed_over
from plugins.datasets.image_files import (
    SUFFIXES,
    eight_bits,
    example_of,
    in_channels,
    is_deep,
    opened_picture,
    read_bytes,
    visible_names,
)

ARRAYS = (".npy", ".npz")
Read: TypeAlias = Callable[[], NDArray[np.uint8]]


def image_inputs(
    paths: Sequence[Path], domain: Images, resize: bool
) -> tuple[list[tuple[str, Read]], list[str]]:
    """Find the pictures and arrays at paths.

    Arguments:
        paths: Pictures, arrays (`.npy`, `.npz`, idx files), and folders, whose pictures and arrays
            are taken in sorted order, those in subfolders too.
        domain: Domain of the detector.
        resize: Convert pictures of another size or number of channels, as `folder` does. Arrays
            are never converted.

    Returns:
        Names with functions that read the examples, uint8, (N, *domain.shape), and remarks on
        files that were passed over. A function raises `DataError`.
    """
    items: list[tuple[str, Read]] = []
    remarks = []
    for path in paths:
        try:
            files, others = _files(path)
        except DataError as error:
            items.append((str(path), partial(_refuse, error)))
            continue
        items += [(str(file), partial(_read, file, domain, resize)) for file in files]
        remarks += [f"{path}: {remark}" for remark in passed_over(others)]
    return items, remarks


def _files(path: Path) -> tuple[list[Path], Counter[str]]:
    """List the files to read at a path, and count the files passed over, by suffix."""
    if not path.exists():
        raise MissingDataError(f"{path} does not exist")
    if not path.is_dir():
        return [path], Counter()
    names = sorted(visible_names(path))
    chosen = [name for name in names if name.lower().endswith((*SUFFIXES, *ARRAYS))]
    if not chosen:
        known = ", ".join((*SUFFIXES, *ARRAYS))
        raise DataError(f"{path}: no pictures or arrays found; supported are {known}")
    suffixes = (PurePosixPath(name).suffix.lower() for name in set(names) - set(chosen))
    return [path / name for name in chosen], Counter(suffixes)


def _refuse(error: DataError) -> NDArray[np.uint8]:
    raise error


def _read(file: Path, domain: Images, resize: bool) -> NDArray[np.uint8]:
    if file.name.endswith(tuple(kind.removeprefix("*") for kind in KINDS)):
        return read_array(file, domain)
    with opened_picture(read_bytes(file), str(file)) as image:
        if is_deep(image):
            raise DataError(
                f"{file}: a gray picture with 16 bits; save it with 8 bits, in the same way as "
                "the pictures that the model was trained on"
            )
        has_alpha = image.has_transparency_data
        picture = eight_bits(file, image, None)
        found = (len(picture.getbands()) + has_alpha, picture.height, picture.width)
        if found == domain.shape:
            return in_channels(np.asarray(picture), domain)[np.newaxis]
        sizes = ("x".join(map(str, shape)) for shape in (found, domain.shape))
        where = "{}: found {}, expected {} (channels x height x width)".format(file, *sizes)
        if not resize:
            raise DataError(f"{where}; --resize crops, resizes and converts as `folder` does")
        if domain.height != domain.width:
            raise DataError(f"{where}; pictures are resized to squares only")
        return example_of(picture, domain)[np.newaxis]
