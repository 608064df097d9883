"""Reader for idx files, the format of MNIST and related data sets."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError
from plugins.datasets._common import check_file, check_size, data_errors

HEADER = struct.Struct(">HBB3I")
UNSIGNED_BYTE = 0x08


def read_idx(file: Path) -> NDArray[np.uint8]:
    """Read images from an idx file, either plain or compressed (`.gz`).

    The header consists of two zero bytes, the type (8, unsigned byte), the number of dimensions
    (3), then the size of each dimension in big-endian 32 bits. The header is checked against the
    length of the file before memory is allocated.

    Returns:
        uint8, (N, height, width); a read-only memory map for a plain file.

    Raises:
        DataError: The file has another format, or the length does not match the header.

    References:
        | The MNIST database of handwritten digits (LeCun, Cortes & Burges, 1998)
        | http://yann.lecun.com/exdb/mnist/
    """
    check_file(file)
    with data_errors(f"{file}: cannot be read"):
        return _read_compressed(file) if file.suffix == ".gz" else _read_plain(file)


def _read_plain(file: Path) -> NDArray[np.uint8]:
    with file.open("rb") as stream:
        shape = _shape(file, stream.read(HEADER.size))
    _check_length(file, shape, file.stat().st_size - HEADER.size)
    return np.memmap(file, np.uint8, "r", HEADER.size, shape)


def _read_compressed(file: Path) -> NDArray[np.uint8]:
    with gzip.open(file, "rb") as stream:
        shape = _shape(file, stream.read(HEADER.size))
        declared = math.prod(shape)
        check_size(declared, file, packed=file.stat().st_size)
        content = stream.read(declared + 1)
    _check_length(file, shape, len(content))
    return np.frombuffer(content, np.uint8).reshape(shape)


def _shape(file: Path, header: bytes) -> tuple[int, int, int]:
    if len(header) < HEADER.size:
        raise DataError(f"{file}: shorter than an idx header for images")
    zero, kind, dims, *shape = HEADER.unpack(header)
    if zero != 0:
        raise DataError(f"{file}: not an idx file, the first bytes are {header[:4].hex(' ')}")
    if kind != UNSIGNED_BYTE or dims != 3:
        raise DataError(
            f"{file}: not an idx file with 8-bit images: type 0x{kind:02x} in {dims} dimensions, "
            f"not 0x{UNSIGNED_BYTE:02x} in 3"
        )
    if 0 in shape:
        raise DataError(f"{file}: the file is empty, the header declares {_text(shape)} images")
    return shape[0], shape[1], shape[2]


def _check_length(file: Path, shape: tuple[int, ...], there: int) -> None:
    declared = math.prod(shape)
    if there != declared:
        found = "more" if there > declared else there
        raise DataError(
            f"{file}: the header declares {_text(shape)} images, {declared} bytes, but the file "
            f"has {found}"
        )


def _text(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))
