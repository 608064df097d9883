"""Common parts of the data sets: splits, exact pixel arithmetic, random draws, file checks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError

SPLITS = ("train", "test")
MOST_BYTES = 2**33
"""Maximum size of an array to read into memory, in bytes.

Files in the `.npy` format are read as memory maps and may be larger.
"""
MOST_TEXT = 2**28
"""Maximum size of a text file with a list, in bytes."""
CHUNK = 2**20
"""Number of bytes to read at a time."""
HASHED_BYTES = 2**24
"""Maximum size of all files together, in bytes, for a stamp of the contents."""
HASHED_FILES = 2**12
"""Maximum number of files for a stamp of the contents."""
DEFLATE_LIMIT = 1032
"""Upper bound on the compression ratio of deflate."""


def check_split(dataset: str, split: str) -> None:
    """Raise `DataError` unless the split is `train` or `test`."""
    if split not in SPLITS:
        raise DataError(f"{dataset} has no split {split!r}; it has 'train' and 'test'")


def luma(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert colours to gray, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded half up.

    Arguments:
        colours: R, G and B as stored (gamma-encoded), uint8, (..., 3).

    Returns:
        uint8, (...); the value of gray colours, R = G = B, does not change.
    """
    weighted = colours.astype(np.uint32) @ np.array([299, 587, 114], np.uint32)
    return ((weighted + 500) // 1000).astype(np.uint8)


def shrink(picture: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Reduce a picture: each pixel is the mean over factor x factor pixels, rounded half up.

    Surplus pixels at the right and at the bottom are cut off.

    Arguments:
        picture: uint8, (H, W, C).
        factor: Reduction factor, at least 1.

    Returns:
        uint8, (H // factor, W // factor, C).
    """
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    whole = picture[: height * factor, : width * factor].astype(np.int64)
    sums = whole.reshape(height, factor, width, factor, picture.shape[2]).sum(axis=(1, 3))
    area = factor * factor
    means: NDArray[np.uint8] = ((sums + area // 2) // area).astype(np.uint8)
    return means


class Draws:
    """Stream of random integers for a given purpose.

    All numbers derive from the raw output of PCG64, because NumPy guarantees a stable stream for
    PCG64 but not for methods of `Generator`, for example `permutation`.

    Arguments:
        seed: Seed, not negative.
        purpose: Label; streams with the same seed and different purposes are independent.
    """

    def __init__(self, seed: int, purpose: str) -> None:
        sequence = np.random.SeedSequence(seed, spawn_key=tuple(purpose.encode()))
        self._bits = np.random.PCG64(sequence)

    def words(self, n: int) -> NDArray[np.uint64]:
        """Draw integers uniform over all 64 bits: uint64, (n,)."""
        return np.asarray(self._bits.random_raw(n), dtype=np.uint64)

    def octets(self, n: int) -> NDArray[np.uint8]:
        """Draw integers uniform over 0..255: uint8, (n,).

        If n is not a multiple of 8, the remaining bytes of the last word are dropped.
        """
        return self.words(-(-n // 8)).astype("<u8").view(np.uint8)[:n]

    def fractions(self, n: int) -> NDArray[np.float64]:
        """Draw numbers uniform over the multiples of 2**-53 in [0, 1): float64, (n,)."""
        return (self.words(n) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def order(self, n: int) -> NDArray[np.int64]:
        """Draw a uniform permutation of 0..n-1: int64, (n,)."""
        return np.argsort(self.words(n), kind="stable").astype(np.int64)

    def distinct(self, n: int, bits: int) -> NDArray[np.int64]:
        """Draw distinct integers uniform over 0..2**bits-1: int64, (n,), with n <= 2**bits."""
        found = np.empty(0, np.uint64)
        while len(found) < n:
            drawn = np.concatenate([found, self.words(2 * n) >> np.uint64(64 - bits)])
            found = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
        return found[:n].astype(np.int64)


def check_file(file: Path, most: int | None = None) -> None:
    """Check for a regular file, because reading from a pipe or a device may never end.

    Arguments:
        file: A regular file, or a link to a regular file.
        most: Maximum size, in bytes.

    Raises:
        DataError: The path is not a regular file, or the file is larger than `most`.
    """
    try:
        if not file.is_file():
            file.stat()  # raises with the reason if the path does not exist
            raise DataError(f"{file}: cannot be read (not a regular file)")
        size = file.stat().st_size
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    if most is not None and size > most:
        raise DataError(f"{file}: {size:,} bytes are more than the maximum, {most:,}")


def check_size(declared: int, file: Path, packed: int | None = None) -> None:
    """Check a size declared by a header before memory is allocated.

    Arguments:
        declared: Size of the content in memory, in bytes.
        file: File with the header.
        packed: Size of the compressed content in the file, in bytes; None if not compressed.

    Raises:
        DataError: The declared size exceeds the maximum, or cannot be stored in `packed` bytes.
    """
    if packed is not None and declared > DEFLATE_LIMIT * packed:
        raise DataError(f"{file}: too short for the {declared:,} bytes declared by the header")
    if declared > MOST_BYTES:
        raise DataError(
            f"{file}: the header declares {declared:,} bytes, more than the maximum, "
            f"{MOST_BYTES:,}; an .npy file may be larger"
        )


def files_stamp(folder: Path, names: Sequence[str]) -> str:
    """Hash the names of files with the contents or, of large or many files, with the states.

    The contents count for up to HASHED_FILES files of up to HASHED_BYTES in all. The state of a
    file is size, modification time, change time (`st_ctime`) and inode. Archives and `rsync -t`
    can give another file the same size and modification time, but not the same change time. A
    copy of large files elsewhere has another stamp, a copy of small files has not.

    Reading the states of 200,000 files takes about a second.

    Arguments:
        folder: Folder with the files, or a single file.
        names: Paths relative to the folder, with `/`, in the order to hash; `.` is the folder
            itself.

    Returns:
        SHA-256 in hexadecimal digits.

    Raises:
        DataError: A file cannot be read.
    """
    paths = [f"{folder}/{name}" if name != "." else str(folder) for name in names]
    sha = hashlib.sha256()
    with data_errors(f"{folder}: a file cannot be read"):
        states = [os.stat(path) for path in paths]
    are_few = len(paths) <= HASHED_FILES
    if are_few and sum(state.st_size for state in states) <= HASHED_BYTES:
        found = [_content_digest(Path(path)) for path in paths]
    else:
        found = [f"{x.st_size} {x.st_mtime_ns} {x.st_ctime_ns} {x.st_ino}" for x in states]
    for name, text in zip(names, found, strict=True):
        sha.update(os.fsencode(f"{name}\0{text}\0"))
    return sha.hexdigest()


def _content_digest(path: Path) -> str:
    with data_errors(f"{path}: cannot be read"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Readable(Protocol):
    """Any object with a method `read`, such as an open file."""

    def read(self, size: int, /) -> bytes: ...


def read_content(stream: Readable, size: int) -> NDArray[np.uint8]:
    """Read bytes from a stream in chunks.

    Memory is filled chunk by chunk, because a size declared in a damaged header can be wrong.

    Returns:
        uint8, (size,).

    Raises:
        EOFError: The stream ends early.
    """
    content = np.empty(size, np.uint8)
    for start in range(0, size, CHUNK):
        piece = stream.read(min(CHUNK, size - start))
        if len(piece) < min(CHUNK, size - start):
            raise EOFError("it ends early")
        content[start : start + len(piece)] = np.frombuffer(piece, np.uint8)
    return content


@contextmanager
def data_errors(message: str) -> Iterator[None]:
    """Turn an exception in the `with` block into a `DataError`.

    A `DataError` from the block is raised unchanged.

    Arguments:
        message: Start of the new message; the text of the exception is appended.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        # Some exceptions quote a whole damaged file, hence the limit.
        reason = str(error)[:200] or type(error).__name__
        raise DataError(f"{message} ({reason})") from error
