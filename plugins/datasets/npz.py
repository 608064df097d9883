"""Arrays of `.npz` files, read only if their header says what the file can hold."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

from numpy.lib import format as npy
from numpy.typing import NDArray

from oodbench import DataError
from plugins.datasets._common import check_file, check_size, data_errors, read_content

SUFFIX = ".npy"
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def array_names(file: Path) -> list[str]:
    """The names of the arrays of an `.npz` file.

    Raises:
        DataError: The file cannot be read as one.
    """
    with _opened(file) as archive:
        return [name.removesuffix(SUFFIX) for name in archive.namelist()]


def read_npz_array(file: Path, name: str) -> NDArray[Any]:
    """One array of an `.npz` file; nothing is unpickled.

    Its header is compared with the length of the file before anything of its size is allocated.

    Raises:
        DataError: The file cannot be read, or the array holds no plain values.
    """
    with _opened(file) as archive, data_errors(f"{file}: array {name!r} cannot be read"):
        member = archive.getinfo(name if name in archive.namelist() else f"{name}{SUFFIX}")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("it is packed in another way than NumPy packs")
        with archive.open(member) as stream:
            return _read(stream, member.file_size, file)


def _opened(file: Path) -> zipfile.ZipFile:
    check_file(file)
    if not zipfile.is_zipfile(file):
        raise DataError(f"{file}: it is not an .npz file")
    with data_errors(f"{file}: cannot be read as an .npz file"):
        return zipfile.ZipFile(file)


def _read(stream: IO[bytes], size: int, file: Path) -> NDArray[Any]:
    version = npy.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"version {version} of the format is not read")
    shape, is_fortran, dtype = HEADERS[version](stream)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    count = math.prod(shape)
    declared = count * dtype.itemsize
    if min(shape, default=0) < 0 or declared != size - stream.tell():
        raise ValueError(f"its header declares {declared} bytes, it has {size - stream.tell()}")
    check_size(declared, file, packed=file.stat().st_size)
    content = read_content(stream, declared)
    stream.read(1)  # at its end the archive's checksum is compared
    array: NDArray[Any] = content.view(dtype).reshape(shape, order="F" if is_fortran else "C")
    return array
