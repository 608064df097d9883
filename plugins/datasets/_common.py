"""What data sets share: the two splits, exact pixel arithmetic, random draws, limits of files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError

SPLITS = ("train", "test")
MOST_BYTES = 2**33
"""Of an array that is read into memory; a larger one is taken as a memory map, from `.npy`."""
MOST_TEXT = 2**28
"""Of a list."""
CHUNK = 2**20
"""Of a file that is read in pieces."""
DEFLATE_LIMIT = 1032
"""No deflate stream grows by more than this factor when it is unpacked."""


def check_split(dataset: str, split: str) -> None:
    """Raise `DataError` unless the split is one of the two."""
    if split not in SPLITS:
        raise DataError(f"{dataset} has no split {split!r}; it has 'train' and 'test'")


def luma(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Gray values of colours, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded half up.

    Arguments:
        colours: uint8, (..., 3), R, G, B as stored (gamma-encoded).

    Returns:
        uint8, (...); a gray colour, R = G = B, keeps its value.
    """
    weighted = colours.astype(np.uint32) @ np.array([299, 587, 114], np.uint32)
    return ((weighted + 500) // 1000).astype(np.uint8)


def shrink(picture: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """A picture whose every pixel is the mean of factor x factor pixels, rounded half up.

    What is left over at the right and at the bottom is cut off.

    Arguments:
        picture: uint8, (H, W, C).
        factor: At least 1.

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
    """A stream of random integers for one purpose.

    Everything is made of the raw output of PCG64, which NumPy promises to keep; it promises no
    such thing of the methods of `Generator`, such as `permutation`.

    Arguments:
        seed: Not negative.
        purpose: Streams of one seed and different purposes are independent.
    """

    def __init__(self, seed: int, purpose: str) -> None:
        sequence = np.random.SeedSequence(seed, spawn_key=tuple(purpose.encode()))
        self._bits = np.random.PCG64(sequence)

    def words(self, n: int) -> NDArray[np.uint64]:
        """uint64, (n,), uniform over all 64 bits."""
        return np.asarray(self._bits.random_raw(n), dtype=np.uint64)

    def octets(self, n: int) -> NDArray[np.uint8]:
        """uint8, (n,), uniform over 0..255; a call with n not a multiple of 8 drops the rest."""
        return self.words(-(-n // 8)).astype("<u8").view(np.uint8)[:n]

    def fractions(self, n: int) -> NDArray[np.float64]:
        """float64, (n,), uniform over the multiples of 2**-53 in [0, 1)."""
        return (self.words(n) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def order(self, n: int) -> NDArray[np.int64]:
        """int64, (n,), a uniform permutation of 0..n-1."""
        return np.argsort(self.words(n), kind="stable").astype(np.int64)

    def distinct(self, n: int, bits: int) -> NDArray[np.int64]:
        """int64, (n,), distinct and uniform over 0..2**bits-1; n is at most 2**bits."""
        found = np.empty(0, np.uint64)
        while len(found) < n:
            drawn = np.concatenate([found, self.words(2 * n) >> np.uint64(64 - bits)])
            found = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
        return found[:n].astype(np.int64)


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


def files_stamp(folder: Path, paths: Iterable[Path]) -> str:
    """Hash of the name, size and modification time of files.

    Arguments:
        folder: Names are relative to it.
        paths: In the order in which they are hashed. A folder among them counts with size 0.

    Returns:
        SHA-256 in hexadecimal digits.
    """
    sha = hashlib.sha256()
    for path in paths:
        state = path.stat()
        size = 0 if path.is_dir() else state.st_size
        name = path.relative_to(folder).as_posix()
        sha.update(os.fsencode(f"{name}\0{size}\0{state.st_mtime_ns}\0"))
    return sha.hexdigest()


class Readable(Protocol):
    """A stream, as far as it is read here."""

    def read(self, size: int, /) -> bytes: ...


def read_content(stream: Readable, size: int) -> NDArray[np.uint8]:
    """The next bytes of a stream, read in pieces: the size is only what a header declares.

    Returns:
        uint8, (size,).

    Raises:
        EOFError: The stream ends before.
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
    """Turn an exception of the block into a `DataError` with a message and the reason.

    A `DataError` of the block is raised as it is.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        # Some exceptions quote the file that they could not read, hence the limit.
        reason = str(error)[:200] or type(error).__name__
        raise DataError(f"{message} ({reason})") from error
