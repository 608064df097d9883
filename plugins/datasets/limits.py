"""How much is read of a file that may be anything."""

from __future__ import annotations

from pathlib import Path

from oodbench import DataError

MOST_BYTES = 2**33
"""Of an array that is read into memory; a larger one is taken as a memory map, from `.npy`."""
MOST_TEXT = 2**28
"""Of a list."""
DEFLATE_LIMIT = 1032
"""No deflate stream grows by more than this factor when it is unpacked."""


def check_file(file: Path, most: int | None = None) -> None:
    """That a path is a plain file: reading a pipe or a device may never end.

    Arguments:
        file: It may be a link to one.
        most: Largest size, in bytes.

    Raises:
        DataError: It is something else, or larger.
    """
    try:
        if not file.is_file():
            file.stat()  # says why, if there is nothing
            raise DataError(f"{file}: cannot be read (it is not a file)")
        size = file.stat().st_size
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    if most is not None and size > most:
        raise DataError(f"{file}: its {size:,} bytes are more than the {most:,} that are read")


def check_size(declared: int, file: Path, packed: int | None = None) -> None:
    """That what a header declares may be allocated.

    Arguments:
        declared: Bytes that the content takes in memory.
        file: Where the header is.
        packed: Bytes that it has in the file, if it is compressed.

    Raises:
        DataError: It is larger than what is read, or than `packed` can hold.
    """
    if packed is not None and declared > DEFLATE_LIMIT * packed:
        raise DataError(f"{file}: too short for the {declared:,} bytes its header declares")
    if declared > MOST_BYTES:
        raise DataError(
            f"{file}: its header declares {declared:,} bytes, more than the {MOST_BYTES:,} that "
            "are read; an .npy file may be larger"
        )


def reason(error: Exception) -> str:
    """What an exception says, or what it is; some quote the file that they could not read."""
    return str(error)[:200] or type(error).__name__
