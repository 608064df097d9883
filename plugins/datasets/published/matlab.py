"""Reader for byte arrays in MATLAB 5 files; other types are not supported.

SciPy's reader has crashed on damaged files. This reader checks the array headers, skips other
arrays, and allocates memory only if the declared size is possible for the file.
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
"""Maximum length of flags, dimensions and names, in bytes."""


class _Inflated:
    """A compressed element, decompressed on demand."""

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
    """Read an array of unsigned bytes by name.

    Returns:
        uint8, in MATLAB's order: the first axis varies fastest.

    Raises:
        DataError: The file cannot be read, does not contain the array, or the array has another
            type.

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
    raise DataError(f"{file}: array {name!r} not found")


def _matrices(stream: BinaryIO, order: str) -> Iterator[tuple[Readable, int]]:
    """Yield the content after the tag for each matrix, and the size in the file."""
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
    """Return flags, shape and name of a matrix."""
    flags = _small(matrix, order, UINT32)
    shape = _small(matrix, order, INT32)
    name = _small(matrix, order, INT8)
    dims = struct.unpack(f"{order}{len(shape) // 4}i", shape[: len(shape) // 4 * 4])
    return struct.unpack(f"{order}I", flags[:4])[0], dims, name


def _small(matrix: Readable, order: str, expected: int) -> bytes:
    kind, size, inline = _tag(matrix, order)
    if kind != expected or size > LONGEST:
        raise ValueError(f"expected type {expected}, not type {kind} with {size} bytes")
    if inline is not None:
        return inline[:size]
    content = _exactly(matrix, size)
    _exactly(matrix, -size % 8)
    return content


def _tag(matrix: Readable, order: str) -> tuple[int, int, bytes | None]:
    """Return type and size of an element, and for small elements the content in the tag."""
    tag = _exactly(matrix, 8)
    first, second = struct.unpack(f"{order}II", tag)
    if first >> 16:
        return first & 0xFFFF, min(first >> 16, 4), tag[4:]
    return first, second, None


def _content(
    matrix: Readable, order: str, flags: int, shape: tuple[int, ...], file: Path, packed: int
) -> NDArray[np.uint8]:
    if flags & 0xFF != UINT8_CLASS or flags & 0x800:  # 0x800: complex
        raise ValueError(f"the array has class {flags & 0xFF}, not unsigned bytes")
    if min(shape, default=0) < 0:
        raise ValueError(f"the shape is {shape}")
    count = math.prod(shape)
    check_size(count, file, packed=packed)
    kind, size, inline = _tag(matrix, order)
    if kind != UINT8 or size != count:
        raise ValueError(f"expected {count} bytes in the array, not {size} with type {kind}")
    content = read_content(matrix if inline is None else io.BytesIO(inline), count)
    return content.reshape(shape, order="F")


def _exactly(matrix: Readable, size: int) -> bytes:
    content = matrix.read(size)
    if len(content) != size:
        raise EOFError("it ends early")
    return content
