"""Arrays of bytes out of MATLAB 5 files, by a reader that knows nothing else.

SciPy's reader has crashed on damaged files. This one looks at the headers of arrays, passes over
what it is not asked for, and allocates what the headers declare only if the file can hold it.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError
from plugins.datasets._common import (
    CHUNK,
    Readable,
    check_file,
    check_size,
    data_errors,
    read_content,
)

MAGIC = b"MATLAB 5.0 MAT-file"
HEADER = 128
ORDERS = {b"IM": "<", b"MI": ">"}
INT8, UINT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 2, 5, 6, 14, 15
UINT8_CLASS = 9
LONGEST = 4096
"""Flags, dimensions and names are shorter, in bytes."""


class _Inflated:
    """A compressed element, unpacked as far as it is read."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._left = stream, size
        self._unpacker = zlib.decompressobj()

    def read(self, size: int) -> bytes:
        found = b""
        while len(found) < size and not self._unpacker.eof:
            packed = self._unpacker.unconsumed_tail
            if not packed:
                packed = self._stream.read(min(CHUNK, self._left))
                self._left -= len(packed)
            piece = self._unpacker.decompress(packed, size - len(found))
            if not piece and not packed:
                break
            found += piece
        return found


def read_mat_array(file: Path, name: str) -> NDArray[np.uint8]:
    """An array of unsigned bytes by its name.

    Returns:
        uint8, in MATLAB's order: the first axis varies fastest.

    Raises:
        DataError: The file cannot be read, has no such array, or it is of another type.

    References:
        | MAT-File format, version 5 (The MathWorks, 2024)
        | https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
    """
    check_file(file)
    with data_errors(f"{file}: cannot be read as a MATLAB file"), file.open("rb") as stream:
        header = stream.read(HEADER)
        if not header.startswith(MAGIC) or header[126:] not in ORDERS:
            raise DataError(f"{file}: not a MATLAB 5 file")
        order = ORDERS[header[126:]]
        for matrix, packed in _matrices(stream, order):
            flags, shape, own = _described(matrix, order)
            if own == name.encode():
                return _content(matrix, order, flags, shape, file, packed)
    raise DataError(f"{file}: it has no array {name!r}")


def _matrices(stream: BinaryIO, order: str) -> Iterator[tuple[Readable, int]]:
    """What follows the tag of each matrix of the file, and its size there."""
    while tag := stream.read(8):
        kind, size = struct.unpack(f"{order}II", tag)
        start = stream.tell()
        if kind == COMPRESSED:
            inflated = _Inflated(stream, size)
            kind, _ = struct.unpack(f"{order}II", _exactly(inflated, 8))
            if kind == MATRIX:
                yield inflated, size
        elif kind == MATRIX:
            yield stream, size
        stream.seek(start + size)


def _described(matrix: Readable, order: str) -> tuple[int, tuple[int, ...], bytes]:
    """Flags, shape and name of a matrix."""
    flags = _small(matrix, order, UINT32)
    shape = _small(matrix, order, INT32)
    name = _small(matrix, order, INT8)
    dims = struct.unpack(f"{order}{len(shape) // 4}i", shape[: len(shape) // 4 * 4])
    return struct.unpack(f"{order}I", flags[:4])[0], dims, name


def _small(matrix: Readable, order: str, expected: int) -> bytes:
    kind, size, inline = _tag(matrix, order)
    if kind != expected or size > LONGEST:
        raise ValueError(f"type {kind} of {size} bytes is where type {expected} should be")
    if inline is not None:
        return inline[:size]
    content = _exactly(matrix, size)
    _exactly(matrix, -size % 8)
    return content


def _tag(matrix: Readable, order: str) -> tuple[int, int, bytes | None]:
    """Type and size of an element, and its content where the tag holds it."""
    tag = _exactly(matrix, 8)
    first, second = struct.unpack(f"{order}II", tag)
    if first >> 16:
        return first & 0xFFFF, min(first >> 16, 4), tag[4:]
    return first, second, None


def _content(
    matrix: Readable, order: str, flags: int, shape: tuple[int, ...], file: Path, packed: int
) -> NDArray[np.uint8]:
    if flags & 0xFF != UINT8_CLASS or flags & 0x800:  # 0x800: complex
        raise ValueError(f"the array is of class {flags & 0xFF}, not of unsigned bytes")
    if min(shape, default=0) < 0:
        raise ValueError(f"its shape is {shape}")
    count = math.prod(shape)
    check_size(count, file, packed=packed)
    kind, size, inline = _tag(matrix, order)
    if kind != UINT8 or size != count:
        raise ValueError(f"the array should have {count} bytes, it has {size} of type {kind}")
    content = read_content(matrix if inline is None else io.BytesIO(inline), count)
    return content.reshape(shape, order="F")


def _exactly(matrix: Readable, size: int) -> bytes:
    content = matrix.read(size)
    if len(content) != size:
        raise EOFError("it ends early")
    return content
