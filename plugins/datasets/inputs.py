"""Pictures, texts and arrays to which a detector is applied: found at paths, read one by one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Images, MissingDataError, Tokens
from plugins.datasets.arrays import KINDS, any_array, read_array
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
from plugins.datasets.text.documents import ends, windows

ARRAYS = (".npy", ".npz")
Found: TypeAlias = tuple[Sequence[str], NDArray[Any]]
"""Names of the examples in a file, and the examples, (N, *domain.shape)."""
Items: TypeAlias = list[tuple[str, Callable[[], Found]]]
"""Names of files, with functions that read them and raise `DataError`."""


def image_inputs(paths: Sequence[Path], domain: Images, resize: bool) -> tuple[Items, list[str]]:
    """Find the pictures and arrays at paths.

    Arguments:
        paths: Pictures, arrays (`.npy`, `.npz`, idx files), and folders, whose pictures and arrays
            are taken in sorted order, those in subfolders too.
        domain: Domain of the detector.
        resize: Convert pictures of another size or number of channels, as `folder` does. Arrays
            are never converted.

    Returns:
        The files, and remarks on files that were passed over.
    """
    return _found(paths, (*SUFFIXES, *ARRAYS), partial(_read_image, domain, resize))


def text_inputs(paths: Sequence[Path], domain: Tokens, resize: bool) -> tuple[Items, list[str]]:
    """Find the texts and arrays at paths.

    Arguments:
        paths: Texts, arrays (`.npy`, `.npz`), and folders, whose files are taken in sorted order,
            those in subfolders too. A text is cut into windows as by `text-files`: any file is
            text, nothing is decoded, and the rest at the end is dropped. Texts are read only if
            the tokens are bytes.
        domain: Domain of the detector.
        resize: Must be False.

    Returns:
        The files, and remarks on files that were passed over and bytes that are dropped.

    Raises:
        DataError: Text is to be resized.
    """
    if resize:
        raise DataError(
            f"windows of text are not resized (this detector reads {domain}): leave --resize out"
        )
    suffixes = ("",) if domain.is_bytes else ARRAYS
    items, remarks = _found(paths, suffixes, partial(_read_text, domain))
    sizes = [os.path.getsize(name) for name, _ in items if _is_text(name) and os.path.isfile(name)]
    dropped = ends([size for size in sizes if size >= domain.length], domain.length)
    return items, remarks + [f"dropped: {note}" for note in dropped if domain.is_bytes]


def _found(
    paths: Sequence[Path], suffixes: tuple[str, ...], read: Callable[[Path], Found]
) -> tuple[Items, list[str]]:
    """Find the files with one of the suffixes in folders, and files named themselves."""
    items: Items = []
    remarks = []
    for path in paths:
        try:
            files, others = _files(path, suffixes)
        except DataError as error:
            items.append((str(path), partial(_refuse, error)))
            continue
        items += [(str(file), partial(read, file)) for file in files]
        remarks += [f"{path}: {remark}" for remark in passed_over(others)]
    return items, remarks


def _files(path: Path, suffixes: tuple[str, ...]) -> tuple[list[Path], Counter[str]]:
    """List the files to read at a path, and count the files passed over, by suffix."""
    if not path.exists():
        raise MissingDataError(f"{path} does not exist")
    if not path.is_dir():
        return [path], Counter()
    names = sorted(visible_names(path))
    chosen = [name for name in names if name.lower().endswith(suffixes)]
    if not chosen:
        known = ", ".join(filter(None, suffixes)) or "all but hidden ones"
        raise DataError(f"{path}: no files to read found; supported are {known}")
    others = (PurePosixPath(name).suffix.lower() for name in set(names) - set(chosen))
    return [path / name for name in chosen], Counter(others)


def _refuse(error: DataError) -> Found:
    raise error


def _numbered(file: Path, examples: NDArray[Any]) -> Found:
    """Name the examples of an array by their numbers."""
    return [f"{file}[{number}]" for number in range(len(examples))], examples


def _is_text(name: str) -> bool:
    return not name.endswith(ARRAYS)


def _read_text(domain: Tokens, file: Path) -> Found:
    """Read an array of windows, or a text, whose windows are named by their range of bytes."""
    if not _is_text(file.name):
        what, array = any_array(file)
        if not array.size:
            raise DataError(f"{what}: the array is empty")
        return _numbered(file, np.atleast_1d(array))
    if not domain.is_bytes:
        known = " or ".join(ARRAYS)
        raise DataError(f"{file}: the detector reads {domain}, as an array in {known}")
    content, length = read_bytes(file), domain.length
    if len(content) < length:
        raise DataError(f"{file}: found {len(content):,} bytes, a window has {length:,}")
    cut = windows(np.frombuffer(content, np.uint8), length)
    return [f"{file}[{start}:{start + length}]" for start in range(0, cut.size, length)], cut


def _read_image(domain: Images, resize: bool, file: Path) -> Found:
    """Read an array of images, or a picture."""
    if file.name.endswith(tuple(kind.removeprefix("*") for kind in KINDS)):
        return _numbered(file, read_array(file, domain))
    return [str(file)], _read_picture(domain, resize, file)[np.newaxis]


def _read_picture(domain: Images, resize: bool, file: Path) -> NDArray[np.uint8]:
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
            return in_channels(np.asarray(picture), domain)
        sizes = ("x".join(map(str, shape)) for shape in (found, domain.shape))
        where = "{}: found {}, expected {} (channels x height x width)".format(file, *sizes)
        if not resize:
            raise DataError(f"{where}; --resize (in Python resize=True) converts as `folder` does")
        if domain.height != domain.width:
            raise DataError(f"{where}; pictures are resized to squares only")
        return example_of(picture, domain)
