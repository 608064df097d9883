"""Arrays in `.npz` files, read only if the declared size is possible for the file."""

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
    """List the array names in an `.npz` file.

    Raises:
        DataError: The file cannot be read as an `.npz` file.
    """
    with _opened(file) as archive:
        return [name.removesuffix(SUFFIX) for name in archive.namelist()]


def read_npz_array(file: Path, name: str) -> NDArray[Any]:
    """Read an array from an `.npz` file without loading pickled content.

    The array header is checked against the length of the file before memory is allocated.

    Raises:
        DataError: The file cannot be read, or the array contains objects.
    """
    with _opened(file) as archive, data_errors(f"{file}: array {name!r} cannot be read"):
        member = archive.getinfo(name if name in archive.namelist() else f"{name}{SUFFIX}")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("unsupported compression; NumPy stores or deflates arrays")
        with archive.open(member) as stream:
            return _read(stream, member.file_size, file)


def _opened(file: Path) -> zipfile.ZipFile:
    check_file(file)
    if not zipfile.is_zipfile(file):
        raise DataError(f"{file}: not an .npz file")
    with data_errors(f"{file}: cannot be read as an .npz file"):
        return zipfile.ZipFile(file)


def _read(stream: IO[bytes], size: int, file: Path) -> NDArray[Any]:
    version = npy.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"version {version} of the format is not supported")
    shape, is_fortran, dtype = HEADERS[version](stream)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    count = math.prod(shape)
    declared = count * dtype.itemsize
    if min(shape, default=0) < 0 or declared != size - stream.tell():
        raise ValueError(f"the header declares {declared} bytes, not {size - stream.tell()}")
    check_size(declared, file, packed=file.stat().st_size)
    content = read_content(stream, declared)
    stream.read(1)  # reading to the end makes zipfile verify the checksum
    array: NDArray[Any] = content.view(dtype).reshape(shape, order="F" if is_fortran else "C")
    return array
